"""The commands, one file per noun; each body calls library functions. Nothing heavy is imported at the top."""
