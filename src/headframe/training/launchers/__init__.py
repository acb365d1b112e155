"""Where the training program runs: one launcher a file."""
