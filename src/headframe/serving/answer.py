"""One request, answered by the very application that serves, without a port."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headframe.errors import HeadframeError
from headframe.records import Answered, Decision, Trained
from headframe.tracking.registry import is_intact, open_version, resolve

if TYPE_CHECKING:
    import pyarrow as pa

    from headframe.prediction.predictor import Predictor
    from headframe.tracking.registry import Version


def answer(
    decision: Decision,
    trained: Trained,
    uri: str,
    place: str,  # noqa: ARG001 - part of the stage's key: another registry may answer otherwise
    root: Path,
) -> Answered:
    """Ask the champion, or where there is none the version decided about, for the first test row.

    Args:
        decision: which version.
        trained: its probe and predictions give the row and its name.
        uri: MLflow's address.
        place: the same as it reads on any machine.
        root: the project's folder.

    Raises:
        HeadframeError: the answer is not a good one.
    """
    import pyarrow.parquet as pq  # noqa: PLC0415 - a kept answer is shown without it

    number = decision.version if decision.champion is None else decision.champion
    version = resolve(f"{decision.model}/{number}", uri)
    predictor = open_version(version, uri)
    folder = root / trained.folder
    rows = pq.read_table(folder / "probe.parquet")
    if not predictor.lookback:
        rows = rows.slice(0, 1)
    names = pq.read_table(folder / "predictions.parquet", columns=["row_id"], filters=[("split", "=", "test")])
    status, response = ask(predictor, version, rows)
    if status != 200:  # noqa: PLR2004 - HTTP's OK
        msg = f"{version.model} version {number} answered its own test row with HTTP {status}: {response}"
        raise HeadframeError(msg)
    row_id = names.column("row_id")[0].as_py()
    return Answered(model=version.model, version=number, row_id=row_id, status=status, response=response)


def still_answers(answered: Answered, uri: str) -> bool:
    """Say whether the model that gave a kept answer is unchanged; where that is not known, it is asked again."""
    return is_intact(answered.model, answered.version, uri) is True


def ask(predictor: Predictor, version: Version, rows: pa.Table) -> tuple[int, str]:
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
