"""Fine-tuning the sentence encoder: alike for a task is what should be near."""
