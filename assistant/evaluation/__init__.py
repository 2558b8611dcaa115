"""Evaluation: labelled rows, metrics, honest statistics, reports, recipes, advice."""
