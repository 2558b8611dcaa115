"""Statistics: intervals, paired tests, power, and tests that may be looked at at any time."""
