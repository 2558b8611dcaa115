"""Advice: which strategy to use."""
