"""Pieces of an HTML page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape

STYLE = """
:root{color-scheme:light dark;--ink:#1a202c;--soft:#5a6778;--paper:#fff;--panel:#f5f7fa;--line:#dde3ea;--mark:#2b6cb0}
@media(prefers-color-scheme:dark){:root{--ink:#e6eaf0;--soft:#9aa7b8;--paper:#14181f;--panel:#1d232c;--line:#323b47;
--mark:#7db3ec}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,
"Noto Sans","Noto Sans CJK SC","PingFang SC","Microsoft YaHei",sans-serif}
main{max-width:60rem;margin:0 auto;padding:1.25rem}
h1{font-size:1.7rem;line-height:1.2;margin:.4rem 0}h2{font-size:1.15rem;margin:2.2rem 0 .6rem}
p{margin:.5rem 0}.soft{color:var(--soft)}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(11rem,1fr));gap:.75rem;margin:1.2rem 0}
.tile{background:var(--panel);border:1px solid var(--line);border-radius:.6rem;padding:.8rem 1rem}
.tile b{display:block;font-size:1.6rem;line-height:1.3;color:var(--mark);font-variant-numeric:tabular-nums}
.tile span{color:var(--soft);font-size:.85rem}
.wide{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{text-align:left;padding:.4rem .7rem .4rem 0;border-bottom:1px solid var(--line);white-space:nowrap}
th{color:var(--soft);font-weight:600;font-size:.85rem}td.number,th.number{text-align:right}
tr.lead td{font-weight:650}
figure{margin:1rem 0;background:#fff;border:1px solid var(--line);border-radius:.6rem;padding:.6rem;overflow-x:auto}
figure img{display:block;max-width:max(100%,36rem);height:auto;margin:0 auto}
figcaption{color:#5a6778;font-size:.85rem;text-align:center}
dl{display:grid;grid-template-columns:minmax(6rem,max-content) 1fr;gap:.35rem 1.2rem;margin:0}
dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere}
code,pre{font:.85rem/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
pre{background:var(--panel);border:1px solid var(--line);border-radius:.6rem;padding:.8rem;overflow-x:auto}
details{border-bottom:1px solid var(--line)}summary{cursor:pointer;padding:.5rem 0;font-weight:600}
""".strip()


def section(heading: str, body: str) -> str:
    """Write a part of a page under its heading; nothing where it is empty."""
    return f"<section><h2>{heading}</h2>{body}</section>" if body else ""


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], marked: int | None = None) -> str:
    """Write a table; a head that begins with # is of a column of numbers."""
    kinds = [' class="number"' if head.startswith("#") else "" for head in heads]
    top = "".join(f"<th{kind}>{escape(head.lstrip('#'))}</th>" for head, kind in zip(heads, kinds, strict=True))
    body = "".join(
        f"<tr{' class=lead' if place == marked else ''}>"
        + "".join(f"<td{kind}>{escape(cell)}</td>" for cell, kind in zip(row, kinds, strict=True))
        + "</tr>"
        for place, row in enumerate(rows)
    )
    return f'<div class="wide"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'


def pairs(told: Mapping[str, str], *, code: bool = False) -> str:
    """Write a list of names with what is said of them."""
    left, right = ("<code>", "</code>") if code else ("", "")
    return (
        "<dl>"
        + "".join(f"<dt>{escape(name)}</dt><dd>{left}{escape(text)}{right}</dd>" for name, text in told.items())
        + "</dl>"
    )
