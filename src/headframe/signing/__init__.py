"""Keys, signed statements, and whose signature counts."""
