"""Images of any size as the bytes of their files."""

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from typing_extensions import override

from headframe.cells.constraints import CellConstraint
from headframe.cells.images import why_no_image
from headframe.config.plan.data import ColumnContract
from headframe.datasets.column_types.base import ColumnType


class EncodedImage(ColumnType):
    """The bytes of a JPEG or PNG file in each cell."""

    stored: ClassVar[pa.DataType] = pa.binary()
    constraints: ClassVar[tuple[str, ...]] = ("max_pixels",)
    in_cell: ClassVar[bool] = False
    groups: ClassVar[bool] = False
    in_pandas: ClassVar[bool] = False

    @override
    def checks(self, contract: ColumnContract) -> Iterator[CellConstraint]:
        most = contract.max_pixels
        yield _WholeImage(
            "image",
            "must be a whole JPEG or PNG image" + (f" of at most {most:,} pixels" if most else ""),
            lambda cells: np.array([not why_no_image(each, most) for each in cells.to_pylist()], dtype=bool),
            {"max_pixels": most},
        )

    @override
    def block_bytes(self, contract: ColumnContract) -> int:
        return 2**16


class _WholeImage(CellConstraint):
    """What is shown of bytes that are no image is why they are none."""

    @override
    def wrong(self, cells: pa.Array) -> tuple[np.ndarray, Any]:
        found, _ = super().wrong(cells)
        if not len(found):
            return found, None
        return found, f"what {why_no_image(cells[found[0]].as_py(), self.settings['max_pixels'])}"
