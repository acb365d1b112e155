"""MLflow: its client, runs by id, lineage, artifacts, tags."""
