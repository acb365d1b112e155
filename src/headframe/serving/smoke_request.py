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

OK = 200  # HTTP's

TOLERANCE = 1e-4
"""Largest difference between a response and the stored prediction, relative to the largest prediction of its kind.

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
    with model_files(version, uri, Trust.of(team)) as model:
        probe = str(folder / PROBE)
        status, response = call_with_model(query_package, model, name=version.model, number=number, probe=probe)
    if status != OK:
        msg = f"{version.model} version {number} responded to its own test row with HTTP {status}: {response}"
        raise HeadframeError(msg)
    predictions = pq.read_table(folder / PREDICTIONS, filters=[("split", "=", "test")])
    row_id = predictions.column("row_id")[0].as_py()
    if number == decision.version:
        difference = _difference(json.loads(response)["predictions"], predictions)
        if difference:
            raise HeadframeError(
                f"{version.model} version {number} responds differently for row {row_id} than when it was evaluated: "
                f"{difference}; what is served is not what was evaluated, so check what its code reads besides rows"
            )
    return SmokeTestResult(model=version.model, version=number, row_id=row_id, status=status, response=response)


def query_package(model: str, name: str, number: int, probe: str) -> tuple[int, str]:
    """Open the package in folder `model` and request predictions for the rows of a Parquet file.

    A model without look-back predicts for the first row alone.
    """
    import pyarrow.parquet as pq  # noqa: PLC0415 - only a smoke request needs it

    from headframe.registry.loader import load_package  # noqa: PLC0415 - only a smoke request needs it

    predictor = load_package(Path(model))
    rows = pq.read_table(probe)
    return send_request(predictor, ModelVersion(name, number), rows if predictor.lookback else rows.slice(0, 1))


def _difference(response: list[dict[str, Any]], predictions: pa.Table) -> str:
    """Return how a response (one row, or of a forecast one per step) differs from the first row of predictions."""
    import numpy as np  # noqa: PLC0415 - only a smoke request needs it
    import pyarrow as pa  # noqa: PLC0415 - only a smoke request needs it
    import pyarrow.compute as pc  # noqa: PLC0415 - only a smoke request needs it

    expected = predictions.column("prediction")
    if isinstance(expected.type, pa.FixedShapeTensorType):
        # A forecast: one row per step, whose first column counts the steps, then one column per variable.
        forecasts = expected.combine_chunks().to_numpy_ndarray()
        served = np.array([list(step.values())[1:] for step in response], float)
        return _gap("the forecast", served, forecasts[0], np.abs(forecasts).max(axis=(0, 1)))
    for name in (name for name in response[0] if name in predictions.column_names):
        value, column = response[0][name], predictions.column(name)
        if pa.types.is_floating(column.type):
            difference = _gap(name, np.array(value), column[0].as_py(), pc.max(pc.abs(column)).as_py())
            if difference:
                return difference
        elif value != (stored := json.loads(json.dumps(column[0].as_py(), default=str))):
            return f"{name} is {value!r} and was {stored!r}"
    return ""


def _gap(name: str, served: Any, stored: Any, largest: Any) -> str:
    """Return by how much numbers differ, relative to `largest` of their kind; empty where within tolerance."""
    gap = abs(served - stored)
    return "" if (gap <= TOLERANCE * largest).all() else f"{name} is off by {gap.max():.3g}"


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
