"""Tags that Headframe sets on runs, versions and registered models; anybody may change their values in MLflow."""

KEY = "headframe.key"  # of run and version: what makes two submissions the same one
PLAN = "headframe.plan"
TABLE = "headframe.table"
SPLIT = "headframe.split"
BUNDLE = "headframe.bundle"  # sha256 of the folder that holds the model
PREDICTIONS = "headframe.predictions"
PROVENANCE = "headframe.provenance"  # sha256 of the run's provenance record
PRIMARY_METRIC = "headframe.primary_metric"  # its name; for its value see `metric`
PARITY = "headframe.parity"

VERSION = "headframe.version"  # of a run: the version that it made
COST_NOTE = "headframe.cost.note"  # of a run: which part of its cost is not known
CODE_NOTE = "headframe.code.note"  # of a run: why its commit or changes are not known
CODE_CHANGED = "headframe.code.changed"  # of a run: whether code differed from the commit; `unknown` where not known
LOCK = "headframe.lock"  # of a run: what pins the libraries
LOCK_DIGEST = "headframe.lock.sha256"
FLOW_RUN = "headframe.flow_run"  # of a run: address or id of the flow run
RELEASE = "headframe.release"

DECISION = "headframe.decision"  # of a version: why it became champion
REPRODUCED = "headframe.reproduced"  # of a version: verdict of its last reproduction
REPRODUCED_ENTRY = "headframe.reproduced.entry"  # number and digest of the ledger's entry of it
LEDGER = "headframe.ledger"  # of a registered model: how far which ledger reached when MLflow was last updated

DIGESTS = {
    "bundle": BUNDLE,
    "plan": PLAN,
    "table": TABLE,
    "split": SPLIT,
    "predictions": PREDICTIONS,
    "provenance": PROVENANCE,
}
"""Tags of a version that repeat what its author signed, by its name there."""


def metric(name: str) -> str:
    """Return the tag with the value of a metric."""
    return f"headframe.{name}"
