"""How a model that MLflow keeps becomes one that answers: what `mlflow.pyfunc.load_model` calls."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from headframe.errors import ConfigurationError
from headframe.prediction.predictor import Predictor
from headframe.tracking.registry import bundle_in
from headframe.tracking.rows import to_table

CODE = "code"  # folder of a packaged model with the project's own packages
OUTPUTS = ("predictions", "scores")


def open_package(model: Path) -> Predictor:
    """Open a model in MLflow's format as a predictor.

    What the model brings as its own code is trusted as the model itself is: it came from the same registry.

    Args:
        model: the folder that holds `MLmodel`.

    Raises:
        DataError: a file is missing or was changed since it was packaged.
    """
    return _open(bundle_in(model), model / CODE)


def _open(bundle: Path, code: Path) -> Predictor:
    own = sorted(folder.name for folder in code.iterdir() if folder.is_dir()) if code.is_dir() else []
    if own and str(code) not in sys.path:
        sys.path.insert(0, str(code))
    return Predictor.load(bundle, trusted=tuple(f"{name}." for name in own))


class Answers:
    """What MLflow asks: raw rows as a data frame, or named arrays, in; a data frame out.

    Args:
        predictor: the model.
    """

    def __init__(self, predictor: Predictor) -> None:
        self.predictor = predictor

    def predict(self, model_input: Any, params: Mapping[str, Any] | None = None) -> Any:
        """Answer for rows.

        Args:
            model_input: a pandas data frame, or arrays by column; as the signature has it.
            params: `output`: `predictions` gives a data frame with the columns a person reads, `scores` an array.

        Raises:
            DataError: the rows are not what the model takes.
            ConfigurationError: `output` is neither.
        """
        output = (params or {}).get("output", OUTPUTS[0])
        if output not in OUTPUTS:
            msg = f"params.output is {output!r}; expected {' or '.join(OUTPUTS)}"
            raise ConfigurationError(msg)
        rows = to_table({str(name): model_input[name] for name in model_input}, self.predictor.schema)
        if output == "scores":
            scores: np.ndarray = self.predictor.scores(rows)
            return scores
        return self.predictor.predict(rows).to_pandas()


def _load_pyfunc(path: str) -> Answers:
    bundle = Path(path)
    return Answers(_open(bundle, bundle.parent.parent / CODE))
