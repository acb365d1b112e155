"""Raw rows into what a model takes; learned from training rows only, saved inside the model."""
