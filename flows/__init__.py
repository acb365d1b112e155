"""What happens in which order; how it happens is in `headframe`."""
