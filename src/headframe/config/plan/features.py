"""The part of a plan that says how raw rows become the inputs of a model."""

from typing import ClassVar, Self

from pydantic import Field, model_validator

from headframe.config.plan.component import DECLARED, Component, Distinct, Name
from headframe.digests import ORDERED, Record


class AugmentConfig(Component):
    """A random change of training inputs."""

    expects: ClassVar[tuple[str, ...]] = ("headframe.examples.augment.Augmentation",)
    takes: Distinct[Name] = Field(default=(), json_schema_extra=DECLARED)  # kinds of input that it changes; none: any


class EncoderConfig(Component):
    """How cells become numbers."""

    expects: ClassVar[tuple[str, ...]] = ("headframe.features.base.Encoder",)
    reads: Distinct[Name] = Field(default=(), json_schema_extra=DECLARED)  # types of column


class FramingConfig(Component):
    """Which rows an example is read from."""

    expects: ClassVar[tuple[str, ...]] = ("headframe.examples.framing.Framing",)


class FeaturesConfig(Record):
    """How raw rows become what a model takes."""

    gives: Name  # kind of input
    reads: Distinct[Name] = Field(default=(), json_schema_extra=DECLARED)  # types of column; none: any
    examples: Name = "row"  # what one example is: a row of the table, a window of consecutive rows, ...
    encoder: EncoderConfig | None = None
    encoders: dict[Name, EncoderConfig] = {}  # in the place of one: several, by the name of the input that each makes
    framing: FramingConfig | None = None  # none: an example is a row, or a window where the encoder looks back
    # Random changes of training inputs, by name, in this order.
    augment: dict[str, AugmentConfig] = Field(default={}, json_schema_extra=ORDERED)

    @property
    def by_input(self) -> dict[str, EncoderConfig]:
        """The encoders by the name of their input, which is empty where there is one."""
        # Sorted, since stored plans do not keep the order of keys that are names.
        return dict(sorted(self.encoders.items())) if self.encoder is None else {"": self.encoder}

    @model_validator(mode="after")
    def _has_encoders(self) -> Self:
        if (self.encoder is None) == (not self.encoders):
            raise ValueError("features have one `encoder`, or several `encoders` by name; give one of both keys")
        return self

    def columns(self, inputs: tuple[str, ...]) -> tuple[str, ...]:
        """Return the columns that all encoders read; see `columns_of`."""
        read = (columns_of(encoder, inputs) for encoder in self.by_input.values())
        return tuple(dict.fromkeys(name for columns in read for name in columns))


def columns_of(encoder: EncoderConfig, inputs: tuple[str, ...]) -> tuple[str, ...]:
    """Return the columns that an encoder reads: those of its `column` or `columns`, else the data set's inputs.

    Empty where the encoder reads one column and none is named although there are several inputs.
    """
    settings = encoder.arguments
    if "column" not in settings:
        return tuple(settings.get("columns") or inputs)
    if settings["column"]:
        return (settings["column"],)
    return inputs if len(inputs) == 1 else ()
