"""What is predicted: encoding of targets, loss, decoding of scores, metrics, plots."""
