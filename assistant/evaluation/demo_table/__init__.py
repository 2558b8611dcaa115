"""The built-in model's table: what each strategy, passage and adapter changes, measured by one command."""
