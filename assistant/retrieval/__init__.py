"""Memory: encoders, indexes on disk, selectors and the leak guard."""
