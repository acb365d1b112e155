"""Names of the files that evaluation writes."""

METRICS = "metrics.json"
SLICES = "slices.json"
CARD = "card.md"
REPORT = "report.html"
PLAN = "plan.json"
PLOTS = "plots"
