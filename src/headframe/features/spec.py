"""What a model takes: the layout of one example."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class InputSpec:
    """The layout of one example as an encoder gives it and a model takes it.

    Models ask for axes, vocabulary and density; the kind's name is for people and for what a plan declares.

    Attributes:
        kind: name of the layout, as `FeaturesConfig.gives` has it.
        axes: the size of each axis of one example by its name, without the batch axis. `time`, `height`, `width`,
            `channel` and `feature` are the names in use.
        vocabulary: number of token ids, padding (id 0, at the end) included, where values are ids, int64; 0 where they
            are measurements, float32 or of pixels uint8.
        parts: of several inputs, the layout of each by its name; then there are no axes.
        sparse: whether an example is a row of a SciPy CSR matrix, for estimators only.
    """

    kind: str
    axes: Mapping[str, int]
    vocabulary: int = 0
    sparse: bool = False
    parts: Mapping[str, "InputSpec"] = field(default_factory=dict)

    @property
    def shape(self) -> tuple[int, ...]:
        """The sizes of one example, without the batch axis."""
        return tuple(self.axes.values())

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the axes, in order."""
        return tuple(self.axes)

    @property
    def measured(self) -> bool:
        """Whether an example is a dense array of measurements, which a linear map can weigh."""
        return not self.vocabulary and not self.sparse and not self.parts


IMAGE = ("channel", "height", "width")
"""Axes of an image."""
