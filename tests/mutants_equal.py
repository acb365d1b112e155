"""Changes that `mutants.py` makes and that change nothing which a test could see, each with the reason."""

EQUAL: dict[tuple[str, str, str], str] = {}
"""From the file below `src/headframe`, what stands there and what would, to the reason."""
