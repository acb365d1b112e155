"""Names of the files that evaluation writes."""

from __future__ import annotations

METRICS = "metrics.json"
SLICES = "slices.json"
CARD = "card.md"
REPORT = "report.html"
PLAN = "plan.json"
PLOTS = "plots"
