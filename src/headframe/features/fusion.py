"""Several encoders side by side, so that a model sees several inputs of one example by name."""

from collections.abc import Mapping
from typing import Any, ClassVar

import pyarrow as pa
from typing_extensions import override

from headframe.config.build import build
from headframe.config.plan.features import FeaturesConfig
from headframe.errors import ConfigurationError
from headframe.features.base import Encoded, Encoder
from headframe.features.spec import InputSpec


def encoder_of(features: FeaturesConfig) -> Encoder:
    """Build the encoder of a plan's features; of several, what fuses them."""
    encoders: dict[str, Encoder] = {name: build(component) for name, component in features.by_input.items()}
    return Fusion(encoders, features.gives) if features.encoders else encoders[""]


class Fusion(Encoder):
    """Encodes each row by several encoders, which may read the same columns.

    Args:
        encoders: by the name of the input that each makes.
        gives: the kind of all inputs together.

    Raises:
        ConfigurationError: they look back differently far.
    """

    gives: ClassVar[str] = "fused"

    def __init__(self, encoders: Mapping[str, Encoder], gives: str) -> None:
        lookbacks = {each.lookback for each in encoders.values()}
        if len(lookbacks) > 1:
            rows = " and ".join(map(str, sorted(lookbacks)))
            raise ConfigurationError(f"features.encoders look back {rows} rows; give all the same lookback")
        self.encoders = dict(encoders)
        self.kind = gives
        [self.lookback] = lookbacks
        self.padding = {name: each.padding[""] for name, each in encoders.items() if each.padding}

    def _fit(self, rows: pa.Table) -> None:
        for encoder in self.encoders.values():
            encoder.fit(rows, self.columns)
        self.columns = tuple(dict.fromkeys(name for each in self.encoders.values() for name in each.columns))

    def _encode(self, rows: pa.Table) -> Encoded:
        encoded: dict[str, Any] = {name: encoder.encode(rows) for name, encoder in self.encoders.items()}
        return encoded

    @override
    def spec(self) -> InputSpec:
        return InputSpec(self.kind, {}, parts={name: encoder.spec() for name, encoder in self.encoders.items()})

    @override
    def state(self) -> dict[str, Any]:
        return {"columns": list(self.columns), **{name: each.state() for name, each in self.encoders.items()}}

    @override
    def restore(self, state: dict[str, Any]) -> None:
        self.columns = tuple(state["columns"])
        for name, encoder in self.encoders.items():
            encoder.restore(state[name])
