"""Recipes: published experiments, as data."""
