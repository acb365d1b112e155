"""Networks, and the ways to combine members of an ensemble.

A network is built from `inputs`, the layout of one example, and `outputs`, the shape of one output, such as (classes,)
or (horizon, channels).
"""
