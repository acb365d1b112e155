"""Refuse YAML whose aliases multiply: a few lines of `*name` that would fill the memory when they are read."""

from pathlib import Path
from typing import Any

import yaml

from headframe.errors import ConfigurationError

MOST_NODES = 100_000
"""Values of one file with all aliases written out; shipped files have some hundred."""


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
