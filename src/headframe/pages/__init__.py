"""HTML pages and Markdown documents, rendered in one place."""
