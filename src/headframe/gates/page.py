"""The page of a gate report: one file of HTML that needs nothing beside itself, neither network nor script."""

from __future__ import annotations

import json
from collections.abc import Mapping
from html import escape
from typing import Any

from headframe.gates.report import GateReport, GateResult

_STYLE = """
:root{color-scheme:light dark;--ink:#1a202c;--soft:#5a6778;--paper:#fff;--panel:#f5f7fa;--line:#dde3ea;--mark:#2b6cb0;
--good:#1d6f42;--bad:#b3261e;--zero:#8794a5}
@media(prefers-color-scheme:dark){:root{--ink:#e6eaf0;--soft:#9aa7b8;--paper:#14181f;--panel:#1d232c;--line:#323b47;
--mark:#7db3ec;--good:#6fcf97;--bad:#ff8a80;--zero:#6b7686}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,
"Noto Sans","Noto Sans CJK SC","PingFang SC","Microsoft YaHei",sans-serif}
main{max-width:60rem;margin:0 auto;padding:1.25rem}
h1{font-size:1.7rem;line-height:1.2;margin:.4rem 0}h2{font-size:1.15rem;margin:2.2rem 0 .6rem}
p{margin:.5rem 0}.soft{color:var(--soft)}
.sum{font-size:1.1rem;font-weight:650;padding:.8rem 1rem;border:1px solid var(--line);border-left:.4rem solid;
border-radius:.6rem;background:var(--panel)}
.good{color:var(--good)}.bad{color:var(--bad)}.sum.good,.sum.bad{border-left-color:currentColor}
article{background:var(--panel);border:1px solid var(--line);border-radius:.6rem;padding:.8rem 1rem;margin:.75rem 0}
article header{display:flex;flex-wrap:wrap;gap:.3rem 1rem;align-items:baseline}
article h2{margin:0;font-size:1.05rem}article header b{margin-left:auto}
svg{display:block;width:100%;height:auto;max-width:44rem;margin:.6rem 0}
svg text{font:12px system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;fill:var(--soft)}
svg .zero{stroke:var(--zero);stroke-dasharray:4 3}svg .effect{fill:var(--zero);opacity:.18}
svg .reach{stroke:var(--mark);stroke-width:3}svg .value{fill:var(--mark)}
.wide{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{text-align:left;padding:.35rem .7rem .35rem 0;border-bottom:1px solid var(--line);overflow-wrap:anywhere}
th{color:var(--soft);font-weight:600;font-size:.85rem}td.number,th.number{text-align:right;white-space:nowrap}
dl{display:grid;grid-template-columns:minmax(6rem,max-content) 1fr;gap:.25rem 1.2rem;margin:.4rem 0;font-size:.9rem}
dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere;font-variant-numeric:tabular-nums}
code{font:.85rem/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
details{margin-top:.5rem}summary{cursor:pointer;color:var(--soft);font-size:.9rem}
""".strip()

_WIDTH, _EDGE = 640.0, 40.0  # of the picture, in its own units
_SLICE = ": "  # between a slice and what is said of it


def page(report: GateReport, sha256: str) -> str:
    """Write the page.

    Args:
        report: what the gates said.
        sha256: of the report's JSON.
    """
    title = escape(f"{report.model} version {report.version}")
    refused = [verdict.gate for verdict in report.results if not verdict.passed]
    kind, told = ("bad", f"Refused by {', '.join(refused)}") if refused else ("good", "Passed every gate")
    against = "there was no champion before" if report.champion is None else f"champion: version {report.champion}"
    tried = "" if report.tries == 1 else f", try {report.tries} against this champion"
    tried += "" if report.candidates == 1 else f", one of {report.candidates} candidates"
    digests = {
        "report": sha256,
        "model": report.bundle,
        **({} if report.champion_bundle is None else {"champion's model": report.champion_bundle}),
        **report.digests,
        "rows measured": report.rows_digest,
    }
    return "\n".join(
        [
            "<!DOCTYPE html>",
            '<html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width,initial-scale=1">',
            f"<title>{title}: gates</title><style>{_STYLE}</style></head><body><main>",
            f'<p class="soft">Headframe gates, policy {escape(report.policy)}</p>',
            f"<h1>{title}</h1>",
            f'<p class="sum {kind}">{escape(told)}</p>',
            f'<p class="soft">{report.rows:,} test rows; {against}{tried}.</p>',
            *(_verdict(each, report.settings.get(each.gate, {})) for each in report.results),
            "<h2>Digests (sha256)</h2>",
            _pairs(digests, code=True),
            "</main></body></html>",
            "",
        ]
    )


