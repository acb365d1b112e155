"""Refuse aliases (`*name`) and references (`${name}`) that multiply: a few lines that would fill the memory."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf
from omegaconf.base import Container
from omegaconf.errors import InterpolationResolutionError

from headframe.errors import ConfigurationError

MOST_NODES = 100_000
"""Values of one file with all aliases written out; shipped files have some hundred."""

LARGEST_REFERENCES = 1_000_000
"""What all references of a plan may give, in characters and values, each reference counted as `REFERENCE`."""
REFERENCE = 1_000


def refuse_multiplied(conf: Path) -> None:
    """Refuse a file below a folder that holds too many values once its aliases are written out.

    Raises:
        ConfigurationError: naming the file.
    """
    for file in conf.rglob("*.yaml"):
        content = file.read_bytes() if file.is_file() else b""
        if b"*" in content and b"&" in content:
            try:
                nodes = _count(yaml.compose(content, yaml.SafeLoader), {})
            except (yaml.YAMLError, RecursionError):
                continue  # no YAML, or nested too deeply: named where the file is read
            if nodes > MOST_NODES:
                raise ConfigurationError(
                    f"{file} has more than {MOST_NODES:,} values with its aliases (*name) written out; write fewer"
                )


def _count(node: Any, known: dict[int, float]) -> float:
    """Count a node and all in it; infinity where it holds itself."""
    if id(node) not in known:
        known[id(node)] = float("inf")
        pairs = node.value if isinstance(node, yaml.MappingNode) else []
        inner = [each for pair in pairs for each in pair] or (node.value if isinstance(node, yaml.SequenceNode) else [])
        known[id(node)] = 1 + sum(_count(each, known) for each in inner)
    return known[id(node)]


@contextmanager
def bounded_references() -> Iterator[None]:
    """Refuse a plan whose references give too much, while they are resolved: merging files does that already.

    OmegaConf resolves a reference each time that another one leads to it, so that `a: ${b}${b}`, `b: ${c}${c}` and so
    on take twice the time and memory with each line.

    Raises:
        ConfigurationError: the plan's references multiply.
    """
    resolve, given = Container.resolve_parse_tree, 0

    def counted(self: Container, *arguments: Any, **named: Any) -> Any:
        nonlocal given
        if given <= LARGEST_REFERENCES:
            resolved = resolve(self, *arguments, **named)
            given += REFERENCE + _size(resolved)
        if given > LARGEST_REFERENCES:
            raise InterpolationResolutionError("the references multiply")
        return resolved

    # OmegaConf has no hook before a value is resolved; composing is done one at a time, so no other plan is counted.
    Container.resolve_parse_tree = counted  # type: ignore[method-assign]
    try:
        yield
    finally:
        Container.resolve_parse_tree = resolve  # type: ignore[method-assign]
        if given > LARGEST_REFERENCES:
            raise ConfigurationError(
                f"the references (${{...}}) of the plan give more than {LARGEST_REFERENCES:,} characters and values "
                "when they are written out; write fewer"
            ) from None


def _size(value: Any) -> int:
    """Count the characters of a text, and the values of a mapping or a list."""
    if OmegaConf.is_config(value):
        value = OmegaConf.to_container(value, resolve=False)
    if isinstance(value, dict | list):
        return 1 + sum(map(_size, value.values() if isinstance(value, dict) else value))
    return len(str(value))
