"""Compose `conf/` into a plan, or say in one sentence why it cannot be."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException, MissingConfigException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import ValidationError

from headframe.config.nearest import nearest
from headframe.config.plan import Plan
from headframe.config.project import Project
from headframe.config.signature import check_arguments
from headframe.errors import ConfigurationError

_one_at_a_time = threading.Lock()
"""Hydra's composition is neither re-entrant nor thread-safe (hydra issue 3364)."""


def load_plan(overrides: Sequence[str], project: Project) -> Plan:
    """Compose `conf/plan.yaml` with Hydra overrides and validate the result.

    Args:
        overrides: Hydra's syntax, e.g. `["experiment=mnist_cnn", "trainer.max_epochs=2"]`.
        project: whose `conf/` and whose own packages in `src/` are meant.

    Raises:
        ConfigurationError: naming the key, what came, what was expected and the nearest valid choice.
    """
    tree = _compose(overrides, project)
    try:
        plan = Plan.model_validate(tree, context={"trusted": project.packages})
    except ValidationError as error:
        raise ConfigurationError(_sentence(error, tree)) from None
    for path, node in _components((), tree):
        check_arguments(".".join(path), node, project.root / "src")
    return plan


def plan_yaml(overrides: Sequence[str], project: Project) -> str:
    """Give the composed and validated plan as YAML."""
    plan = load_plan(overrides, project)
    return OmegaConf.to_yaml(OmegaConf.create(plan.model_dump(mode="json")))


def _compose(overrides: Sequence[str], project: Project) -> dict[str, Any]:
    with _one_at_a_time:
        GlobalHydra.instance().clear()
        try:
            with initialize_config_dir(config_dir=str(project.conf), version_base="1.3", job_name="headframe"):
                composed = compose("plan", overrides=list(overrides))
            tree = OmegaConf.to_container(composed, resolve=True, throw_on_missing=True)
        except MissingConfigException as error:
            raise ConfigurationError(_unknown_choice(error, overrides, project)) from None
        except (HydraException, OmegaConfBaseException) as error:
            raise ConfigurationError(_hydra_sentence(error, overrides, project)) from None
    assert isinstance(tree, dict)  # noqa: S101 - conf/plan.yaml is a mapping, or composing it failed
    return {str(key): value for key, value in tree.items()}


def _unknown_choice(error: MissingConfigException, overrides: Sequence[str], project: Project) -> str:
    group, _, choice = (error.missing_cfg_file or "").partition("/")
    if not choice:
        return _first_line(error)
    asked = next((text for text in overrides if text.endswith(f"={choice}")), f"{group}={choice}")
    return f"{asked}: there is no conf/{group}/{choice}.yaml; {nearest(choice, project.choices(group))}"


def _hydra_sentence(error: Exception, overrides: Sequence[str], project: Project) -> str:
    """Turn Hydra's own message, which explains Hydra, into one that explains the mistake."""
    text = str(error)
    if found := re.search(r"Key '([^']+)' is not in struct\s+full_key: (\S+)", text):
        return _unknown_key(found[2], project)
    if found := re.search(r"Could not override '([^']+)'", text):
        return _unknown_key(found[1], project)
    if found := re.search(r"Missing mandatory value: (\S+)", text):
        return f"{found[1]} has no value; give it one, as in {found[1]}=VALUE"
    if found := re.search(r"Interpolation key '([^']+)' not found", text):
        return f"conf/ refers to ${{{found[1]}}}, which the plan does not have"
    for override in overrides:
        if override in text:
            return f"{override}: {_first_line(error)}"
    return _first_line(error)


def _unknown_key(path: str, project: Project) -> str:
    """Name the key nearest to `path` in the plan as it is without overrides."""
    parts = path.split(".")
    if len(parts) == 1 and (project.conf / path).is_dir():
        return f"{path}: give it one of {', '.join(project.choices(path))}"
    node: Any = _tree_of_defaults(project)
    depth = 0
    while depth < len(parts) - 1 and isinstance(node, dict) and parts[depth] in node:
        node = node[parts[depth]]
        depth += 1
    siblings = {key for key in node if not key.startswith("_")} if isinstance(node, dict) else set()
    groups = {folder.name for folder in project.conf.iterdir() if folder.is_dir()} if depth == 0 else set()
    return f"{path}: the plan has no such key; for {parts[depth]!r}: {nearest(parts[depth], siblings | groups)}"


def _tree_of_defaults(project: Project) -> dict[str, Any]:
    with initialize_config_dir(config_dir=str(project.conf), version_base="1.3", job_name="headframe"):
        tree = OmegaConf.to_container(compose("plan"), resolve=False)
    return {str(key): value for key, value in tree.items()} if isinstance(tree, dict) else {}


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


_TAGS = {"model", "ensemble"}
"""Pydantic puts the branch it took of a union into the path of an error; users wrote no such key."""


def _sentence(error: ValidationError, tree: Mapping[str, Any]) -> str:
    """Say the first thing that is wrong: key, what came, what was expected."""
    first = error.errors(include_url=False)[0]
    path: list[str] = []
    for part in first["loc"]:
        if str(part) in _TAGS and path and path[-1] in {"model"}:
            continue
        path.append(str(part))
    name = ".".join(path)
    message = first["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
    match first["type"]:
        case "extra_forbidden":
            parent = _walk(tree, path[:-1])
            return f"{name}: the plan has no such key; {nearest(path[-1], _fields(path[:-1], parent))}"
        case "missing":
            return f"{name} has no value; give it one, as in {name}=VALUE"
        case "literal_error":
            came = first["input"]
            expected = first.get("ctx", {}).get("expected", "")
            choices = re.findall(r"'([^']*)'", str(expected))
            return f"{name}={came}: expected one of {', '.join(choices)}; {nearest(str(came), choices)}"
        case "value_error" | "type_error":
            return f"{name}: {message}" if name else message
        case _:
            return f"{name}={first['input']!r}: {message[0].lower()}{message[1:]}"


def _walk(tree: Any, path: Sequence[str]) -> Any:
    for part in path:
        tree = tree.get(part) if isinstance(tree, Mapping) else None
    return tree


def _fields(path: Sequence[str], parent: Any) -> set[str]:
    """Name the keys that the schema knows at `path`, as far as they can be told; else those that stand there."""
    model: Any = Plan
    for part in path:
        field = getattr(model, "model_fields", {}).get(part)
        model = field.annotation if field is not None else None
    known = set(getattr(model, "model_fields", {}))
    return known or set(parent if isinstance(parent, Mapping) else ())


def _components(path: tuple[str, ...], node: Any) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
    """Yield every mapping with a `_target_`, with the key under which it stands."""
    if isinstance(node, Mapping):
        if "_target_" in node:
            yield path, dict(node)
        for key, inner in node.items():
            yield from _components((*path, str(key)), inner)
