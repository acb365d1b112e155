"""Records compared with the files that they are about, before anything is signed: what is signed is what is there."""

from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError

from headframe.datasets.splits import split
from headframe.digests import file_digest, folder_digest, load_json
from headframe.errors import DataError, first_line
from headframe.evaluation.layout import METRICS
from headframe.evaluation.metrics import EvaluationMetrics
from headframe.places import Places
from headframe.prediction.layout import BUNDLE, PREDICTIONS, RESULT
from headframe.registry.request import RegistrationRequest
from headframe.validation.checks import ValidationReport

_RESULT = {"bundle", "predictions", "epochs", "parameters", "members", "copies"}


def require_agreement(request: RegistrationRequest) -> None:
    """Check that what is known of a result is what its files and its table say, of which everything is computed again.

    Raises:
        DataError: something differs, or cannot be read.
    """
    try:
        for what, recorded, found in _compared(request):
            if recorded != found:
                raise DataError(
                    f"{what} is {str(found)[:80]}, but {str(recorded)[:80]} is recorded, so nothing is registered: it "
                    "was changed since it was written; run again, and if this stays, remove the folder of that step"
                )
    except (OSError, ValueError, KeyError) as error:
        why = "cannot be read" if isinstance(error, ValidationError) else first_line(error)
        raise DataError(f"the files of the result do not hold what is recorded of them ({why}); run again") from error


def _compared(request: RegistrationRequest) -> Iterator[tuple[str, Any, Any]]:
    """Yield what is compared, as it is recorded, and as it is computed or read."""
    data, trained, evaluated, root = request.data, request.trained, request.evaluated, request.root
    yield "split", data.split, split(request.plan.dataset.training_data, data.split.table, Places(root))
    yield f"{trained.folder}/{BUNDLE}", trained.bundle, folder_digest(request.training / BUNDLE)
    yield f"{trained.folder}/{PREDICTIONS}", trained.predictions, file_digest(request.training / PREDICTIONS)
    result = load_json((request.training / RESULT).read_bytes())
    for name, recorded in trained.model_dump(mode="json", include=_RESULT).items():
        yield f"{name} in {trained.folder}/{RESULT}", recorded, result[name]
    file = request.evaluation / METRICS
    yield f"{evaluated.folder}/{METRICS}", evaluated.digest, file_digest(file)
    metrics = EvaluationMetrics.model_validate_json(file.read_bytes())
    for name in ("rows", "primary_metric", "higher_is_better", "metrics", "baselines"):
        yield f"{name} in {evaluated.folder}/{METRICS}", getattr(evaluated, name), getattr(metrics, name)
    validated = data.validated
    report = ValidationReport.model_validate_json(request.validation.read_bytes())
    yield (
        f"the table of {validated.report}",
        (validated.table.digest, validated.table.rows),
        (report.digest, report.rows),
    )
    passed = sum(each.passed for each in report.results)
    yield f"how many expectations of {validated.report} are met", validated.expectations, passed
    yield "the table of the split", validated.table, data.split.table
