"""Metrics with intervals, slices, plots and the model card, from the predictions table alone."""
