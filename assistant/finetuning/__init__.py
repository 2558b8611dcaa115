"""Training: the demo model and its corpus; later adapters and classifiers."""
