"""Versions of the data folder; `dvc_store` is the only adapter to DVC."""
