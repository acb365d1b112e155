"""What a model is given, said in numbers."""

from __future__ import annotations

from dataclasses import dataclass

from headframe.config.plan.component import Kind


@dataclass(frozen=True)
class InputSpec:
    """The shape of one example as an encoder gives it and a model takes it.

    Attributes:
        kind: `image` float32 (channels, height, width); `series` float32 (time, channels);
            `tokens` int64 (length,), where id 0 is padding and padding stands at the end;
            `tabular` float32 (features,); `sparse` a SciPy CSR row (features,), for estimators only.
        shape: the sizes of one example, without the batch axis.
        vocabulary: number of token ids including padding; 0 unless `kind` is `tokens`.
    """

    kind: Kind
    shape: tuple[int, ...]
    vocabulary: int = 0
