"""A trained model as a folder, and the predictor that it becomes: raw rows in, predictions out."""
