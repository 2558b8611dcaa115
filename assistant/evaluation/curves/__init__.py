"""Learning curves: the same held-out rows answered by prompting and by tuning, over the number of labelled rows."""
