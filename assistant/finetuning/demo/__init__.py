"""The demo model: what it learns from, its network, its training, its adapter."""
