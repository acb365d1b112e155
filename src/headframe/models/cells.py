"""Recurrent layers by name."""

from __future__ import annotations

from torch import nn

_CELLS: dict[str, type[nn.LSTM | nn.GRU]] = {"lstm": nn.LSTM, "gru": nn.GRU}


def layer_of(cell: str) -> type[nn.LSTM | nn.GRU]:
    """Return the layer class of a unit, `lstm` or `gru`.

    Raises:
        ValueError: there is no such unit.
    """
    if cell not in _CELLS:
        raise ValueError(f"cell is one of {', '.join(_CELLS)}, but it is {cell!r}")
    return _CELLS[cell]
