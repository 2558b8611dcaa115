"""Studies: what an accuracy is owed to."""
