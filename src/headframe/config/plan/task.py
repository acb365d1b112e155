"""The part of a plan that says what is predicted."""

from typing import ClassVar

from pydantic import Field

from headframe.config.plan.component import DECLARED, Component, Distinct, Name


class TaskConfig(Component):
    """What is predicted, and what it is predicted from."""

    expects: ClassVar[tuple[str, ...]] = ("headframe.tasks.base.Task",)
    kind: Name
    examples: Name = "row"  # what one example is, as the features must make them
    predicts: Distinct[Name] = Field(default=(), json_schema_extra=DECLARED)  # types of column; none: any
    needs_target: bool = Field(default=True, json_schema_extra=DECLARED)  # false: labels measure only, if there are any
    several: bool = Field(default=False, json_schema_extra=DECLARED)  # predicts several columns, not just the target
