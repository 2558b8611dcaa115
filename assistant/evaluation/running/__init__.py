"""Running: from a wish to a plan, block by block to a record."""
