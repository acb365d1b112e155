"""A bundle as a model in MLflow's format, and the proof that its predictions are those of training."""

import os
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from headframe import __version__
from headframe.code_dependencies import installed_version
from headframe.errors import HeadframeError
from headframe.prediction.answers import compare_answers
from headframe.prediction.bundle import load_predictor
from headframe.prediction.schema import to_frame
from headframe.prediction.threads import limited_threads
from headframe.registry.isolated import call_with_model
from headframe.registry.loader import OUTPUTS
from headframe.registry.signature import LOADER

with warnings.catch_warnings():
    # mlflow 3.17 warns, when it is imported, of a type hint in its own classes.
    warnings.filterwarnings("ignore", ".*type hint is inferred as AnyType", UserWarning)
    import mlflow.pyfunc
    from mlflow.models import Model, ModelSignature
    from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema
    from mlflow.types.schema import AnyType, Array

PINNED = (
    "mlflow", "torch", "numpy", "pyarrow", "pandas", "scipy", "scikit-learn", "skops", "safetensors", "tokenizers",
    "pydantic",
)  # fmt: skip
"""What a model needs to predict; with the exact versions that it was packaged with."""

EXAMPLE_ROWS = 2
TOLERANCE = 1e-5
"""Largest difference between a number in predictions of the packaged and of the trained model, relative to the
largest one where that exceeds 1.

On one machine with one number of threads it is exactly 0. Another number of threads sums in another order: 7e-9 of
a probability for a small CNN. A model that was packaged in training mode, or without one of its transforms, differs
by more than 1e-2.
"""


def write_package(
    target: Path,
    bundle: Path,
    probe: pa.Table,
    *,
    name: str,
    run_id: str,
    model_id: str,
    created: datetime,
    code: Sequence[Path] = (),
) -> None:
    """Write a bundle as a model in MLflow's format: no pickle, a signature, an example, pinned requirements.

    Args:
        target: a folder that does not exist.
        bundle: the model.
        probe: raw rows that it can predict for.
        name: of the model. MLflow would write its place here, which changes with the project's: a model that is
            written again elsewhere must have the same bytes.
        run_id: of its run.
        model_id: of MLflow's logged model.
        created: when that entry was made, so that the same model written again has the same bytes.
        code: folders of the project's own packages, which the bundle may name.
    """
    predictor = load_predictor(bundle, trusted=tuple(f"{folder.name}." for folder in code))
    rows = probe.slice(0, EXAMPLE_ROWS) if predictor.framing.alone else probe
    rows = rows.select(predictor.schema.names)
    # A uv.lock in the working folder is not this model's: its requirements are the ones given here.
    os.environ.setdefault("MLFLOW_UV_AUTO_DETECT", "false")
    with warnings.catch_warnings():
        # mlflow 3.17 compares column names with a range, which pandas 3.1 will read otherwise one day.
        warnings.filterwarnings("ignore", "Operation with range", DeprecationWarning)
        mlflow.pyfunc.save_model(
            path=str(target),
            loader_module=LOADER,
            data_path=str(bundle),
            code_paths=[str(folder) for folder in code] or None,
            mlflow_model=Model(
                artifact_path=name,
                run_id=run_id,
                utc_time_created=created.astimezone(UTC).replace(tzinfo=None),
                model_uuid=model_id,
                model_id=model_id,
            ),
            signature=ModelSignature(
                inputs=input_schema(predictor.schema),
                outputs=_columns(_complete(predictor.predict(rows).schema)),
                params=ParamSchema([ParamSpec("output", DataType.string, OUTPUTS[0])]),
            ),
            input_example=to_frame(rows),
            pip_requirements=requirements(),
            metadata={"columns": {field.name: str(field.type) for field in predictor.schema}},
        )


def requirements() -> list[str]:
    """Return what a packaged model needs, each with its version; local parts of versions (`+cpu`) are left out."""
    return [f"headframe=={__version__}", *(f"{name}=={installed_version(name).partition('+')[0]}" for name in PINNED)]


