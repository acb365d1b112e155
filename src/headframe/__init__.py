"""Headframe: data mining with deep learning in which every result is a proof."""

__version__ = "0.1.0"
