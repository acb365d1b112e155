"""Score a file or a data set with a registered model."""

from pathlib import Path

from headframe.config.load import load_plan
from headframe.config.project import Project
from headframe.orchestration import flow
from headframe.records import Predicted
from headframe.serving.batch import predict_to_file
from headframe.tracking.address import tracking_uri


@flow(name="predict")
def predict(model: str, source: str, target: str, overrides: list[str]) -> Predicted:
    """Predict for each row of `source` and write a Parquet file.

    Args:
        model: `NAME`, `NAME@ALIAS` or `NAME/VERSION` in the registry; `NAME` means its champion.
        source: a Parquet or JSON-lines file, text with a header or as in the data set's own files, or the name of a
            data set.
        target: the Parquet file to write, with `row_id` and the predictions.
        overrides: Hydra overrides; the groups tracking, promotion and team matter.
    """
    project = Project.find(Path.cwd())
    plan = load_plan(overrides, project)
    return predict_to_file(
        model, source, Path(target), plan=plan, root=project.root, uri=tracking_uri(plan.tracking, project.root)
    )
