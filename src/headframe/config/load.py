"""Compose `conf/` into plans, or explain in one sentence why that is impossible."""

import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice, product
from math import prod
from pathlib import Path
from typing import Any

import yaml
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, RangeSweep
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException
from pydantic import ValidationError

from headframe.config.compatibility import check_compatibility, check_tasks
from headframe.config.dataset_checks import check_dataset
from headframe.config.expansion import bounded_references, refuse_multiplied
from headframe.config.plan.component import Component
from headframe.config.plan.data import DatasetConfig
from headframe.config.plan.plan import Plan
from headframe.config.plan_errors import components, describe_errors, missing_in_components, missing_keys, without_value
from headframe.config.project import Project
from headframe.config.repeated_keys import refuse_repeated
from headframe.config.targets.expected import check_derives
from headframe.config.targets.find_definition import scheme_module
from headframe.config.targets.nearest import nearest
from headframe.config.targets.plan_keys import keys_at, schema_at, schema_keys, walk
from headframe.config.targets.signature import SETTINGS, check_arguments
from headframe.errors import ConfigurationError, first_line, some

_one_at_a_time = threading.Lock()
"""Hydra's composition is neither re-entrant nor thread-safe (hydra issue 3364)."""

MOST_PLANS = 10_000
"""Plans of one command line."""

LONGEST_OVERRIDE, LONGEST_KEY = 10_000, 200
"""Characters; Hydra reads some thousand a second."""


def expand(overrides: Sequence[str]) -> list[list[str]]:
    """Return the overrides of each plan that a line such as `model=cnn,lstm seed=range(3)` names, in Hydra's order.

    Raises:
        ConfigurationError: an override is no `key=value`, two give one key, or a sweep lists no values.
    """
    axes: list[list[str]] = []
    parsed = [_parse(text) for text in overrides]
    refuse_repeated(parsed)
    for text, override in zip(overrides, parsed, strict=True):
        if override.is_sweep_override():
            key, sweep = override.get_key_element(), override.value()
            try:
                # A range is not written out before it is known how long it is, which shuffling it would do.
                numbers = sweep.range() if isinstance(sweep, RangeSweep) else ()
                few = len([*islice(numbers, MOST_PLANS + 1)]) <= MOST_PLANS
                values = override.sweep_string_iterator() if few else (str(number) for number in numbers)
                axes.append([f"{key}={value}" for value in islice(values, MOST_PLANS + 1)])
            except (HydraException, ValueError):  # glob(*), interval(1,2), range(1,9,0)
                msg = f"{text!r} lists no values; write them as in {key}=A,B,C or seed=range(3)"
                raise ConfigurationError(msg) from None
            if not axes[-1]:
                msg = f"{text!r} names no value, so nothing would run; name at least one, as in seed=range(3)"
                raise ConfigurationError(msg)
        else:
            axes.append([text])
    if prod(map(len, axes)) > MOST_PLANS:
        msg = f"{some(overrides)}: these are more than {MOST_PLANS:,} plans; give them in several commands"
        raise ConfigurationError(msg)
    return [list(choice) for choice in product(*axes)]


def _parse(text: str) -> Override:
    if len(text) > LONGEST_OVERRIDE:
        most = f"at most {LONGEST_OVERRIDE:,} characters"
        msg = f"{some([text])}: an override has {most}; write the value in a file of conf/"
        raise ConfigurationError(msg)
    try:
        (override,) = OverridesParser.create().parse_overrides([text])
    except OverrideParseException:
        raise ConfigurationError(_no_override(text)) from None
    except RecursionError:
        raise ConfigurationError(f"{some([text])}: this is nested too deeply to be read; make it flatter") from None
    if len(override.key_or_group) > LONGEST_KEY:
        raise ConfigurationError(f"{some([text])}: no key of a plan is that long; write key=value")
    return override


def _no_override(text: str) -> str:
    key, _, value = text.partition("=")
    quoted = f"; a value with other characters stands in quotes, as in '{key}=\"{value}\"'" if key and value else ""
    return f"{text!r} is no override; write key=value, as in trainer.max_epochs=3{quoted}"


