"""Templates of all pages; their files count as the source of this package."""
