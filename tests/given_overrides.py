"""Overrides of tests that begin with those of others."""


def last_of_each(*overrides: str) -> list[str]:
    """Return overrides without those whose key a later one gives, which one command may not have."""
    return [*{each.lstrip("+~").partition("=")[0]: each for each in overrides}.values()]
