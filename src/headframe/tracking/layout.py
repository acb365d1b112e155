"""Where the artifacts of a run lie in MLflow."""

from pathlib import PurePath

from headframe.prediction import layout as trained

PLAN = "plan.json"
PROVENANCE = "provenance.json"
TRAINING = "training"  # folder of predictions, result and history, as training wrote them
PREDICTIONS = f"{TRAINING}/{trained.PREDICTIONS}"
EVALUATION = "evaluation"  # folder of metrics, slices, model card, report and plots, as evaluation wrote them
GATES = "gates"  # folder of the gate reports about the version that the run made
DATA = "data"  # folder of the validation report
CODE = "code"
DIFF = f"{CODE}/code.diff"  # what differed from the commit, as `git apply` takes it
INSTALLED = f"{CODE}/installed.txt"  # the versions of all distributions, one a line


def validation_report(file: str) -> str:
    """Return the path of a run's validation report, which validation wrote to `file`."""
    return f"{DATA}/{PurePath(file).name}"
