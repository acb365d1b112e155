"""MLflow: runs by id, lineage, models in its format with proof of parity."""
