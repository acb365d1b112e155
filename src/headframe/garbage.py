"""How often Python looks for garbage in a program."""

import gc


def collect_rarely() -> None:
    """Look for garbage less often in this process; entry points call this before anything heavy is imported.

    Imports make half a million objects that stay, and Python would go through them again and again, which takes a
    quarter of a command's start. What is not in a circle is freed at once as ever.
    """
    gc.set_threshold(50_000, 20, 100)
