"""Words: templates, tasks, strategies and what fits into the context. Loads no model."""
