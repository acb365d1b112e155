"""What a version must pass before it may become champion: one file a gate."""
