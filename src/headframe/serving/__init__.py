"""Predictions from a registered model: batch files and REST."""
