"""Check a data set against its own contract, so that nothing is fetched that could not be read or split."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from headframe.config.plan.component import Component, column_type_target
from headframe.config.plan.data import ColumnContract, DatasetConfig
from headframe.config.targets.find_definition import class_constant
from headframe.config.targets.nearest import nearest
from headframe.config.targets.signature import parameters_of
from headframe.config.targets.value_types import quotes_advice
from headframe.errors import ConfigurationError, some

ALWAYS = frozenset({"dtype", "nullable"})
"""Keys of a column's contract that mean something for every type of column."""


def check_dataset(dataset: DatasetConfig, own_source: Path) -> None:
    """Check columns, reader and split of a data set against each other, by what their classes declare.

    Args:
        dataset: valid by itself.
        own_source: the project's `src/`.

    Raises:
        ConfigurationError: naming the key, what it is, what was expected and what to do.
    """
    for fault in _faults(dataset, own_source):
        raise ConfigurationError(fault)


def _faults(dataset: DatasetConfig, own_source: Path) -> Iterator[str]:
    columns, reader, split = dataset.contract.columns, dataset.reader, dataset.split
    named = list(_named_columns(reader, own_source))
    typed = {name for _, name, kind in named if kind}
    for name, column in columns.items():
        yield from _contract_faults(f"dataset.contract.columns.{name}", column, own_source)
        in_cell = class_constant(column_type_target(column.dtype), "in_cell", own_source)
        if class_constant(reader.target, "reads_cells", own_source) and name not in typed and not in_cell:
            yield (
                f"dataset.contract.columns.{name}.dtype={column.dtype}: reader {reader.class_name} reads single cells, "
                f"which cannot hold a {column.dtype}; give the column another dtype, or leave it out"
            )
    for key, name, kind in named:
        if name not in columns:
            known = nearest(name, columns)
            yield f"dataset.reader.{key}={name}: dataset.contract.columns has no such column; {known}"
        elif kind and columns[name].dtype not in kind.split("|"):
            kinds = kind.replace("|", " or ")
            yield (
                f"dataset.contract.columns.{name}.dtype={columns[name].dtype}: {reader.class_name} reads a {kinds} "
                f"into the column that dataset.reader.{key} names; give it dtype {kinds}"
            )
    for key, name, _ in _named_columns(split, own_source):
        if name not in columns:
            yield f"dataset.split.{key}={name}: dataset.contract.columns has no such column; {nearest(name, columns)}"
        elif not class_constant(column_type_target(columns[name].dtype), "groups", own_source):
            yield f"dataset.split.{key}={name}: {columns[name].dtype} cells hold no name of a split"
    yield from _group_faults(dataset, own_source)
    if dataset.time is None:
        if class_constant(split.target, "by_time", own_source):
            yield f"dataset.time has no value, but {split.class_name} splits by time; name the column that orders rows"
    elif not class_constant(column_type_target(columns[dataset.time].dtype), "ordered", own_source):
        yield (
            f"dataset.time={dataset.time}: the column orders the rows, but it is {columns[dataset.time].dtype}, of "
            "which 10 may come before 9; give it dtype timestamp, int or float in dataset.contract.columns"
        )


def _group_faults(dataset: DatasetConfig, own_source: Path) -> Iterator[str]:
    for name in dataset.group:
        dtype = dataset.contract.columns[name].dtype
        if not class_constant(column_type_target(dtype), "groups", own_source):
            yield f"dataset.group={name}: {dtype} cells hold no name of a group"
    if dataset.group and class_constant(dataset.split.target, "disjoint", own_source) is False:
        yield (
            f"dataset.group={some(dataset.group)}: {dataset.split.class_name} splits by time, so groups would lie on "
            "both sides of a border; choose another split, or leave dataset.group out"
        )


def _contract_faults(path: str, column: ColumnContract, own_source: Path) -> Iterator[str]:
    """Yield what a column's contract says that its type of column does not check, or lacks what the type needs."""
    kind = column_type_target(column.dtype)
    checked = class_constant(kind, "constraints", own_source)
    needed = class_constant(kind, "needs", own_source) or ()
    for key in (*needed, *sorted(column.model_fields_set - ALWAYS)):
        value = getattr(column, key)
        if key in needed and not value:
            example = class_constant(kind, "example", own_source)
            yield f"{path}.{key} has no value; a {column.dtype} needs one, as in {example}"
        elif checked is not None and value != ColumnContract.model_fields[key].default and key not in checked:
            known = ", ".join(checked) or "nothing but nullable"
            yield f"{path}.{key}={some([value])}: this is not checked for {column.dtype}, which has {known}; remove it"
    entries = class_constant(kind, "entry_types", own_source) or ()
    if column.values is not None and entries and column.values not in entries:
        yield f"{path}.values={column.values}: no type of number is called so; {nearest(column.values, entries)}"
    if column.nullable and class_constant(kind, "can_miss", own_source) is False:
        yield f"{path}.nullable=True: a {column.dtype} cannot be missing; leave out rows without one, and nullable"
    if fault := _label_fault(path, column, own_source):
        yield fault
    for name, of_field in (column.fields or {}).items():
        where = f"{path}.fields.{name}"
        if not class_constant(column_type_target(of_field.dtype), "in_cell", own_source):
            yield f"{where}.dtype={of_field.dtype}: a field of a struct holds one value; give it another dtype"
        elif of_field.unique:
            yield f"{where}.unique=True: this is not checked for fields of structs; remove it"
        else:
            yield from _contract_faults(where, of_field, own_source)


def _label_fault(path: str, column: ColumnContract, own_source: Path) -> str:
    """Return what is wrong with the values that a contract lists, if YAML has read one as another type."""
    listed = class_constant(column_type_target(column.dtype), "listed", own_source)
    for value in column.one_of or ():
        if listed and type(value).__name__ not in listed:
            advice = quotes_advice(value, lambda _: "str" in listed)
            return f"{path}.one_of holds {value!r}, which is no {column.dtype}{advice}"
    return ""


def _named_columns(component: Component, own_source: Path) -> Iterator[tuple[str, str, Any]]:
    """Yield each setting of a component that names a column of the table, with the column and the type it must have."""
    for key, expected in (parameters_of(component.target, own_source) or {}).items():
        what, _, kind = expected.refers_to.partition(":")
        if what == "columns":
            name = component.arguments.get(key, class_constant(component.target, key, own_source))
            if name is not None:  # else its default is not written as text in the class
                yield key, str(name), kind
