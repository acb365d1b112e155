"""Series: the frequency of their rows, what breaks it, and how gaps are filled."""