def _verdict(verdict: GateResult, settings: Mapping[str, Any]) -> str:
    kind, mark = ("good", "&#10003;") if verdict.passed else ("bad", "&#10007;")
    asked = {name: _spelled(value) for name, value in settings.items() if name not in ("_target_", "tiny")}
    slices, others = _divided(verdict.numbers)
    parts = [
        f'<header><h2>{escape(verdict.gate)}</h2><b class="{kind}">{mark} {escape(verdict.verdict)}</b></header>',
        f"<p>{escape(verdict.reason)}</p>",
        _picture(verdict.numbers),
        _slices(slices),
    ]
    if others:
        numbers = {name.replace("_", " "): _spelled(value) for name, value in others.items()}
        parts.append(f"<details><summary>Numbers</summary>{_pairs(numbers)}</details>")
    if asked:
        parts.append(f"<details><summary>Settings</summary>{_pairs(asked)}</details>")
    return f"<article>{''.join(parts)}</article>"


def _picture(numbers: Mapping[str, Any]) -> str:
    """Draw version minus champion with its interval, zero, and the band of effects too small to matter."""
    found = [numbers.get(name) for name in ("difference", "low", "high", "effect")]
    known = [float(each) for each in found if isinstance(each, int | float)]
    if len(known) < len(found):
        return ""
    difference, low, high, effect = known
    start, end = min(low, -1.2 * effect), max(high, 1.2 * effect)

    def at(value: float) -> float:
        return _EDGE + (value - start) / (end - start) * (_WIDTH - 2 * _EDGE)

    confidence = 100 * float(numbers.get("confidence") or 0)
    words = f"version minus champion: {difference:+.4f}, {confidence:.1f} % interval {low:+.4f} to {high:+.4f}"
    return (
        f'<svg viewBox="0 0 {_WIDTH:g} 92" role="img" aria-label="{escape(words)}">'
        f'<rect class="effect" x="{at(-effect):.1f}" y="14" width="{at(effect) - at(-effect):.1f}" height="44"/>'
        f'<line class="zero" x1="{at(0):.1f}" x2="{at(0):.1f}" y1="8" y2="62"/>'
        f'<line class="reach" x1="{at(low):.1f}" x2="{at(high):.1f}" y1="36" y2="36"/>'
        f'<line class="reach" x1="{at(low):.1f}" x2="{at(low):.1f}" y1="28" y2="44"/>'
        f'<line class="reach" x1="{at(high):.1f}" x2="{at(high):.1f}" y1="28" y2="44"/>'
        f'<circle class="value" cx="{at(difference):.1f}" cy="36" r="6"/>'
        f'<text x="{at(0):.1f}" y="74" text-anchor="middle">0</text>'
        f'<text x="{_WIDTH / 2:.0f}" y="89" text-anchor="middle">{escape(words)}; shaded: too small to matter</text>'
        "</svg>"
    )


def _divided(numbers: Mapping[str, Any]) -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
    """Tell what is said of slices, `SLICE: WHAT`, from the rest."""
    slices: dict[str, dict[str, Any]] = {}
    others = {}
    for name, value in numbers.items():
        part, found, what = name.rpartition(_SLICE)
        if found:
            slices.setdefault(part, {})[what] = value
        else:
            others[name] = value
    return slices, others


def _slices(slices: Mapping[str, Mapping[str, Any]]) -> str:
    if not slices:
        return ""
    heads = list(dict.fromkeys(what for each in slices.values() for what in each))
    top = "".join(f'<th class="number">{escape(head)}</th>' for head in heads)
    body = "".join(
        f"<tr><td>{escape(name)}</td>"
        + "".join(f'<td class="number">{escape(_spelled(each.get(head, "")))}</td>' for head in heads)
        + "</tr>"
        for name, each in slices.items()
    )
    return f'<div class="wide"><table><thead><tr><th>slice</th>{top}</tr></thead><tbody>{body}</tbody></table></div>'


def _spelled(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool | str):
        return str(value).lower() if isinstance(value, bool) else value
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4g}" if isinstance(value, float) else json.dumps(value, ensure_ascii=False)


def _pairs(pairs: Mapping[str, str], *, code: bool = False) -> str:
    left, right = ("<code>", "</code>") if code else ("", "")
    return (
        "<dl>"
        + "".join(f"<dt>{escape(name)}</dt><dd>{left}{escape(text)}{right}</dd>" for name, text in pairs.items())
        + "</dl>"
    )
