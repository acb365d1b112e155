"""Packaged models as predictors: what `mlflow.pyfunc.load_model` calls."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from headframe.digests import digest, file_digest
from headframe.errors import ConfigurationError, HeadframeError
from headframe.prediction.bundle import load_predictor
from headframe.prediction.predictor import Predictor
from headframe.prediction.schema import to_frame, to_table
from headframe.registry.layout import CODE, bundle_in, model_of, packages_in

OUTPUTS = ("predictions", "columns")

_IMPORTED: dict[str, str] = {}
"""Packages of models that this process imported, by name, with the digest of their source."""


def load_package(model: Path) -> Predictor:
    """Return the predictor of a packaged model.

    What the model brings as its own code is trusted as the model itself is: it came from the same registry.

    Args:
        model: the folder that holds `MLmodel`.

    Raises:
        DataError: a file is missing or was changed since it was packaged.
        HeadframeError: this process has imported another version of the code already.
    """
    return _open(bundle_in(model), model)


def _open(bundle: Path, model: Path) -> Predictor:
    packages = packages_in(model)
    code = model / CODE
    for name in packages:
        _require_same(name, code / name)
    if packages:  # before all else, the project's `src/` included
        sys.path[:] = [str(code), *(path for path in sys.path if path != str(code))]
    return load_predictor(bundle, trusted=tuple(f"{name}." for name in packages))


def _require_same(name: str, folder: Path) -> None:
    """Raise if importing `name` would not give the package in `folder`: Python imports a name once for a process."""
    expected = _source(folder)
    imported = sys.modules.get(name)
    if imported is not None:
        there = next(iter(getattr(imported, "__path__", ())), "")
        # What was fetched for an earlier model may be removed by now.
        if (_IMPORTED.get(name) or _source(Path(there))) != expected:
            raise HeadframeError(
                f"the model brings package {name!r} in {folder}, but this process has imported another version of it "
                f"from {there or 'elsewhere'}; open the model in a process of its own"
            )
    _IMPORTED[name] = expected


def _source(folder: Path) -> str:
    files = {path.relative_to(folder).as_posix(): file_digest(path) for path in folder.rglob("*.py")}
    return digest(files)


def requested_output(params: Mapping[str, Any]) -> str:
    """Return which of `OUTPUTS` the parameters of a request ask for.

    Raises:
        ConfigurationError: none of them.
    """
    output = params.get("output", OUTPUTS[0])
    if output not in OUTPUTS:
        raise ConfigurationError(f"params.output is {output!r}; expected {' or '.join(OUTPUTS)}")
    return str(output)


class PyfuncModel:
    """A model as MLflow calls it: raw rows as a data frame, or named arrays, in; a data frame out.

    Args:
        predictor: the model.
    """

    def __init__(self, predictor: Predictor) -> None:
        self.predictor = predictor

    def predict(self, model_input: Any, params: Mapping[str, Any] | None = None) -> Any:
        """Return predictions for rows.

        Args:
            model_input: a pandas data frame, or arrays by column; as the signature has it.
            params: `output`: `predictions` for what a person reads, `columns` for the prediction columns as evaluation
                has them, one row an example.

        Raises:
            DataError: the rows are not what the model takes.
            ConfigurationError: `output` is neither.
        """
        columns = requested_output(params or {}) == "columns"
        rows = to_table({str(name): model_input[name] for name in model_input}, self.predictor.schema)
        return to_frame(self.predictor.predictions(rows) if columns else self.predictor.predict(rows))


def _load_pyfunc(path: str) -> PyfuncModel:
    bundle = Path(path)
    return PyfuncModel(_open(bundle, model_of(bundle)))
