"""The part of a plan that says how raw rows become the inputs of a model."""

from typing import ClassVar

from pydantic import Field

from headframe.config.plan.component import DECLARED, Component, Distinct, Name
from headframe.digests import Record


class AugmentConfig(Component):
    """A random change of training inputs."""

    expects: ClassVar[tuple[str, ...]] = ("headframe.examples.augment.Augmentation",)
    takes: Distinct[Name] = Field(default=(), json_schema_extra=DECLARED)  # kinds of input that it changes; none: any


class EncoderConfig(Component):
    """How cells become numbers."""

    expects: ClassVar[tuple[str, ...]] = ("headframe.features.base.Encoder",)


class FeaturesConfig(Record):
    """How raw rows become what a model takes."""

    gives: Name  # kind of input
    reads: Distinct[Name] = Field(default=(), json_schema_extra=DECLARED)  # types of column; none: any
    examples: Name = "row"  # what one example is: a row of the table, a window of consecutive rows, ...
    encoder: EncoderConfig
    augment: dict[str, AugmentConfig] = {}  # random changes of training inputs, by name, in this order

    def columns(self, inputs: tuple[str, ...]) -> tuple[str, ...]:
        """Return the columns that the encoder reads: those of its `column` or `columns`, else the data set's inputs.

        Empty where the encoder reads one column and none is named although there are several inputs.
        """
        settings = self.encoder.arguments
        if "column" not in settings:
            return tuple(settings.get("columns") or inputs)
        if settings["column"]:
            return (settings["column"],)
        return inputs if len(inputs) == 1 else ()
