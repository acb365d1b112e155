"""`headframe models`: the registry's versions, what was proven of them, and who approved or rejected them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from headframe.cli.context import open_project, single_plan
from headframe.cli.output import CommandResult, of_record, page_file
from headframe.cli.parser import Commands, add_overrides, add_signer
from headframe.errors import REFUSED, ConfigurationError, HeadframeError

if TYPE_CHECKING:
    from pathlib import Path

    from headframe.promotion.service import PromotionService
    from headframe.registry.versions import ModelVersion
    from headframe.signing.keys import SigningKey

Action = Callable[[argparse.Namespace, "PromotionService"], CommandResult]

EPILOG = """\
examples:
  headframe models list                                    the versions, and which are comparable
  headframe models card digits/3 --to card.html            the model card, as a page
  headframe models gate digits/3                           check a version against the gates of the policy
  headframe models approve digits/3 --reason 'checked the slices'
  headframe models promote digits/3                        make it champion
  headframe models history digits --on 2026-11-17          who was champion, why, approved by whom
  headframe models verify digits                           check everything that the ledger says
  headframe models rollback digits --reason 'too slow on Mondays'

exit codes: 0 done, 2 wrong usage, 4 refused: a gate, an approval, a signature or a digest is missing or does not hold
"""


def add_commands(commands: Commands) -> None:
    """Add the command with all its actions."""
    models = commands.subparsers.add_parser(
        "models",
        help="the registered models: list, show, card, leaderboard, gate, approve, reject, promote and more",
        description="The registered models: what was proven of them, and who approved them.",
        epilog=EPILOG,
    )
    models.set_defaults(prog=models.prog)
    if "models" not in commands.given:  # its many actions are a third of what `headframe --help` would take
        return
    subparsers = models.add_subparsers(title="actions", metavar="ACTION", required=True)
    actions = Commands(subparsers, commands.common, commands.given)
    one = "NAME/VERSION, NAME@ALIAS or NAME, which means its champion"

    def add(name: str, action: Action, summary: str, model: str, example: str) -> argparse.ArgumentParser:
        def command(arguments: argparse.Namespace) -> CommandResult:
            if name == "list" and arguments.model is not None and "=" in arguments.model:  # it may be left out
                arguments.overrides, arguments.model = [arguments.model, *arguments.overrides], None
            return action(arguments, _service(arguments))

        parser = actions.add(name, command, summary, epilog=f"example:\n  headframe models {name} {example}")
        parser.add_argument("model", metavar="MODEL", help=model, nargs="?" if name == "list" else None)
        add_overrides(parser, "promotion=team")
        return parser

    def reasoned(parser: argparse.ArgumentParser, default: str | None = None) -> None:
        text = "why; recorded in the ledger"
        parser.add_argument("--reason", default=default, required=default is None, metavar="WHY", help=text)

    def written(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--to", metavar="FILE", help="write it to FILE.html, as a page, or to FILE.md")

    add("list", _list, "list the versions, their state, and which are comparable", "NAME", "digits")
    add("show", _show, "show everything about a version", one, "digits/3")
    written(add("card", _card, "the model card: intended use, metrics, approvals", one, "digits/3 --to card.html"))
    written(
        add("leaderboard", _leaderboard, "compare the versions on the same rows", "NAME", "digits --to leaders.html")
    )
    found = add("findings", _findings, "list what a version found, or what changed since another", one, "digits/3")
    found.add_argument("--against", metavar="VERSION", help="list the differences from this version instead")
    add_signer(add("gate", _gate, "check a version against all gates of the policy", one, "digits/3 promotion=team"))
    approve = add_signer(add("approve", _approve, "approve a version", one, "digits/3 --reason 'checked the slices'"))
    reasoned(approve, default="")
    approve.add_argument("--print", action="store_true", help="print the signed approval instead of recording it")
    approve.add_argument("--record", metavar="FILE", help="record an approval that was printed elsewhere; - is stdin")
    reasoned(add_signer(add("reject", _reject, "reject a version", one, "digits/3 --reason 'biased'")))
    promotion = add("promote", _promote, "make a version champion if its gates and approvals allow it", one, "digits/3")
    reasoned(add_signer(promotion), default="")
    back = "NAME, which means the previous champion, or NAME/VERSION"
    reasoned(
        add_signer(add("rollback", _rollback, "go back to a former champion", back, "digits/2 --reason 'too slow'"))
    )
    history = add("history", _history, "who was champion, when, why, and by whom", "NAME", "digits --on 2026-11-17")
    history.add_argument("--on", metavar="DATE", help="at the end of that day (UTC), or at a time: 2026-11-17T09:30:00")
    verify = add("verify", _verify, "check that everything the ledger says of a model still holds", "NAME", "digits")
    verify.add_argument("--restore", action="store_true", help="set the alias champion back to what the ledger says")
    verify.add_argument("--recompute", action="store_true", help="compute figures and gates of the champion again")


def _service(arguments: argparse.Namespace) -> PromotionService:
    """Return the service for the model that a command names."""
    project = open_project()
    from headframe.config.load import load_plan
    from headframe.promotion.service import PromotionService

    if arguments.model is not None and "=" in arguments.model:
        msg = f"{arguments.model} stands where MODEL does; name the model before it, as in digits {arguments.model}"
        raise ConfigurationError(msg)
    plan = load_plan(single_plan(arguments), project)
    model = (arguments.model or plan.promotion.model).removeprefix("models:/").partition("/")[0].partition("@")[0]
    # Whatever data set the plan is for: the policy is the same for every model, and holds for the one that is named.
    promotion = plan.promotion.model_copy(update={"model": model})
    return PromotionService.of(plan.model_copy(update={"promotion": promotion}), project.root)


def _version(arguments: argparse.Namespace, service: PromotionService, *, acts: bool = True) -> ModelVersion:
    """Return the version that is named; a command that acts first finishes what a kill may have left."""
    from headframe.registry.versions import resolve

    if acts:
        service.project_pending(service.promotion.model)
    return resolve(arguments.model, service.uri)


def _name(arguments: argparse.Namespace, service: PromotionService) -> str:
    """Return the model's name, where a command is for all versions."""
    if arguments.model.removeprefix("models:/") != service.promotion.model:
        msg = f"model {arguments.model!r} was given; expected a NAME alone, as in {service.promotion.model}"
        raise ConfigurationError(msg)
    return service.promotion.model


