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
    from headframe.promotion.service import PromotionService
    from headframe.registry.versions import Version

EPILOG = """\
examples:
  headframe models list                                    which versions there are, and which may be compared
  headframe models card digits/3 --to card.html            a page about a version
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
        help="the registered models: list, show, card, leaderboard, gate, approve, reject, promote, ...",
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
        made.add_argument("model", metavar="MODEL", help=model, nargs="?" if name == "list" else None)
        # With a default, since argparse else calls them required where MODEL is missing.
        made.add_argument(
            "overrides", nargs="*", default=[], metavar="KEY=VALUE", help="Hydra overrides: promotion=team"
        )
        made.set_defaults(act=act)
        return made

    def signing(made: argparse.ArgumentParser) -> argparse.ArgumentParser:
        made.add_argument("--as", dest="signer", metavar="NAME", help="the key to sign with, where you have several")
        return made

    def reasoned(made: argparse.ArgumentParser, default: str | None = None) -> argparse.ArgumentParser:
        told = "why; kept in the ledger"
        made.add_argument("--reason", default=default, required=default is None, metavar="WHY", help=told)
        return made

    def written(made: argparse.ArgumentParser) -> None:
        made.add_argument("--to", metavar="FILE", help="write it to FILE.html, as a page, or to FILE.md")

    add("list", _list, "which versions there are, what became of them, which may be compared", "NAME", "digits")
    add("show", _show, "everything about a version", one, "digits/3")
    written(add("card", _card, "what a version is for, how good it is, by whose word", one, "digits/3 --to card.html"))
    written(
        add("leaderboard", _leaderboard, "compare the versions on the same rows", "NAME", "digits --to leaders.html")
    )
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
    verify.add_argument("--recompute", action="store_true", help="ask the gates of the champion's promotion again, too")
    return models


def _service(arguments: argparse.Namespace, project: Project) -> PromotionService:
    """Give the service for the model that is asked about, and finish what a kill may have left of it."""
    from headframe.config.load import load_plan
    from headframe.config.sweep import expand
    from headframe.promotion.service import PromotionService

    if arguments.model is not None and "=" in arguments.model:
        msg = f"{arguments.model} stands where MODEL does; name the model before it, as in digits {arguments.model}"
        raise ConfigurationError(msg)
    choices = expand(arguments.overrides)
    if len(choices) > 1:
        msg = f"{' '.join(arguments.overrides)}: these are {len(choices)} plans, but this command takes one; give one"
        raise ConfigurationError(msg)
    plan = load_plan(choices[0], project)
    model = (arguments.model or plan.promotion.model).removeprefix("models:/").partition("/")[0].partition("@")[0]
    # Whatever data set the plan is for: the policy is the same for every model, and holds for the one asked about.
    promotion = plan.promotion.model_copy(update={"model": model})
    return PromotionService.of(plan.model_copy(update={"promotion": promotion}), project.root)


def _version(arguments: argparse.Namespace, service: PromotionService) -> Version:
    from headframe.registry.versions import resolve

    service.finish(service.promotion.model)
    return resolve(arguments.model, service.uri)


def _name(arguments: argparse.Namespace, service: PromotionService) -> str:
    """Give the model's name, where no version is asked for."""
    if arguments.model.removeprefix("models:/") != service.promotion.model:
        msg = f"model {arguments.model!r} was asked for; expected a NAME alone, as in {service.promotion.model}"
        raise ConfigurationError(msg)
    return service.promotion.model


def _key(arguments: argparse.Namespace) -> Any:
    from headframe.signing.keys import own_key

    return own_key(arguments.signer)


def _of(record: Any, code: int = 0) -> Answer:
    return Answer(record.model_dump(mode="json"), record.summary.splitlines(), code)


def _list(arguments: argparse.Namespace, project: Project) -> Answer:
    from headframe.promotion.views.overview import overview
    from headframe.registry.listing import models

    # An override may stand where the name does, since it may be left out.
    if arguments.model is not None and "=" in arguments.model:
        arguments.overrides, arguments.model = [arguments.model, *arguments.overrides], None
    service = _service(arguments, project)
    named = models(service.uri) if arguments.model is None else [_name(arguments, service)]
    found = [overview(name, service) for name in named]
    lines = [line for each in found for line in [*each.lines, ""]][:-1]
    return Answer(
        [each.model_dump(mode="json") for each in found], lines or ["no model is registered yet: headframe run"]
    )


