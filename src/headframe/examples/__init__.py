"""What one example is: rows and windows, and the batches that they come in."""