def _key(arguments: argparse.Namespace, service: PromotionService) -> SigningKey:
    from headframe.permissions import require_own
    from headframe.signing.keys import own_key

    require_own(service.root)
    return own_key(arguments.signer)


def _list(arguments: argparse.Namespace, service: PromotionService) -> CommandResult:
    from headframe.promotion.views.overview import overview
    from headframe.registry.listing import model_names

    names = model_names(service.uri) if arguments.model is None else [_name(arguments, service)]
    found = [overview(name, service) for name in names]
    lines = [line for each in found for line in [*each.lines, ""]][:-1]
    return CommandResult(found, lines or ["no model is registered yet: headframe run"])


def _show(arguments: argparse.Namespace, service: PromotionService) -> CommandResult:
    from headframe.promotion.views.version_details import version_details

    shown = version_details(_version(arguments, service, acts=False), service)
    return CommandResult(shown, shown.lines)


def _card(arguments: argparse.Namespace, service: PromotionService) -> CommandResult:
    from headframe.promotion.views.model_card import model_card

    target = page_file(arguments)
    version = _version(arguments, service, acts=False)
    card = model_card(version, service, target.suffix if target else ".md")
    document = {"model": version.model, "version": version.number}
    if target is None:
        return CommandResult({**document, "markdown": card}, card.splitlines())
    return _written(document, card, target)


def _leaderboard(arguments: argparse.Namespace, service: PromotionService) -> CommandResult:
    from headframe.promotion.views.leaderboard import leaderboard

    target = page_file(arguments)
    board = leaderboard(_name(arguments, service), service)
    if target is None:
        return CommandResult(board, board.lines)
    return _written(board.model_dump(mode="json"), board.page(target.suffix), target)


