"""Components: what a `_target_` builds, and with which arguments."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Self, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, model_validator
from pydantic.config import JsonDict
from pydantic_core import InitErrorDetails

Part = TypeVar("Part", bound=BaseModel)
Item = TypeVar("Item")

TRUSTED = ("headframe.", "sklearn.", "torch.optim.")
"""Where a `_target_` may point besides the packages in the project's own `src/`."""

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$", max_length=100)]
"""What people name: data sets, tasks, kinds of input, types of column, members, gates."""


def _each_once(names: tuple[Item, ...]) -> tuple[Item, ...]:
    """Refuse a list that has an entry twice, which would be read, counted or shown twice."""
    # As written: 1 and true are equal, and different entries.
    twice = next((name for name, times in Counter(map(repr, names)).items() if times > 1), None)
    if twice is not None:
        raise ValueError(f"it has {twice} twice; name each once")
    return names


Distinct = Annotated[tuple[Item, ...], AfterValidator(_each_once)]
"""A list that has each entry once."""

COLUMN_TYPES = "headframe.datasets.column_types"
"""The package with one module for each type of column that a contract may name."""

DECLARED: JsonDict = {"declared": True}
"""Marks a field that is declared for checks and tests and decides no result; `without_declared` leaves it out."""


class Component(BaseModel):
    """A `_target_` node: which class to build and with which arguments.

    `tiny` holds the arguments that make the same object small enough for a test. There is a subclass for each kind of
    place in a plan; some add what a file declares of its target, so that parts can be checked against each other.

    Attributes:
        expects: the classes of which a target of this place has to derive from one, or a function has to return one,
            by the module that defines them.
    """

    expects: ClassVar[tuple[str, ...]] = ()

    model_config = ConfigDict(
        frozen=True, extra="allow", populate_by_name=True, serialize_by_alias=True, protected_namespaces=()
    )

    target: str = Field(alias="_target_")
    tiny: dict[str, Any] = Field(default={}, json_schema_extra=DECLARED)

    @property
    def class_name(self) -> str:
        """The last name of the target."""
        return self.target.rpartition(".")[2]

    @property
    def arguments(self) -> dict[str, Any]:
        """The keyword arguments for the target, as plain Python values."""
        return dict(self.model_extra or {})

    @property
    def call(self) -> str:
        """The component as a call in Python, with the last name of its target."""
        return f"{self.class_name}({', '.join(f'{name}={value!r}' for name, value in self.arguments.items())})"

    def shrunk(self) -> Self:
        """Return the same component with its tiny arguments in place."""
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
    """Yield each `_target_` that is nested anywhere in `value`, and the class of each type of column in a contract."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if key == "_target_":
                yield str(inner)
            elif key == "dtype" and isinstance(inner, str) and "_target_" not in value:
                yield column_type_target(str(inner))
            else:
                yield from targets(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from targets(inner)


def column_type_target(name: str) -> str:
    """Return the class that reads and checks columns of a type.

    >>> column_type_target("string")
    'headframe.datasets.column_types.string.String'
    """
    return f"{COLUMN_TYPES}.{name}.{''.join(part.capitalize() for part in name.split('_'))}"


def narrow(record: BaseModel, schema: type[Part]) -> Part:
    """Return the fields of a record that another schema has as well; what was checked once is not checked again."""
    fields = type(record).model_fields.keys() & schema.model_fields.keys()
    return schema.model_construct(**{name: getattr(record, name) for name in fields})


def without_declared(value: Any) -> Any:
    """Return a record whose declared fields have their default, in all records that are nested anywhere in it."""
    if isinstance(value, Mapping):
        return {key: without_declared(inner) for key, inner in value.items()}
    if not isinstance(value, BaseModel):
        return value
    fields = type(value).model_fields
    return value.model_copy(
        update={
            name: field.default if field.json_schema_extra == DECLARED else without_declared(getattr(value, name))
            for name, field in fields.items()
        }
    )


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
