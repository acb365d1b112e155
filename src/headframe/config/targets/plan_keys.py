"""Which keys there are at a path of a plan, so that a message suggests one that exists there."""

import types
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel

from headframe.config.plan.model import EnsembleConfig, MemberConfig, ModelConfig
from headframe.config.plan.plan import Plan
from headframe.config.plan.trainer import PhaseConfig, TrainerConfig
from headframe.config.targets.signature import settings_of


def walk(tree: Any, path: Sequence[str]) -> Any:
    """Return the node at a path of a composed plan; None where there is none."""
    for part in path:
        tree = tree.get(part) if isinstance(tree, Mapping) else None
    return tree


def keys_at(path: Sequence[str], tree: Any, own_source: Path) -> set[str]:
    """Return the keys that a node can have: those of the schema, of the target's signature, and those already there.

    The path begins at the root of the composed plan, `tree`, which need not be valid.
    """
    node = walk(tree, path)
    present = node if isinstance(node, Mapping) else {}
    known = isinstance(present.get("_target_"), str)
    parameters = settings_of(".".join(path), present, own_source) if known else None
    return {*map(str, present), *schema_keys(path, tree), *(parameters or ())} - {"_target_"}


def schema_keys(path: Sequence[str], tree: Any) -> set[str]:
    """Return the keys that the schema itself reads at a path."""
    schema = schema_at(path, tree)
    return {field.alias or name for name, field in schema.model_fields.items()} if schema is not None else set()


def schema_at(path: Sequence[str], tree: Any) -> type[BaseModel] | None:
    """Return the class that the node at a path is validated as; None where the schema leaves it open."""
    annotation: Any = Plan
    node: Any = tree
    for part in path:
        schema = _class_of(annotation, node)
        if schema in (MemberConfig, PhaseConfig) and part == "trainer":
            annotation = TrainerConfig  # they list only what differs
        elif schema is not None:
            names = {field.alias or name: field.annotation for name, field in schema.model_fields.items()}
            annotation = names.get(part)
        else:
            annotation = next(iter(get_args(annotation)[1:]), None) if get_origin(annotation) is dict else None
        node = walk(node, [part])
    return _class_of(annotation, node)


def _class_of(annotation: Any, node: Any) -> type[BaseModel] | None:
    """Return the class that an annotation names; of a model and an ensemble, the one that `node` is."""
    if get_origin(annotation) is Annotated:
        return _class_of(get_args(annotation)[0], node)
    if get_origin(annotation) in (Union, types.UnionType):
        found = {each for part in get_args(annotation) if (each := _class_of(part, node)) is not None}
        if ModelConfig in found and EnsembleConfig in found:
            return EnsembleConfig if isinstance(node, Mapping) and "members" in node else ModelConfig
        return next(iter(found), None)
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None
