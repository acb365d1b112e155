"""Who vouches for what: keys, signed statements, and whose signature counts."""
