"""Ranges of settings, as types for the constructors of components; `signature` reads them from the source."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

Count = Annotated[int, Field(ge=1)]
"""A number of things of which there must be one."""

CountOrZero = Annotated[int, Field(ge=0)]
"""A number of things of which there may be none."""

NotNegative = Annotated[float, Field(ge=0)]
"""An amount that may be nothing."""

Positive = Annotated[float, Field(gt=0)]
"""An amount that must be something."""

Share = Annotated[float, Field(ge=0, lt=1)]
"""A part that leaves something of the whole: 0 <= share < 1."""

Fraction = Annotated[float, Field(gt=0, le=1)]
"""What is left of a whole: 0 < fraction <= 1."""