UNKNOWN_KEYS = (
    r"Key '[^']+' is not in struct\s+full_key: (\S+)",
    r"Could not (?:override|delete from config\.) '([^']+)'",
)
HYDRA_MESSAGES = {
    r"An item is already at '([^']+)'": "{0}: the plan has this key already; leave out the +",
    r"Error merging override ([^\s=]+)=\[": "{0} has keys with values, and is no list; give them as in {0}.KEY=VALUE",
    r"Error merging override ([^\s=]+)=\{": "{0} is a list, and has no keys; give it as a whole, as in {0}=[1,2]",
    r"Unsupported interpolation type (\S+)": "${{{0}:...}}: a plan refers to its own keys alone; write the value",
    r"(Recursive interpolation) detected": "values of the plan refer to each other in a circle; write one of them",
    r"primary config '(\w+)' must be a DictConfig": "conf/{0}.yaml is a list; expected keys with values",
    r"(\S+) appears more than once in the final defaults": "{0}: the plan has a choice of {0} already; leave out the +",
}
"""What Hydra says of a key, and what that means for a plan."""


WITHOUT_HYDRAS_OWN = tuple(
    f"hydra/{group}=[]"
    for group in ("env", "help", "hydra_help", "hydra_logging", "job_logging", "launcher", "output", "sweeper")
)
"""Leave out what Hydra needs to be a command line, which Headframe is itself: a quarter of the time of composing."""


RESOLVERS = (
    *("oc.create", "oc.decode", "oc.deprecated", "oc.dict.keys", "oc.dict.values", "oc.env", "oc.select"),
    *("hydra", "now", "python_version"),
)
"""What OmegaConf and Hydra would compute in a plan. A plan refers to its own keys alone: it is stored and shown, and so
would be a variable of the environment, which may be a secret; a time of day would make another plan each time."""


def load_plan(overrides: Sequence[str], project: Project, *, fitting: bool = True) -> Plan:
    """Compose `conf/plan.yaml` with Hydra overrides and validate the result.

    Args:
        overrides: Hydra's syntax, e.g. `["experiment=mnist_cnn", "trainer.max_epochs=2"]`.
        project: whose `conf/` and whose own packages in `src/` are meant.
        fitting: whether data set, features, model and task must fit together; ingesting data does not need that.

    Raises:
        ConfigurationError: naming the key, what came, what was expected and the nearest valid choice.
    """
    tree, choices = _compose(overrides, project)
    try:
        plan = Plan.model_validate(tree, context={"trusted": project.packages})
    except ValidationError as error:
        raise ConfigurationError(describe_errors(error, tree, project)) from None
    for key, value in _truth_values_as_numbers(tree, plan.model_dump()):
        raise ConfigurationError(f"{key}={str(value).lower()}: expected a number, and no truth value")
    for path, node in components((), tree):
        schema = schema_at(path, tree)
        expects = schema.expects if schema is not None and issubclass(schema, Component) else ()
        check_derives(".".join(path), str(node["_target_"]), expects, project.root / "src")
    _check_dataset(plan.dataset, choices.get("dataset"))
    check_dataset(plan.dataset, project.root / "src")
    (check_compatibility if fitting else check_tasks)(plan, project)
    for path, node in components((), tree):
        check_arguments(".".join(path), node, project.root / "src", schema_keys(path, tree) or SETTINGS)
    if missing := missing_in_components(tree, project):
        raise ConfigurationError(without_value(missing))
    return plan


def _truth_values_as_numbers(tree: Any, plan: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, bool]]:
    """Yield each truth value that became a number in the plan, as pydantic lets it, with its key."""
    if isinstance(tree, Mapping) and isinstance(plan, Mapping):
        for key, value in tree.items():
            yield from _truth_values_as_numbers(value, plan.get(key), (*path, str(key)))
    elif isinstance(tree, list) and isinstance(plan, list | tuple):
        for number, (value, validated) in enumerate(zip(tree, plan, strict=False)):
            yield from _truth_values_as_numbers(value, validated, (*path, str(number)))
    elif isinstance(tree, bool) and type(plan) in (int, float):
        yield ".".join(path), tree


def as_yaml(plan: Plan) -> str:
    """Return a plan as YAML."""
    return OmegaConf.to_yaml(OmegaConf.create(plan.model_dump(mode="json")))


