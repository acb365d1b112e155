"""Ranges of settings, as annotations of constructors; `config.targets.signature` reads them from the source."""

from typing import Annotated

from pydantic import Field

Count = Annotated[int, Field(ge=1)]  # a number of things, at least one
CountOrZero = Annotated[int, Field(ge=0)]  # a number of things, possibly none
NotNegative = Annotated[float, Field(ge=0)]  # an amount of zero or more
Positive = Annotated[float, Field(gt=0)]  # an amount greater than zero
Share = Annotated[float, Field(ge=0, lt=1)]  # a part of a whole that leaves something of it: 0 <= share < 1
Fraction = Annotated[float, Field(gt=0, le=1)]  # a part of a whole that is not empty: 0 < fraction <= 1
OddCount = Annotated[int, Field(ge=1, json_schema_extra={"odd": True})]  # such as the size of a filter with a centre
Column = Annotated[str, Field(json_schema_extra={"refers_to": "columns"})]  # a column of the table
TensorColumn = Annotated[str, Field(json_schema_extra={"refers_to": "columns:tensor"})]  # a column of tensors
ImageColumn = Annotated[  # a column of images, of one size or of any
    str, Field(json_schema_extra={"refers_to": "columns:tensor|encoded_image"})
]
MaskColumn = Annotated[  # a column of masks, of one size or of any
    str, Field(json_schema_extra={"refers_to": "columns:tensor|encoded_mask"})
]
ListColumn = Annotated[str, Field(json_schema_extra={"refers_to": "columns:list"})]  # a column of lists of text
StructsColumn = Annotated[str, Field(json_schema_extra={"refers_to": "columns:struct_list"})]  # of lists of structs
TextColumn = Annotated[str, Field(json_schema_extra={"refers_to": "columns:string"})]  # a column of text
InputColumn = Annotated[str, Field(json_schema_extra={"refers_to": "inputs"})]  # a column that an encoder reads
TargetValue = Annotated[str | int | bool, Field(json_schema_extra={"refers_to": "target"})]  # a value of the target
