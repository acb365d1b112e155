"""Sources, readers, splits, tables and their versions."""
