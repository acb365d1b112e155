"""Contracts held by Great Expectations, and the proof that no row leaks between splits."""
