"""Rebuild a registered version from the registry alone, and say whether it comes out the same."""
