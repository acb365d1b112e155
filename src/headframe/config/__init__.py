"""The plan: what to run, composed once, typed, frozen.

Nothing here imports torch, mlflow, prefect, lightning or scikit-learn; a test proves it.
"""
