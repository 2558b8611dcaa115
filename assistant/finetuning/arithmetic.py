"""Arithmetic stories with their solutions; they are written in `demo/stories.py`."""

from assistant.finetuning.demo.stories import TEST_SEEDS, Story, write_story

__all__ = ["TEST_SEEDS", "Story", "write_story"]
