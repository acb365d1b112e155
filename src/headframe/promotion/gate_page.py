"""The page of a gate report: one file of HTML that needs nothing beside itself, neither network nor script."""

from __future__ import annotations

from html import escape

from headframe.promotion.verdict import GateReport


def page(report: GateReport, sha256: str) -> str:
    """Write the page.

    Args:
        report: what the gates said.
        sha256: of the report's JSON.
    """
    rows = "".join(
        f"<tr><td>{escape(each.gate)}</td><td>{escape(each.word)}</td><td>{escape(each.because)}</td></tr>"
        for each in report.verdicts
    )
    return f'<!DOCTYPE html><html lang="en"><meta charset="utf-8"><table>{rows}</table><code>{sha256}</code></html>\n'
