"""Contracts, held by Great Expectations."""
