"""What is predicted, and how it is judged: truth, prediction columns, plots."""
