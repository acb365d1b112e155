"""What is found in data rather than predicted for a row: one file per kind of finding."""
