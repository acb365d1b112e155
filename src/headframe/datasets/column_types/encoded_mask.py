"""Masks of any size as the bytes of their files."""

from collections.abc import Iterator
from typing import ClassVar

from typing_extensions import override

from headframe.cells.constraints import CellConstraint
from headframe.cells.images import why_no_mask
from headframe.config.plan.data import ColumnContract
from headframe.datasets.column_types.encoded_image import EncodedImage, whole_file


class EncodedMask(EncodedImage):
    """The bytes of a PNG file with one number a pixel, 0 to 255, in each cell: in grey or by the place in a palette."""

    constraints: ClassVar[tuple[str, ...]] = ("max", "max_pixels")

    @override
    def checks(self, contract: ColumnContract) -> Iterator[CellConstraint]:
        most, largest = contract.max_pixels, contract.max
        bounds = [f"at most {most:,} pixels"] if most else []
        bounds += [f"numbers of at most {largest:g}"] if largest is not None else []
        text = "must be a whole PNG mask" + (f" of {' and '.join(bounds)}" if bounds else "")
        yield whole_file(
            "mask", text, lambda content: why_no_mask(content, most, largest), max_pixels=most, max=largest
        )
