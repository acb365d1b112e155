"""Which keys there are at a place of a plan, so that a hint names one that exists there."""

from __future__ import annotations

import types
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel

from headframe.config.plan.model import EnsembleConfig, MemberConfig, ModelConfig
from headframe.config.plan.plan import Plan
from headframe.config.plan.trainer import TrainerConfig
from headframe.config.targets.signature import parameters_of

Schema = type[BaseModel] | None


def walk(tree: Any, path: Sequence[str]) -> Any:
    """Give what stands at a place of a composed plan; None where nothing does."""
    for part in path:
        tree = tree.get(part) if isinstance(tree, Mapping) else None
    return tree


def keys_at(path: Sequence[str], tree: Any, own_source: Path) -> set[str]:
    """Name the keys that a place can have: those of the schema, of the target's signature, and those there already.

    Args:
        path: of the place, from the plan's root.
        tree: the composed plan, which need not be valid.
        own_source: the project's `src/`, where its own packages lie.
    """
    node = walk(tree, path)
    there = {str(key) for key in node} if isinstance(node, Mapping) else set()
    target = node.get("_target_") if isinstance(node, Mapping) else None
    parameters = parameters_of(target, own_source) if isinstance(target, str) else None
    return {*there, *schema_keys(path, tree), *(parameters or ())} - {"_target_"}


def schema_keys(path: Sequence[str], tree: Any) -> set[str]:
    """Name the keys that the schema itself reads at a place."""
    schema = _schema(path, tree)
    return {field.alias or name for name, field in schema.model_fields.items()} if schema is not None else set()


def _schema(path: Sequence[str], tree: Any) -> Schema:
    """Find the class that a place of the plan becomes."""
    annotation: Any = Plan
    node: Any = tree
    for part in path:
        schema = _class_of(annotation, node)
        if schema is MemberConfig and part == "trainer":
            annotation = TrainerConfig  # a member says only what differs of it
        elif schema is not None:
            names = {field.alias or name: field.annotation for name, field in schema.model_fields.items()}
            annotation = names.get(part)
        else:
            annotation = next(iter(get_args(annotation)[1:]), None) if get_origin(annotation) is dict else None
        node = walk(node, [part])
    return _class_of(annotation, node)


def _class_of(annotation: Any, node: Any) -> Schema:
    """Take the class out of an annotation; of a model and an ensemble, the one that `node` is."""
    if get_origin(annotation) is Annotated:
        return _class_of(get_args(annotation)[0], node)
    if get_origin(annotation) in (Union, types.UnionType):
        found = {each for part in get_args(annotation) if (each := _class_of(part, node)) is not None}
        if ModelConfig in found and EnsembleConfig in found:
            return EnsembleConfig if isinstance(node, Mapping) and "members" in node else ModelConfig
        return next(iter(found), None)
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None
