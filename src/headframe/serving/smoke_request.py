"""Smoke request: one request to the same application that serves, without a port."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headframe.config.plan.promotion import TeamConfig
from headframe.errors import HeadframeError
from headframe.places import Places
from headframe.prediction.layout import PREDICTIONS, PROBE
from headframe.records import Decision, SmokeTestResult, Trained
from headframe.registry.isolated import call_with_model
from headframe.registry.versions import ModelVersion, is_intact, model_files, resolve
from headframe.signing.trust import Trust

if TYPE_CHECKING:
    import pyarrow as pa

    from headframe.prediction.predictor import Predictor
    from headframe.tasks.base import Task

OK = 200  # HTTP's

TOLERANCE = 1e-4
"""Largest difference between a response and the stored prediction, relative to the largest of its column.

Rows that are predicted alone and in a batch differ by up to 1e-6; a model that reads anything but its rows, or other
weights, by more than 1e-2.
"""


def smoke_test(
    decision: Decision,
    trained: Trained,
    team: TeamConfig,
    registry: str,  # noqa: ARG001 - part of the step's key: another registry may respond otherwise
    places: Places,
) -> SmokeTestResult:
    """Request a prediction for the first test row from the champion, or if unusable from the version decided about.

    Args:
        decision: names the versions.
        trained: its probe and predictions hold the row, its id and what the version predicted for it.
        team: whose signatures count.
        registry: MLflow's address as any machine reads it.
        places: MLflow's address and the project's folder.

    Raises:
        HeadframeError: the response is an error, or differs from the prediction that was evaluated.
        Refused: the model's files are not what a trusted author signed.
    """
    import pyarrow.parquet as pq  # noqa: PLC0415 - a stored result is shown without it

    number = decision.champion if decision.champion is not None and decision.comparable else decision.version
    uri = places.tracking_uri
    version = resolve(f"{decision.model}/{number}", uri)
    folder = places.root / trained.folder
    files = {"probe": str(folder / PROBE)}
    if number == decision.version:
        files["predictions"] = str(folder / PREDICTIONS)
    with model_files(version, uri, Trust.of(team)) as model:
        status, response, difference = call_with_model(query_package, model, name=version.model, number=number, **files)
    if status != OK:
        msg = f"{version.model} version {number} responded to its own test row with HTTP {status}: {response}"
        raise HeadframeError(msg)
    tested = pq.read_table(folder / PREDICTIONS, columns=["row_id"], filters=[("split", "=", "test")])
    row_id = tested["row_id"][0].as_py()
    if difference:
        raise HeadframeError(
            f"{version.model} version {number} responds differently for row {row_id} than when it was evaluated: "
            f"{difference}; what is served is not what was evaluated, so check what its code reads besides rows"
        )
    return SmokeTestResult(model=version.model, version=number, row_id=row_id, status=status, response=response)


def query_package(model: str, name: str, number: int, probe: str, predictions: str = "") -> tuple[int, str, str]:
    """Open the package in folder `model` and request predictions for the rows of a Parquet file.

    A model that reads each example from its own row predicts for the first row alone.

    Returns:
        Status, response, and how that differs from the first test row of a file of predictions, if one is given.
    """
    import pyarrow.parquet as pq  # noqa: PLC0415 - only a smoke request needs it

    from headframe.registry.loader import load_package  # noqa: PLC0415 - only a smoke request needs it

    predictor = load_package(Path(model))
    rows = pq.read_table(probe)
    asked = rows.slice(0, 1) if predictor.framing.alone else rows
    status, response = send_request(predictor, ModelVersion(name, number), asked)
    if status != OK or not predictions:
        return status, response, ""
    stored = pq.read_table(predictions, filters=[("split", "=", "test")]).select(predictor.prediction_schema.names)
    responses = json.loads(response)["predictions"]
    if not predictor.framing.ahead and len(responses) == asked.num_rows:
        responses = responses[:1]  # the others are of rows that the first one is predicted from, too
    return status, response, _difference(responses, stored, predictor.task)


def _difference(response: list[dict[str, Any]], stored: pa.Table, task: Task) -> str:
    """Return how a response differs from the answer of the first of some stored predictions; empty where it does not.

    Numbers may differ by rounding, relative to the largest of their column among all of the predictions.
    """
    import pyarrow as pa  # noqa: PLC0415 - only a smoke request needs it

    from headframe.prediction.answers import compare_answers, differing_rows  # noqa: PLC0415 - as above
    from headframe.prediction.schema import to_table  # noqa: PLC0415 - as above

    expected, answers = task.answer(stored.slice(0, 1)), task.answer(stored)
    if len(response) != expected.num_rows:
        return f"{len(response)} rows came, not {expected.num_rows}"
    found = to_table({name: [row.get(name) for row in response] for name in expected.column_names}, expected.schema)
    for name in expected.column_names:
        rest = answers[name].slice(expected.num_rows)
        differing = differing_rows(answers[name], pa.chunked_array([*found[name].chunks, *rest.chunks]), TOLERANCE)
        if len(differing):
            gap = compare_answers(expected.select([name]), found.select([name])).largest
            came, was = (table[name][int(differing[0])].as_py() for table in (found, expected))
            return f"{name} is off by {gap:.3g}" if gap else f"{name} is {came!r} and was {was!r}"
    return ""


def is_unchanged(tested: SmokeTestResult, team: TeamConfig, places: Places) -> bool:
    """Return whether the model of a stored result is known to be unchanged, so that the result still holds."""
    return is_intact(tested.model, tested.version, places.tracking_uri, Trust.of(team)) is True


def send_request(predictor: Predictor, version: ModelVersion, rows: pa.Table) -> tuple[int, str]:
    """Send rows through the application as a client would, and return status and body of the response."""
    import asyncio  # noqa: PLC0415 - only a smoke request needs it

    import httpx  # noqa: PLC0415 - only a smoke request needs it

    from headframe.prediction.schema import json_value  # noqa: PLC0415 - only a smoke request needs it
    from headframe.serving.app import make_app  # noqa: PLC0415 - only a smoke request needs it

    content, headers = json.dumps(request_content(rows), default=json_value), {"content-type": "application/json"}
    limits = {"max_rows": max(1, rows.num_rows), "max_bytes": len(content)}
    transport = httpx.ASGITransport(make_app(predictor, version, **limits))

    async def send() -> httpx.Response:
        async with httpx.AsyncClient(transport=transport, base_url="http://model") as client:
            return await client.post("/invocations", content=content, headers=headers)

    response = asyncio.run(send())
    return response.status_code, response.text


def request_content(rows: pa.Table) -> dict[str, Any]:
    """Return rows as the JSON of a request, in the form `dataframe_split`."""
    from headframe.prediction.schema import json_rows  # noqa: PLC0415 - only a smoke request needs it

    return {"dataframe_split": {"columns": rows.column_names, "data": [[*row.values()] for row in json_rows(rows)]}}
