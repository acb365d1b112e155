"""A page in parts, written as one file of HTML that needs nothing beside itself, or as Markdown."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from html import escape

from headframe.pages import html
from headframe.pages.numbers import number

_STYLE = """
:root{--good:#1d6f42;--bad:#b3261e;--rule:#8794a5}
@media(prefers-color-scheme:dark){:root{--good:#6fcf97;--bad:#ff8a80;--rule:#6b7686}}
.badge{display:inline-block;font-weight:650;padding:.15rem .7rem;border:1px solid;border-radius:1rem;font-size:.9rem}
.good{color:var(--good)}.bad{color:var(--bad)}.plain{color:var(--soft)}
td{vertical-align:top}td.text{white-space:normal;overflow-wrap:anywhere;min-width:9rem}
h3{font-size:1rem;margin:1.4rem 0 .3rem}
svg{display:block;width:100%;min-width:38rem;height:auto;margin:.8rem 0}
svg text{font:12px system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans","Noto Sans CJK SC",sans-serif;fill:var(--soft)}
svg text.name{fill:var(--ink);font-size:13px}svg .grid{stroke:var(--line)}
svg .guide{stroke:var(--good);stroke-dasharray:4 3}
svg .reach{stroke:var(--mark);stroke-width:2.5}svg .value{fill:var(--mark)}svg .single{fill:var(--mark);opacity:.4}
svg .marked .reach{stroke:var(--good)}svg .marked .value,svg .marked .single{fill:var(--good)}
dl{margin:.5rem 0}p code{overflow-wrap:anywhere}
@media(max-width:40rem){td,th{white-space:normal}td.text{min-width:5.5rem}}
""".strip()

_WIDTH, _LEFT, _RIGHT, _ROW, _TOP = 880.0, 250.0, 20.0, 34.0, 14.0  # of a picture, in its own units
_TICKS = 7  # at most
_LONGEST = 34  # characters of a name beside a dot
_CODE = re.compile(r"`([^`]+)`")


@dataclass(frozen=True)
class Text:
    """A paragraph; what stands in backticks is code."""

    text: str
    soft: bool = False


@dataclass(frozen=True)
class Heading:
    """A heading within a section."""

    text: str


@dataclass(frozen=True)
class Tiles:
    """Figures that matter most, each with what it is."""

    tiles: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Pairs:
    """Names with what is said of them."""

    told: dict[str, str]
    code: bool = False


@dataclass(frozen=True)
class Grid:
    """A table.

    Attributes:
        heads: one that begins with # is of a column of numbers, one with ~ of long texts.
        rows: of text.
        marked: places of rows that stand out.
    """

    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    marked: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Bullets:
    """A list."""

    items: Sequence[str]


@dataclass(frozen=True)
class Verbatim:
    """What is typed."""

    text: str


@dataclass(frozen=True)
class Dot:
    """A value with its error bar.

    Attributes:
        name: what it is of.
        value: where the dot stands.
        low: where the bar begins; None where there is none.
        high: where it ends.
        singles: what the value is the mean of; small dots.
        marked: it stands out.
    """

    name: str
    value: float
    low: float | None
    high: float | None
    singles: Sequence[float] = ()
    marked: bool = False


@dataclass(frozen=True)
class Dots:
    """A picture of values with their error bars, one below the other; Markdown has no such picture.

    Attributes:
        dots: from the top.
        axis: what is measured.
        guide: where a line is drawn through all of them; None draws none.
    """

    dots: Sequence[Dot]
    axis: str
    guide: float | None = None


Block = Text | Heading | Tiles | Pairs | Grid | Bullets | Verbatim | Dots


@dataclass(frozen=True)
class Section:
    """A part under a heading; without blocks it is left out."""

    heading: str
    blocks: Sequence[Block]


@dataclass(frozen=True)
class Page:
    """All of it.

    Attributes:
        kicker: what kind of page it is.
        title: of what it tells.
        badge: a word that says how things stand, and whether that is `good`, `bad` or `plain`; none where None.
        opening: before the first heading.
        sections: the rest.
    """

    kicker: str
    title: str
    badge: tuple[str, str] | None = None
    opening: Sequence[Block] = ()
    sections: Sequence[Section] = field(default_factory=tuple)


def as_html(page: Page) -> str:
    """Write a page as HTML: no script, no network; everything that was given is escaped."""
    title = escape(page.title)
    badge = "" if page.badge is None else f'<p><span class="badge {page.badge[1]}">{escape(page.badge[0])}</span></p>'
    return "\n".join(
        [
            "<!DOCTYPE html>",
            '<html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width,initial-scale=1">',
            f"<title>{title}: {escape(page.kicker.lower())}</title><style>{html.STYLE}\n{_STYLE}</style></head>",
            f'<body><main><p class="soft">Headframe {escape(page.kicker.lower())}</p><h1>{title}</h1>{badge}',
            *(_html(block) for block in page.opening),
            *(html.section(escape(each.heading), "".join(map(_html, each.blocks))) for each in page.sections),
            "</main></body></html>",
            "",
        ]
    )


def as_markdown(page: Page) -> str:
    """Write a page as Markdown."""
    lines = [f"# {page.kicker}: {page.title}", ""]
    if page.badge is not None:
        lines += [f"**{page.badge[0]}**", ""]
    for block in page.opening:
        lines += _markdown(block)
    for section in page.sections:
        if section.blocks:
            lines += [f"## {section.heading}", ""]
            for block in section.blocks:
                lines += _markdown(block)
    return "\n".join(lines)


def _html(block: Block) -> str:
    match block:
        case Text(text, soft):
            return f"<p{' class=soft' if soft else ''}>{_inline(text)}</p>"
        case Heading(text):
            return f"<h3>{escape(text)}</h3>"
        case Tiles(tiles):
            cells = "".join(f'<div class="tile"><b>{escape(a)}</b><span>{escape(b)}</span></div>' for a, b in tiles)
            return f'<div class="tiles">{cells}</div>'
        case Pairs(told, code):
            return html.pairs(told, code=code)
        case Grid():
            return _table(block)
        case Bullets(items):
            return "<ul>" + "".join(f"<li>{_inline(item)}</li>" for item in items) + "</ul>"
        case Verbatim(text):
            return f"<pre>{escape(text)}</pre>"
        case Dots():
            return _picture(block)


def _inline(text: str) -> str:
    return _CODE.sub(r"<code>\1</code>", escape(text))


def _table(grid: Grid) -> str:
    kinds = {"#": ' class="number"', "~": ' class="text"'}
    of = [kinds.get(head[:1], "") for head in grid.heads]
    top = "".join(f"<th{kind}>{escape(head.lstrip('#~'))}</th>" for head, kind in zip(grid.heads, of, strict=True))
    body = "".join(
        f"<tr{' class=lead' if place in grid.marked else ''}>"
        + "".join(f"<td{kind}>{_inline(cell)}</td>" for cell, kind in zip(row, of, strict=True))
        + "</tr>"
        for place, row in enumerate(grid.rows)
    )
    return f'<div class="wide"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'


def _picture(block: Dots) -> str:
    ends = [end for dot in block.dots for end in (dot.low, dot.high, dot.value, *dot.singles) if end is not None]
    low, high = min(ends), max(ends)
    margin = (high - low) * 0.04 or abs(high) * 0.01 or 1.0
    low, high = low - margin, high + margin
    bottom = _TOP + _ROW * len(block.dots)

    def at(value: float) -> str:
        return f"{_LEFT + (value - low) / (high - low) * (_WIDTH - _LEFT - _RIGHT):.1f}"

    parts = []
    for value in _ticks(low, high):
        parts.append(f'<line class="grid" x1="{at(value)}" x2="{at(value)}" y1="{_TOP}" y2="{bottom}"/>')
        parts.append(f'<text x="{at(value)}" y="{bottom + 18}" text-anchor="middle">{value:.6g}</text>')
    if block.guide is not None:
        parts.append(f'<line class="guide" x1="{at(block.guide)}" x2="{at(block.guide)}" y1="{_TOP}" y2="{bottom}"/>')
    for place, dot in enumerate(block.dots):
        parts.append(_dot(dot, _TOP + _ROW * (place + 0.5), at))
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    parts.append(f'<text x="{middle}" y="{bottom + 38}" text-anchor="middle">{escape(block.axis)}</text>')
    told = "; ".join(f"{dot.name}: {_told(dot)}" for dot in block.dots)
    label = escape(f"{block.axis}. {told}")
    box = f'viewBox="0 0 {_WIDTH:g} {bottom + 46:g}" role="img" aria-label="{label}"'
    return f'<div class="wide"><svg {box}>{"".join(parts)}</svg></div>'


def _ticks(low: float, high: float) -> list[float]:
    """Give round values between two ends: 1, 2 or 5 times a power of ten apart."""
    power = 10.0 ** math.floor(math.log10((high - low) / _TICKS))
    step = next(each * power for each in (1, 2, 5, 10) if (high - low) / (each * power) <= _TICKS)
    return [step * place for place in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _dot(dot: Dot, y: float, at: Callable[[float], str]) -> str:
    name = dot.name if len(dot.name) <= _LONGEST else f"{dot.name[: _LONGEST - 1]}…"
    parts = [f'<text class="name" x="{_LEFT - 14}" y="{y + 4:.1f}" text-anchor="end">{escape(name)}</text>']
    if dot.low is not None and dot.high is not None:
        parts.append(f'<line class="reach" x1="{at(dot.low)}" x2="{at(dot.high)}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts += [
            f'<line class="reach" x1="{at(end)}" x2="{at(end)}" y1="{y - 6:.1f}" y2="{y + 6:.1f}"/>'
            for end in (dot.low, dot.high)
        ]
    parts += [f'<circle class="single" cx="{at(each)}" cy="{y:.1f}" r="4"/>' for each in dot.singles]
    parts.append(f'<circle class="value" cx="{at(dot.value)}" cy="{y:.1f}" r="6"/>')
    told = escape(f"{dot.name}: {_told(dot)}")
    return f"<g{' class=marked' if dot.marked else ''}><title>{told}</title>{''.join(parts)}</g>"


def _told(dot: Dot) -> str:
    limits = "" if dot.low is None or dot.high is None else f" ({number(dot.low)} to {number(dot.high)})"
    return f"{number(dot.value)}{limits}"


def _markdown(block: Block) -> list[str]:
    match block:
        case Text(text):
            return [text, ""]
        case Heading(text):
            return [f"### {text}", ""]
        case Tiles(tiles):
            return [*(f"- {value}: {text}" for value, text in tiles), ""]
        case Pairs(told, code):
            mark = "`" if code else ""
            return [*(f"- {name}: {mark}{text}{mark}" for name, text in told.items()), ""]
        case Grid(heads, rows):
            lines = ["---:" if head.startswith("#") else "---" for head in heads]
            return [
                f"| {' | '.join(_cell(head.lstrip('#~')) for head in heads)} |",
                f"|{'|'.join(lines)}|",
                *(f"| {' | '.join(_cell(cell) for cell in row)} |" for row in rows),
                "",
            ]
        case Bullets(items):
            return [*(f"- {item}" for item in items), ""]
        case Verbatim(text):
            return ["```", text, "```", ""]
        case Dots():
            return []


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
