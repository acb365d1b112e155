"""What a cell of text means: whether it holds a value, and which value of a column's type."""
