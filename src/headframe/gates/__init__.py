"""What a version must pass before it may become champion: one file a gate, the context they look at, the report."""
