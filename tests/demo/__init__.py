"""Tests of the built-in data (a package, so that its file names may repeat those one floor up)."""
