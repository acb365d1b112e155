"""Names of the tags that Headframe writes on runs and versions; nobody is kept from changing what they hold."""

from __future__ import annotations

KEY = "headframe.key"  # what makes two publications the same one
PLAN = "headframe.plan"
TABLE = "headframe.table"
SPLIT = "headframe.split"
BUNDLE = "headframe.bundle"  # sha256 of the folder that holds the model
PREDICTIONS = "headframe.predictions"
PROVENANCE = "headframe.provenance"  # sha256 of the run's provenance.json
LEAD = "headframe.lead"  # name of the leading metric, whose value is in the tag `headframe.NAME`
PARITY = "headframe.parity"
VERSION = "headframe.version"  # of a run: which version it made
DECISION = "headframe.decision"  # why a version became champion
REPRODUCED = "headframe.reproduced"  # verdict of the last reproduction of a version; `.entry`: number and digest
LEDGER = "headframe.ledger"  # of a registered model: how far which ledger reached when MLflow was last told

DIGESTS = {
    "bundle": BUNDLE,
    "plan": PLAN,
    "table": TABLE,
    "split": SPLIT,
    "predictions": PREDICTIONS,
    "provenance": PROVENANCE,
}
"""Tags of a version that repeat what its author signed, by its name there."""