def _written(document: dict[str, Any], page: str, target: Path) -> CommandResult:
    """Write a page."""
    from headframe.digests import write_atomically

    write_atomically(target, page)
    return CommandResult({**document, "file": str(target)}, [f"written to {target}"])


def _findings(arguments: argparse.Namespace, service: PromotionService) -> CommandResult:
    from headframe.promotion.views.findings import version_findings
    from headframe.registry.versions import resolve

    version, other = _version(arguments, service, acts=False), arguments.against
    if other is not None and not other.isdecimal():
        raise ConfigurationError(f"--against {other} was given; expected the number of a version, as in --against 1")
    against = None if other is None else resolve(f"{version.model}/{other}", service.uri)
    found = version_findings(version, against, service)
    return CommandResult(found, found.lines)


def _gate(arguments: argparse.Namespace, service: PromotionService) -> CommandResult:
    from headframe.promotion.run_gates import run_gates

    gated = run_gates(_version(arguments, service), service, _key(arguments, service))
    lines = [
        f"  {'ok' if each.passed else 'no':4}{each.gate:14}{each.verdict}: {each.reason}"
        for each in gated.report.results
    ]
    code = 0 if gated.report.passed else REFUSED
    return CommandResult(gated, [*lines, *str(gated).splitlines()], code)


def _approve(arguments: argparse.Namespace, service: PromotionService) -> CommandResult:
    from headframe.promotion.approve import approve, record_approval, sign_approval

    if arguments.print and arguments.record:
        raise ConfigurationError("--print signs an approval and --record takes one that is signed; give one of them")
    given = _read(arguments) if arguments.record else ""  # before registry and ledger are opened
    version, key = _version(arguments, service), _key(arguments, service)
    if arguments.record:
        return of_record(record_approval(version, given, service, key))
    if arguments.print:
        import json

        envelope = sign_approval(version, arguments.reason, service, key)
        return CommandResult(json.loads(envelope), [envelope])
    return of_record(approve(version, arguments.reason, service, key))


def _read(arguments: argparse.Namespace) -> str:
    """Read the approval that `--record` names."""
    if arguments.record == "-":
        return sys.stdin.read()
    file: Path = arguments.here / arguments.record
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError as error:
        raise ConfigurationError(f"--record {arguments.record}: there is no such file") from error
    except OSError as error:
        msg = f"--record {arguments.record} cannot be read ({error.strerror}); give a file, or - for stdin"
        raise HeadframeError(msg) from error


def _reject(arguments: argparse.Namespace, service: PromotionService) -> CommandResult:
    from headframe.promotion.approve import reject

    return of_record(reject(_version(arguments, service), arguments.reason, service, _key(arguments, service)))


def _promote(arguments: argparse.Namespace, service: PromotionService) -> CommandResult:
    from headframe.promotion.promote import promote

    return of_record(promote(_version(arguments, service), service, _key(arguments, service), arguments.reason))


def _rollback(arguments: argparse.Namespace, service: PromotionService) -> CommandResult:
    from headframe.promotion.rollback import rollback

    name, _, number = arguments.model.removeprefix("models:/").partition("/")
    if "@" in name or (number and not number.isdecimal()):
        example = f"{name.partition('@')[0]}/1"
        raise ConfigurationError(f"model {arguments.model!r} was given; expected NAME or NAME/VERSION, as in {example}")
    return of_record(
        rollback(name, service, _key(arguments, service), arguments.reason, int(number) if number else None)
    )


def _history(arguments: argparse.Namespace, service: PromotionService) -> CommandResult:
    from headframe.promotion.views.history import history

    return of_record(history(_name(arguments, service), service, arguments.on))


def _verify(arguments: argparse.Namespace, service: PromotionService) -> CommandResult:
    from headframe.promotion.verify import verify

    options = {"restore": arguments.restore, "recompute": arguments.recompute}
    verified = verify(_name(arguments, service), service, **options)
    lines = [*(f"{each.what}: {each.message}" for each in verified.problems), str(verified)]
    return CommandResult(verified, lines, REFUSED if verified.problems else 0)
