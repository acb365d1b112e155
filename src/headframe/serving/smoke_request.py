"""One request, answered by the very application that serves, without a port."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headframe.config.plan.plan import Plan
from headframe.errors import HeadframeError
from headframe.records import Answered, Decision, Trained
from headframe.registry.isolated import call_with_model
from headframe.registry.versions import is_intact, model_files, resolve
from headframe.signing.trust import Trust

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from headframe.prediction.predictor import Predictor
    from headframe.registry.versions import ModelVersion

OK = 200  # HTTP's

TOLERANCE = 1e-4
"""Largest difference between an answer and what was measured, relative to the largest prediction of its kind.

Rows that are answered alone and in a batch differ by up to 1e-6; a model that reads anything but its rows, or other
weights, by more than 1e-2.
"""


def answer(  # noqa: PLR0917 - a stage takes what its key is made of
    plan: Plan,
    decision: Decision,
    trained: Trained,
    uri: str,
    place: str,  # noqa: ARG001 - part of the stage's key: another registry may answer otherwise
    root: Path,
) -> Answered:
    """Ask the champion, or where none can answer the version decided about, for the first test row.

    Args:
        plan: its team says whose signature counts.
        decision: which version.
        trained: its probe and predictions give the row, its name and what the version predicted for it.
        uri: MLflow's address.
        place: the same as it reads on any machine.
        root: the project's folder.

    Raises:
        HeadframeError: the answer is not a good one, or not what the version decided about predicted when it was
            measured.
        Refused: its files are not what somebody trusted signed.
    """
    import pyarrow.parquet as pq  # noqa: PLC0415 - a kept answer is shown without it

    number = decision.champion if decision.champion is not None and decision.comparable else decision.version
    version = resolve(f"{decision.model}/{number}", uri)
    folder = root / trained.folder
    with model_files(version, uri, Trust.of(plan.team)) as model:
        probe = str(folder / "probe.parquet")
        status, response = call_with_model(ask_package, model, name=version.model, number=number, probe=probe)
    if status != OK:
        msg = f"{version.model} version {number} answered its own test row with HTTP {status}: {response}"
        raise HeadframeError(msg)
    predictions = pq.read_table(folder / "predictions.parquet", filters=[("split", "=", "test")])
    row_id = predictions.column("row_id")[0].as_py()
    if number == decision.version:
        difference = _difference(json.loads(response)["predictions"], predictions)
        if difference:
            msg = (
                f"{version.model} version {number} answers otherwise for row {row_id} than when it was measured: "
                f"{difference}; what is served is not what was measured, so look into what its code reads besides rows"
            )
            raise HeadframeError(msg)
    return Answered(model=version.model, version=number, row_id=row_id, status=status, response=response)


def ask_package(model: str, name: str, number: int, probe: str) -> tuple[int, str]:
    """Open a packaged model and send it the rows of a Parquet file, of which one is enough if it does not look back.

    Args:
        model: the folder that holds `MLmodel`.
        name: of the model in the registry.
        number: of its version.
        probe: the Parquet file.

    Raises:
        HeadframeError: as `open_package`.
    """
    import pyarrow.parquet as pq  # noqa: PLC0415 - see `answer`

    from headframe.registry.loader import load_package  # noqa: PLC0415
    from headframe.registry.versions import ModelVersion  # noqa: PLC0415

    predictor = load_package(Path(model))
    rows = pq.read_table(probe)
    return ask(predictor, ModelVersion(name, number), rows if predictor.lookback else rows.slice(0, 1))


def _difference(answer: list[dict[str, Any]], predictions: pa.Table) -> str:
    """Say where an answer differs from the first row of a predictions table; nothing where it does not.

    Args:
        answer: rows as the application gives them: one, or of a forecast one a step.
        predictions: the columns of `Task.predictions`.
    """
    import numpy as np  # noqa: PLC0415 - see `answer`
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.compute as pc  # noqa: PLC0415

    expected = predictions.column("prediction")
    if isinstance(expected.type, pa.FixedShapeTensorType):
        # A forecast: the answer is a row a step, counted in its first column, and then a column a variable.
        forecasts = expected.combine_chunks().to_numpy_ndarray()
        told = np.array([list(step.values())[1:] for step in answer], float)
        return _gap("the forecast", told, forecasts[0], np.abs(forecasts).max(axis=(0, 1)))
    for name in (name for name in answer[0] if name in predictions.column_names):
        value, column = answer[0][name], predictions.column(name)
        if pa.types.is_floating(column.type):
            difference = _gap(name, np.array(value), column[0].as_py(), pc.max(pc.abs(column)).as_py())
            if difference:
                return difference
        elif value != (kept := json.loads(json.dumps(column[0].as_py(), default=str))):
            return f"{name} is {value!r} and was {kept!r}"
    return ""


def _gap(name: str, told: np.ndarray, kept: Any, largest: Any) -> str:
    """Say by how much numbers differ; `largest` are the largest of their kind, which say what is little."""
    gap = abs(told - kept)
    return "" if (gap <= TOLERANCE * largest).all() else f"{name} is off by {gap.max():.3g}"


def still_answers(answered: Answered, uri: str, trust: Trust) -> bool:
    """Say whether the model that gave a kept answer is unchanged; where that is not known, it is asked again."""
    return is_intact(answered.model, answered.version, uri, trust) is True


def ask(predictor: Predictor, version: ModelVersion, rows: pa.Table) -> tuple[int, str]:
    """Send rows through the application as a client would, and give status and body of the answer."""
    import asyncio  # noqa: PLC0415 - see `answer`

    import httpx  # noqa: PLC0415

    from headframe.serving.app import make_app  # noqa: PLC0415

    app = make_app(predictor, version, max_rows=max(1, rows.num_rows))

    async def send() -> Any:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://model") as client:
            content = json.dumps(as_request(rows), default=str)
            return await client.post(
                "/invocations", content=content, headers={"content-type": "application/json"}, timeout=None
            )

    reply = asyncio.run(send())
    return reply.status_code, reply.text


def as_request(rows: pa.Table) -> dict[str, Any]:
    """Spell rows as the JSON of a request, in the form `dataframe_split`."""
    columns = [_cells(column) for column in rows.columns]
    return {
        "dataframe_split": {
            "columns": rows.column_names,
            "data": [list(row) for row in zip(*columns, strict=True)],
        }
    }


def _cells(column: pa.ChunkedArray) -> list[Any]:
    import pyarrow as pa  # noqa: PLC0415 - see `answer`

    if isinstance(column.type, pa.FixedShapeTensorType):
        cells: list[Any] = column.combine_chunks().to_numpy_ndarray().tolist()
        return cells
    return list(column.to_pylist())
