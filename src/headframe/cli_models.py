"""`headframe models ...`: the registry's versions, what was proven of them, and who said what.

Arguments in, an answer out; `cli` prints it. Nothing heavy is imported until an action needs it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headframe.errors import REFUSED, ConfigurationError, HeadframeError

if TYPE_CHECKING:
    from headframe.config.project import Project
    from headframe.promotion.office import Office
    from headframe.tracking.registry import Version

EPILOG = """\
examples:
  headframe models gate digits/3                           hold a version against the gates of the policy
  headframe models approve digits/3 --reason 'fits, checked the slices'
  headframe models promote digits/3                        make it champion
  headframe models history digits --on 2026-11-17          who was champion, why, by whose word
  headframe models verify digits                           does everything hold that the ledger says?
  headframe models rollback digits --reason 'slow on Mondays'

exit codes: 0 done, 2 wrong usage, 4 refused: a gate, an approval, a signature or a digest is missing or does not hold
"""


@dataclass(frozen=True)
class Answer:
    """What an action came to.

    Attributes:
        document: as JSON.
        lines: for people.
        code: the exit code.
    """

    document: Any
    lines: Sequence[str]
    code: int = 0


def add_models(commands: argparse._SubParsersAction[Any], common: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Add the command with all its actions, and give it.

    Args:
        commands: of the command line.
        common: what every command takes.
    """
    models: argparse.ArgumentParser = commands.add_parser(
        "models",
        help="the registered models: gate, approve, reject, promote, rollback, history, verify",
        description="The registered models: what was proven of them, and who said what.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = models.add_subparsers(title="actions", metavar="ACTION", required=True)
    one = "NAME/VERSION, NAME@ALIAS or NAME, which means its champion"

    def add(
        name: str, act: Callable[[argparse.Namespace, Project], Answer], summary: str, model: str, example: str
    ) -> argparse.ArgumentParser:
        made = actions.add_parser(
            name,
            help=summary,
            description=f"{summary[0].upper()}{summary[1:].removesuffix('?')}{'?' if summary.endswith('?') else '.'}",
            epilog=f"example:\n  headframe models {name} {example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            parents=[common],
        )
        made.add_argument("model", metavar="MODEL", help=model)
        made.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="Hydra overrides, e.g. promotion=team")
        made.set_defaults(act=act)
        return made

    def signing(made: argparse.ArgumentParser) -> argparse.ArgumentParser:
        made.add_argument("--as", dest="signer", metavar="NAME", help="the key to sign with, where you have several")
        return made

    def reasoned(made: argparse.ArgumentParser, default: str | None = None) -> argparse.ArgumentParser:
        told = "why; kept in the ledger"
        made.add_argument("--reason", default=default, required=default is None, metavar="WHY", help=told)
        return made

    signing(add("gate", _gate, "hold a version against all gates of the policy", one, "digits/3 promotion=team"))
    approve = signing(
        add(
            "approve", _approve, "say that a version may become champion", one, "digits/3 --reason 'checked the slices'"
        )
    )
    reasoned(approve, default="")
    approve.add_argument("--print", action="store_true", help="print the signed approval instead of recording it")
    approve.add_argument("--record", metavar="FILE", help="record an approval that was printed elsewhere; - is stdin")
    reasoned(
        signing(
            add("reject", _reject, "say that a version must not become champion", one, "digits/3 --reason 'biased'")
        )
    )
    reasoned(
        signing(add("promote", _promote, "make a version champion, if all that is due was proven", one, "digits/3")),
        default="",
    )
    back = "NAME, which means the champion before, or NAME/VERSION"
    reasoned(
        signing(add("rollback", _rollback, "go back to a former champion", back, "digits/2 --reason 'slow on Mondays'"))
    )
    history = add("history", _history, "who was champion, when, why, by whose word", "NAME", "digits --on 2026-11-17")
    history.add_argument("--on", metavar="DATE", help="at the end of that day (UTC), or at a time: 2026-11-17T09:30:00")
    verify = add("verify", _verify, "does everything hold that the ledger says of a model?", "NAME", "digits")
    verify.add_argument("--restore", action="store_true", help="have the alias champion say again what the ledger says")
    return models


