"""Checks of `_target_` and its arguments, read from the source without importing it."""
