"""Reports: what a run came to, as HTML, Markdown, CSV and plots."""