def input_schema(schema: pa.Schema) -> Schema:
    """Return the schema of a model's rows in MLflow's types.

    A column of images is `Any` there: as nested arrays MLflow would check it in Python, cell by cell, at 70 ms for
    28 x 28 pixels, and as a tensor it would take them flat only. The model itself refuses a wrong shape or a
    value that is no pixel; what it expects is in the model's metadata under `columns`. A column of time is `Any`, too:
    as `datetime` MLflow would refuse every zone and the offset of a text. Its own scoring server reads neither type
    from CSV; it takes JSON, and `headframe serve` both.
    """
    return _columns(schema)


def _complete(schema: pa.Schema) -> pa.Schema:
    """Return a schema without nullable fields: predictions have no missing values."""
    return pa.schema([field.with_nullable(False) for field in schema])


def _columns(schema: pa.Schema) -> Schema:
    return Schema([ColSpec(_type(field), field.name, required=not field.nullable) for field in schema])


def _type(field: pa.Field) -> Any:
    kind = field.type
    if isinstance(kind, pa.FixedShapeTensorType) or pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return AnyType()
    if pa.types.is_struct(kind) or (pa.types.is_list(kind) and pa.types.is_struct(kind.value_type)):
        return AnyType()
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return Array(_type(kind.value_field))
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return DataType.binary
    if pa.types.is_boolean(kind):
        return DataType.boolean
    if pa.types.is_integer(kind):
        # With gaps pandas has them as floating point numbers, without as whole ones; MLflow lets one type in only.
        return AnyType() if field.nullable else DataType.long
    if pa.types.is_floating(kind):
        return DataType.double
    return DataType.string


def verify_parity(model: Path, probe: Path, expected: pa.Table, answer: pa.Table, threads: int) -> float:
    """Load a packaged model the way its users will, and compare what it predicts and answers with training.

    A model that brings code is loaded where the project's own cannot be imported, so that the copy is verified.

    Args:
        model: the folder with `MLmodel`, as it was downloaded again.
        probe: a Parquet file of raw rows.
        expected: the trained model's prediction columns for them.
        answer: what users see of these.
        threads: how many it was trained with, since their number changes the last bits.

    Returns:
        The largest absolute difference.

    Raises:
        HeadframeError: it exceeds `TOLERANCE`, or anything else in either differs, or the copied code fails.
    """
    with tempfile.TemporaryDirectory() as scratch:
        files = {output: str(Path(scratch) / output) for output in OUTPUTS}
        call_with_model(write_answers, model, probe=str(probe), threads=threads, files=files)
        found = {output: pq.read_table(file) for output, file in files.items()}
    differences = [
        compare_answers(_through_pandas(to_frame(table)), found[output])
        for output, table in zip(OUTPUTS, (answer, expected), strict=True)
    ]
    for difference in differences:
        if not difference.within(TOLERANCE):
            rows = pq.read_metadata(probe).num_rows
            raise HeadframeError(
                f"the packaged model differs from the trained one {difference}, on {rows} rows "
                f"(allowed: {TOLERANCE * difference.scale:.3g}); nothing was registered. A layer that behaves "
                "otherwise outside of training, or a transform that is not saved, is the usual cause"
            )
    return max(difference.largest for difference in differences)


def _through_pandas(answer: Any) -> pa.Table:
    """Return what `mlflow.pyfunc` gives, a data frame, as a table."""
    return pa.Table.from_pandas(answer, preserve_index=False).replace_schema_metadata()


def write_answers(model: str, probe: str, threads: int, files: Mapping[str, str]) -> None:
    """Load a packaged model and write what it gives for the rows of a Parquet file, a file for each of `OUTPUTS`."""
    loaded = mlflow.pyfunc.load_model(model, suppress_warnings=True)
    rows = to_frame(pq.read_table(probe))
    for output, file in files.items():
        with limited_threads(threads):
            found = loaded.predict(rows, params={"output": output})
        pq.write_table(_through_pandas(found), file)
