"""The recurrent units that networks are built of."""

from __future__ import annotations

from torch import nn

_CELLS: dict[str, type[nn.LSTM | nn.GRU]] = {"lstm": nn.LSTM, "gru": nn.GRU}


def layer_of(cell: str) -> type[nn.LSTM | nn.GRU]:
    """Give the layer of a unit called `lstm` or `gru`.

    Raises:
        ValueError: there is no such unit.
    """
    if cell not in _CELLS:
        raise ValueError(f"cell is one of {', '.join(_CELLS)}, but it is {cell!r}")
    return _CELLS[cell]
