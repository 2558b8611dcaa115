"""The page in the browser: one file per tab; pure functions make the content."""
