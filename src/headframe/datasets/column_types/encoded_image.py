"""Images of any size as the bytes of their files."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
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
        text = "must be a whole JPEG or PNG image" + (f" of at most {most:,} pixels" if most else "")
        yield whole_file("image", text, lambda content: why_no_image(content, most), max_pixels=most)

    @override
    def block_bytes(self, contract: ColumnContract) -> int:
        return 2**16


def whole_file(name: str, text: str, why: Callable[[bytes], str], **settings: Any) -> CellConstraint:
    """Return a constraint on files in cells; `why` returns what is wrong with one, empty where nothing is."""

    def kept(cells: pa.Array) -> np.ndarray:
        return np.array([not why(each) for each in cells.to_pylist()], dtype=bool)

    return _WholeFile(name, text, kept, settings, why=why)


@dataclass(frozen=True)
class _WholeFile(CellConstraint):
    """What is shown of bytes that are no such file is why they are none."""

    why: Callable[[bytes], str] = str

    @override
    def wrong(self, cells: pa.Array) -> tuple[np.ndarray, Any]:
        found, _ = super().wrong(cells)
        if not len(found):
            return found, None
        return found, f"what {self.why(cells[found[0]].as_py())}"
