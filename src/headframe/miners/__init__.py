"""Classic and deep mining behind the scikit-learn estimator API."""
