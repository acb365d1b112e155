"""Components: what a `_target_` builds, and with which arguments."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    model_validator,
)
from pydantic_core import InitErrorDetails

TRUSTED = ("headframe.", "sklearn.", "torch.optim.")
"""Where a `_target_` may point besides the packages in the project's own `src/`."""


Kind = Literal["image", "series", "tokens", "tabular", "sparse"]


TaskKind = Literal["classification", "regression", "forecasting"]


ColumnType = Literal["bool", "int", "float", "string", "timestamp", "tensor", "list"]


Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$", max_length=100)]


class Component(BaseModel):
    """A `_target_` node: which class to build and with which arguments.

    `tiny` holds the arguments that make the same object small enough for a test.
    """

    model_config = ConfigDict(
        frozen=True, extra="allow", populate_by_name=True, serialize_by_alias=True, protected_namespaces=()
    )

    target: str = Field(alias="_target_")
    tiny: dict[str, Any] = {}

    @property
    def arguments(self) -> dict[str, Any]:
        """The keyword arguments for the target, as plain Python values."""
        return dict(self.model_extra or {})

    def shrunk(self) -> Self:
        """Give the same component with its tiny arguments in place."""
        return self.model_copy(update=self.tiny)

    @model_validator(mode="after")
    def _targets_are_trusted(self, info: ValidationInfo) -> Self:
        trusted = (*TRUSTED, *(info.context or {}).get("trusted", ()))
        for path in (self.target, *targets(self.arguments)):
            if not path.startswith(trusted):
                names = ", ".join(prefix.rstrip(".") for prefix in trusted)
                msg = f"_target_ {path!r} is outside the trusted packages ({names}); put your own code in src/"
                raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _numbers_are_finite(self) -> Self:
        """Refuse NaN and infinity in arguments, whose types the schema does not know, as it does everywhere else."""
        found = [
            InitErrorDetails(type="finite_number", loc=place, input=value)
            for place, value in _not_finite(self.arguments)
        ]
        if found:
            raise ValidationError.from_exception_data(self.target, found)
        return self


def targets(value: Any) -> Iterator[str]:
    """Yield each `_target_` that is nested anywhere in `value`."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if key == "_target_":
                yield str(inner)
            else:
                yield from targets(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from targets(inner)


def without_test_settings(value: Any) -> Any:
    """Leave out the tiny arguments of each component that is nested anywhere in a record's value."""
    if isinstance(value, Mapping):
        return {key: without_test_settings(inner) for key, inner in value.items()}
    if not isinstance(value, BaseModel):
        return value
    changes = {name: without_test_settings(getattr(value, name)) for name in type(value).model_fields}
    return value.model_copy(update={**changes, "tiny": {}} if isinstance(value, Component) else changes)


def _not_finite(value: Any, place: tuple[int | str, ...] = ()) -> Iterator[tuple[tuple[int | str, ...], float]]:
    """Yield each NaN and infinity that is nested anywhere in `value`, with its keys."""
    if isinstance(value, float) and not math.isfinite(value):
        yield place, value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _not_finite(inner, (*place, str(key)))
    elif isinstance(value, list | tuple):
        for number, inner in enumerate(value):
            yield from _not_finite(inner, (*place, number))
