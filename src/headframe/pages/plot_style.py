"""The style of every plot, drawn without global state in the font that Matplotlib ships.

Figures are narrow and their panels lie one below the other, so that text is readable on a phone, too. The font has no
Chinese: names it cannot draw are replaced by short ones (`c3`, `v0`), which the task's `legend` explains; fonts that
happen to be installed would make plots differ between machines.
"""

import io
from functools import cache
from typing import Any

import numpy as np
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ft2font import FT2Font

BLUE, ORANGE, GREY, INK = "#2b6cb0", "#dd6b20", "#a0aec0", "#1a202c"
WIDTH = 5.2  # inches
TITLE, LABEL, SMALL = 11, 10, 9  # points


def new_figure(
    height: float, rows: int = 1, columns: int = 1, *, width: float = WIDTH, **options: Any
) -> tuple[Figure, np.ndarray]:
    """Return a figure of a size in inches and its panels, (rows, columns); options as for `Figure.subplots`."""
    figure = Figure(figsize=(width, height), dpi=120, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns, squeeze=False, **options)


def style(axes: Axes, *, title: str = "", x: str = "", y: str = "") -> None:
    """Style a panel: title on the left, light grid behind the data, no frame."""
    axes.set_xlabel(x, fontsize=LABEL)
    axes.set_ylabel(y, fontsize=LABEL)
    axes.set_title(title, fontsize=TITLE, loc="left")
    axes.tick_params(labelsize=SMALL)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(visible=True, color="#edf2f7", linewidth=0.8)
    axes.set_axisbelow(True)


def legend(axes: Axes, **options: Any) -> None:
    """Add a legend without a frame."""
    axes.legend(fontsize=SMALL, frameon=False, **options)


def short_label(text: str, longest: int = 18) -> str:
    """Return a shortened name whose dollar signs are not read as mathematics."""
    short = text if len(text) <= longest else text[: longest - 1] + "…"
    return short.replace("$", r"\$")


def drawable(text: str) -> bool:
    """Return whether the font of the plots has every letter of `text`."""
    return text.isprintable() and _letters().issuperset(map(ord, text))


@cache
def _letters() -> frozenset[int]:
    found = font_manager.findfont("DejaVu Sans", fallback_to_default=False)
    return frozenset(FT2Font(found).get_charmap())


def png(figure: Figure) -> bytes:
    """Draw a figure to bytes that are equal whenever the picture is: without the version that drew it.

    `savefig` would come to the same bytes, but goes through all text once more for the layout.
    """
    stream = io.BytesIO()
    canvas: Any = FigureCanvasAgg(figure)  # Matplotlib gives `print_png` no types
    canvas.print_png(stream, metadata={"Software": None})
    return stream.getvalue()
