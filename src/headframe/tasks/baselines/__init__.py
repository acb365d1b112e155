"""Natural baselines: what predicts a task's targets without a model worth the name. A task declares which are its own.

A baseline of one's own is a class with `name` and `scores` in one file, here or in the project's package, and its path
in `natural_baselines` of the task's class. Training reaches none of this, so that a change here fits nothing again.
"""
