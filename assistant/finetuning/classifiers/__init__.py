"""Classifiers on encoders and decoder-only models: the ladder from a frozen body to full fine-tuning."""
