"""Versions in MLflow's registry: listing, packaging with a parity proof, signatures, loading."""