def _show(arguments: argparse.Namespace, project: Project) -> Answer:
    from headframe.promotion.views.model_card import show

    service = _service(arguments, project)
    shown = show(_resolved(arguments, service), service)
    return Answer(shown.model_dump(mode="json"), shown.lines)


def _card(arguments: argparse.Namespace, project: Project) -> Answer:
    from headframe.promotion.views.model_card import card

    target = _target(arguments)
    service = _service(arguments, project)
    made = card(_resolved(arguments, service), service)
    return _page({"model": made.model, "version": made.version}, made, target)


def _leaderboard(arguments: argparse.Namespace, project: Project) -> Answer:
    from headframe.promotion.views.leaderboard import leaderboard

    target = _target(arguments)
    service = _service(arguments, project)
    board = leaderboard(_name(arguments, service), service)
    if target is None:
        return Answer(board.model_dump(mode="json"), board.lines)
    return _page(board.model_dump(mode="json"), board, target)


def _resolved(arguments: argparse.Namespace, service: PromotionService) -> Version:
    """Find the version that is asked about, and change nothing."""
    from headframe.registry.versions import resolve

    return resolve(arguments.model, service.uri)


def _target(arguments: argparse.Namespace) -> Path | None:
    """Give the file to write, if it can be one; before anything is fetched."""
    if arguments.to is None:
        return None
    target = Path(arguments.here) / arguments.to
    if target.suffix not in (".html", ".md"):
        msg = f"--to {arguments.to} ends in {target.suffix or 'nothing'}; name a file that ends in .html or .md"
        raise ConfigurationError(msg)
    if not target.parent.is_dir():
        msg = f"--to {arguments.to}: there is no folder {target.parent}; make it, or name a file elsewhere"
        raise ConfigurationError(msg)
    return target


def _page(document: dict[str, Any], made: Any, target: Path | None) -> Answer:
    """Write a page where one was asked for; else print it as Markdown."""
    from headframe.digests import write_atomically

    if target is None:
        return Answer({**document, "markdown": made.markdown}, made.markdown.splitlines())
    write_atomically(target, made.html if target.suffix == ".html" else made.markdown)
    return Answer({**document, "file": str(target)}, [f"written to {target}"])


def _gate(arguments: argparse.Namespace, project: Project) -> Answer:
    from headframe.promotion.ask_gates import gate

    service = _service(arguments, project)
    gated = gate(_version(arguments, service), service, _key(arguments))
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
    service = _service(arguments, project)
    version, key = _version(arguments, service), _key(arguments)
    if arguments.record:
        return _of(record(version, given, service, key))
    if arguments.print:
        envelope = approval(version, arguments.reason, service, key)
        import json

        return Answer(json.loads(envelope), [envelope])
    return _of(approve(version, arguments.reason, service, key))


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

    service = _service(arguments, project)
    return _of(reject(_version(arguments, service), arguments.reason, service, _key(arguments)))


def _promote(arguments: argparse.Namespace, project: Project) -> Answer:
    from headframe.promotion.promote import promote

    service = _service(arguments, project)
    return _of(promote(_version(arguments, service), service, _key(arguments), arguments.reason))


def _rollback(arguments: argparse.Namespace, project: Project) -> Answer:
    from headframe.promotion.rollback import rollback

    service = _service(arguments, project)
    name, _, number = arguments.model.removeprefix("models:/").partition("/")
    if "@" in name or (number and not number.isdecimal()):
        msg = (
            f"model {arguments.model!r} was asked for; expected NAME or NAME/VERSION, as in {name.partition('@')[0]}/1"
        )
        raise ConfigurationError(msg)
    return _of(rollback(name, service, _key(arguments), arguments.reason, int(number) if number else None))


def _history(arguments: argparse.Namespace, project: Project) -> Answer:
    from headframe.promotion.views.history import history

    service = _service(arguments, project)
    return _of(history(_name(arguments, service), service, arguments.on))


def _verify(arguments: argparse.Namespace, project: Project) -> Answer:
    from headframe.promotion.verify import verify

    service = _service(arguments, project)
    name = _name(arguments, service)
    verified = verify(name, service, restore=arguments.restore, recompute=arguments.recompute)
    lines = [*(f"{each.what}: {each.told}" for each in verified.findings), verified.summary]
    return Answer(verified.model_dump(mode="json"), lines, REFUSED if verified.findings else 0)
