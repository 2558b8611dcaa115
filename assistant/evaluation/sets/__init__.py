"""Data sets: known ones by name, rows drawn and cut, the pool as an index."""
