"""Fine-tuned models between data and scores: rows to learn from, and what was gained on rows that were held out."""
