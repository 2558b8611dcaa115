"""Metrics: how good answers are, and the rows of the leaderboard."""
