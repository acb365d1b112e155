"""Estimators with scikit-learn's interface, and how what they give becomes predictions."""
