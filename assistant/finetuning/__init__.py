"""Training: the demo model, adapters and whole models, classifiers, sentence encoders."""