def _compose(overrides: Sequence[str], project: Project) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the plan's tree, and for each group the file that was chosen."""
    with _one_at_a_time, bounded_references():
        GlobalHydra.instance().clear()
        try:
            refuse_multiplied(project.conf)
            _check_choices(overrides, project)
            with initialize_config_dir(config_dir=str(project.conf), version_base="1.3", job_name="headframe"):
                for name in filter(OmegaConf.has_resolver, RESOLVERS):
                    OmegaConf.clear_resolver(name)
                given = [*WITHOUT_HYDRAS_OWN, *overrides]
                composed = compose("plan", overrides=given, return_hydra_config=True)
            choices = dict(composed.hydra.runtime.choices)
            with open_dict(composed):
                del composed["hydra"]
            if missing := sorted(OmegaConf.missing_keys(composed)):
                raise ConfigurationError(without_value(missing))
            tree = OmegaConf.to_container(composed, resolve=True, throw_on_missing=True)
        except MissingConfigException as error:
            raise ConfigurationError(_unknown_choice(error, overrides, project)) from None
        except (HydraException, OmegaConfBaseException) as error:
            raise ConfigurationError(_hydra_sentence(error, overrides, project)) from None
        except RecursionError:
            deep = "lists or keys that are nested too deeply to be read"
            msg = f"{project.conf} holds {deep}, or a file that includes itself; make them flatter"
            raise ConfigurationError(msg) from None
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise ConfigurationError(_unreadable(error, project)) from None
        except (TypeError, ValueError) as error:  # OmegaConf's own, when a key leads into a list
            raise ConfigurationError(_into_list(overrides, project) or first_line(error)) from error
    assert isinstance(tree, dict)  # noqa: S101 - conf/plan.yaml is a mapping, or composing it failed
    for override in OverridesParser.create().parse_overrides(list(overrides)):
        key = override.key_or_group
        if override.value() == {} and walk(tree, key.split(".")):
            msg = f"{override.input_line} changes nothing, since mappings are merged; remove keys as in ~{key}.NAME"
            raise ConfigurationError(msg)
    return {str(key): value for key, value in tree.items()}, choices


def _unreadable(error: yaml.YAMLError | UnicodeDecodeError, project: Project) -> str:
    """Return a message with file and line of what is no YAML, or no text at all."""
    match error:
        case yaml.MarkedYAMLError(problem_mark=yaml.Mark(name=name, line=line), problem=problem):
            file, what = Path(name), f"this is no YAML ({problem})"
        case yaml.reader.ReaderError(name=name, position=position):
            file, what = Path(name), "a character that YAML does not allow"
            line = file.read_text(encoding="utf-8")[:position].count("\n")
        case _:
            file, line = _first_not_utf8(project)
            what = "this is no UTF-8 text"
    where = f"{file.relative_to(project.root)}, line {line + 1}"
    return f"{where}: {what}; correct the line, or resolve the conflict where a merge has left <<<<<<< in the file"


def _first_not_utf8(project: Project) -> tuple[Path, int]:
    """Return file and line of what Hydra could not decode, since its error does not name them."""
    for file in sorted(project.conf.rglob("*.yaml")):
        raw = file.read_bytes()
        try:
            raw.decode("utf-8")
        except UnicodeDecodeError as error:
            return file, raw[: error.start].count(b"\n")
    raise ConfigurationError(f"{project.conf} was changed while it was read; run the command again")


def _check_dataset(dataset: DatasetConfig, choice: str | None) -> None:
    """Refuse a data set that is not named as its file, and a source whose scheme no module provides."""
    name = dataset.name
    if choice is not None and name != choice.removesuffix(".yaml"):
        raise ConfigurationError(
            f"dataset.name={name}: expected {choice}, the name of its file conf/dataset/{choice}.yaml, since two data "
            f"sets of one name would overwrite each other in data/{name}/; give both one name"
        )
    for key, source in dataset.sources.items():
        try:
            scheme_module(source.uri)
        except ConfigurationError as error:
            raise ConfigurationError(f"dataset.sources.{key}.uri: {error}") from None


def _check_choices(overrides: Sequence[str], project: Project) -> None:
    """Refuse what would end in a traceback of Hydra, or accept without any effect."""
    parsed = [_parse(text) for text in overrides]
    refuse_repeated(parsed)
    for override in parsed:
        text, group = str(override.input_line), override.key_or_group
        if not group:
            raise ConfigurationError(_no_override(text))
        if re.split(r"[./]", group)[0] == "hydra":
            msg = f"{text}: Headframe composes a plan and does the rest itself, so Hydra's own settings have no effect"
            raise ConfigurationError(msg)
        if override.is_delete() or not (project.conf / group).is_dir():
            continue
        choice = override.value()
        if not isinstance(choice, str | list | dict) or not choice:
            hint = nearest("none" if choice is None else str(choice), project.choices(group))
            raise ConfigurationError(f"{text}: expected the name of a file in conf/{group}; {hint}")


def _unknown_choice(error: MissingConfigException, overrides: Sequence[str], project: Project) -> str:
    group, _, choice = (error.missing_cfg_file or "").partition("/")
    if not choice:
        return first_line(error)
    override = next((text for text in overrides if text.endswith(f"={choice}")), f"{group}={choice}")
    return f"{override}: there is no conf/{group}/{choice}.yaml; {nearest(choice, project.choices(group))}"


