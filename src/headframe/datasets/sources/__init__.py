"""One module per URI scheme; each finds the raw files whose URIs begin with its name."""
