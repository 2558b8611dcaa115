"""What is trained on, held against what is not: rows for training, and figures on held-out ones."""
