"""Speech: chat models, their prompts as token ids, streaming and label scoring."""