def _office(arguments: argparse.Namespace, project: Project) -> Office:
    """Give the office for the model that is asked about, and finish what a kill may have left of it."""
    from headframe.config.load import load_plan
    from headframe.config.sweep import expand
    from headframe.promotion.office import Office

    choices = expand(arguments.overrides)
    if len(choices) > 1:
        msg = f"{' '.join(arguments.overrides)}: these are {len(choices)} plans, but this command takes one; give one"
        raise ConfigurationError(msg)
    plan = load_plan(choices[0], project)
    model = arguments.model.removeprefix("models:/").partition("/")[0].partition("@")[0]
    # Whatever data set the plan is for: the policy is the same for every model, and holds for the one asked about.
    promotion = plan.promotion.model_copy(update={"model": model})
    return Office.of(plan.model_copy(update={"promotion": promotion}), project.root)


def _version(arguments: argparse.Namespace, office: Office) -> Version:
    from headframe.tracking.registry import resolve

    office.finish(office.promotion.model)
    return resolve(arguments.model, office.uri)


def _name(arguments: argparse.Namespace, office: Office) -> str:
    """Give the model's name, where no version is asked for."""
    if arguments.model.removeprefix("models:/") != office.promotion.model:
        msg = f"model {arguments.model!r} was asked for; expected a NAME alone, as in {office.promotion.model}"
        raise ConfigurationError(msg)
    return office.promotion.model


def _key(arguments: argparse.Namespace) -> Any:
    from headframe.signing.keys import own_key

    return own_key(arguments.signer)


def _of(record: Any, code: int = 0) -> Answer:
    return Answer(record.model_dump(mode="json"), record.summary.splitlines(), code)


def _gate(arguments: argparse.Namespace, project: Project) -> Answer:
    from headframe.promotion.gating import gate

    office = _office(arguments, project)
    gated = gate(_version(arguments, office), office, _key(arguments))
    told = [
        f"  {'ok' if each.passed else 'no':4}{each.gate:14}{each.word}: {each.because}"
        for each in gated.report.verdicts
    ]
    code = 0 if gated.report.passed else REFUSED
    return Answer(gated.model_dump(mode="json"), [*told, *gated.summary.splitlines()], code)


def _approve(arguments: argparse.Namespace, project: Project) -> Answer:
    from headframe.promotion.approve import approval, approve, record

    if arguments.print and arguments.record:
        msg = "--print signs an approval and --record takes one that is signed; give one of them"
        raise ConfigurationError(msg)
    given = _read(arguments) if arguments.record else ""  # before the project's own folder is asked for anything
    office = _office(arguments, project)
    version, key = _version(arguments, office), _key(arguments)
    if arguments.record:
        return _of(record(version, given, office, key))
    if arguments.print:
        envelope = approval(version, arguments.reason, office, key)
        import json

        return Answer(json.loads(envelope), [envelope])
    return _of(approve(version, arguments.reason, office, key))


def _read(arguments: argparse.Namespace) -> str:
    if arguments.record == "-":
        return sys.stdin.read()
    file = Path(arguments.here) / arguments.record
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError as error:
        msg = f"--record {arguments.record}: there is no such file"
        raise ConfigurationError(msg) from error
    except OSError as error:
        msg = f"--record {arguments.record} cannot be read ({error.strerror}); give a file, or - for stdin"
        raise HeadframeError(msg) from error


def _reject(arguments: argparse.Namespace, project: Project) -> Answer:
    from headframe.promotion.approve import reject

    office = _office(arguments, project)
    return _of(reject(_version(arguments, office), arguments.reason, office, _key(arguments)))


def _promote(arguments: argparse.Namespace, project: Project) -> Answer:
    from headframe.promotion.promote import promote

    office = _office(arguments, project)
    return _of(promote(_version(arguments, office), office, _key(arguments), arguments.reason))


def _rollback(arguments: argparse.Namespace, project: Project) -> Answer:
    from headframe.promotion.rollback import rollback

    office = _office(arguments, project)
    name, _, number = arguments.model.removeprefix("models:/").partition("/")
    if "@" in name or (number and not number.isdecimal()):
        msg = (
            f"model {arguments.model!r} was asked for; expected NAME or NAME/VERSION, as in {name.partition('@')[0]}/1"
        )
        raise ConfigurationError(msg)
    return _of(rollback(name, office, _key(arguments), arguments.reason, int(number) if number else None))


def _history(arguments: argparse.Namespace, project: Project) -> Answer:
    from headframe.promotion.history import history

    office = _office(arguments, project)
    return _of(history(_name(arguments, office), office, arguments.on))


def _verify(arguments: argparse.Namespace, project: Project) -> Answer:
    from headframe.promotion.verify import verify

    office = _office(arguments, project)
    verified = verify(_name(arguments, office), office, restore=arguments.restore)
    lines = [*(f"{each.what}: {each.told}" for each in verified.findings), verified.summary]
    return Answer(verified.model_dump(mode="json"), lines, REFUSED if verified.findings else 0)
