"""Networks, and the ways to combine members of an ensemble."""