def _hydra_sentence(error: Exception, overrides: Sequence[str], project: Project) -> str:
    """Translate Hydra's own message, which explains Hydra, into one that explains the mistake."""
    text = str(error)
    if not text and error.__cause__ is not None:
        reason = first_line(error.__cause__)
        return f"conf/ holds a value that cannot be read: {reason}; correct it in the chosen files"
    for pattern in UNKNOWN_KEYS:
        if found := re.search(pattern, text):
            return _unknown_key(found[1], overrides, project)
    if found := re.search(r"Interpolation key '([^']+)' not found", text):
        return _unknown_reference(found[1], overrides, project)
    for pattern, message in HYDRA_MESSAGES.items():
        if found := re.search(pattern, text):
            return message.format(found[1])
    culprit = next((f"{override}: " for override in overrides if override in text), "")
    return f"{culprit}{first_line(error)}"


def _unknown_key(path: str, overrides: Sequence[str], project: Project) -> str:
    """Return a message with the key nearest to `path` in the plan that the other overrides make."""
    if "@" in path:
        group, _, place = path.partition("@")
        return f"{path}: the plan has no choice of {group} at {place}; leave out @{place}, as in {group}=NAME"
    parts = path.split(".")
    if len(parts) == 1 and (project.conf / path).is_dir():
        return f"{path}: give it one of {', '.join(project.choices(path))}"
    tree = _tree_before(path, overrides, project)
    depth = 0
    while depth < len(parts) - 1 and walk(tree, parts[: depth + 1]) is not None:
        depth += 1
    where = ".".join(parts[:depth])
    if depth < len(parts) - 1 and parts[depth] in (walk(tree, parts[:depth]) or {}):
        empty = ".".join(parts[: depth + 1])
        choices = f"; give it one of {', '.join(project.choices(empty))}" if (project.conf / empty).is_dir() else ""
        return f"{path}: {empty} is null in this plan, so it has no keys{choices}"
    known = keys_at(parts[:depth], tree, project.root / "src")
    if parts[depth] in known:
        default = ".".join(parts[: depth + 1])
        return f"{path}: conf/ leaves {default} at its default; add it with a +, as in +{path}=VALUE"
    groups = {folder.name for folder in project.conf.iterdir() if folder.is_dir()} if depth == 0 else set()
    if not known | groups:
        return f"{path}: {where} is a value and has no keys"
    return f"{path}: the plan has no such key; for {parts[depth]!r}: {nearest(parts[depth], known | groups)}"


def _unknown_reference(key: str, overrides: Sequence[str], project: Project) -> str:
    """Return a message on a key that `conf/` refers to: with all others that lack a value where it is one of these."""
    tree = _tree(overrides, project)
    try:
        Plan.model_validate(tree, context={"trusted": project.packages})
    except ValidationError as error:
        missing = missing_keys(error, tree, project)
        if key in missing:
            return without_value(missing)
    return f"conf/ refers to ${{{key}}}, which the plan does not have"


def _tree_before(path: str, overrides: Sequence[str], project: Project) -> Any:
    """Compose the plan as it was when Hydra reached `path`: with all choices, and the values given before it."""
    keys = _keys(overrides)
    failing = next((number for number, key in enumerate(keys) if path == key or key.startswith(f"{path}.")), len(keys))
    numbered = enumerate(zip(overrides, keys, strict=True))
    applied = [text for number, (text, key) in numbered if number < failing or (project.conf / key).is_dir()]
    return _tree(applied, project)


def _into_list(overrides: Sequence[str], project: Project) -> str | None:
    """Return a message on the override whose key leads into a list, which can only be given as a whole."""
    keys = _keys(overrides)
    choices = [text for text, key in zip(overrides, keys, strict=True) if (project.conf / key).is_dir()]
    try:
        tree = _tree(choices, project)
    except (TypeError, ValueError):
        return None  # the chosen files themselves cannot be composed
    for key in keys:
        parts = key.split(".")
        for depth in range(1, len(parts)):
            if isinstance(walk(tree, parts[:depth]), list):
                whole = ".".join(parts[:depth])
                return f"{key}: {whole} is a list; give it as a whole, as in {whole}=[1,2]"
    return None


def _keys(overrides: Sequence[str]) -> list[str]:
    return [override.key_or_group for override in OverridesParser.create().parse_overrides(list(overrides))]


def _tree(overrides: Sequence[str], project: Project) -> Any:
    """Compose without validating the result as a plan."""
    with initialize_config_dir(config_dir=str(project.conf), version_base="1.3", job_name="headframe"):
        return OmegaConf.to_container(compose("plan", overrides=[*WITHOUT_HYDRAS_OWN, *overrides]), resolve=False)
