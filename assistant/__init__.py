"""Shotwise: see which prompt strategy works for your task, on one local model."""

__version__ = "0.1.0"
