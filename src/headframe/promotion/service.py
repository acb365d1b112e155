"""Where acts are written down and by which rules; and what each of them begins and ends with."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from headframe.config.plan.plan import Plan
from headframe.config.plan.promotion import PromotionConfig
from headframe.config.targets.nearest import nearest
from headframe.digests import Record, folder_digest
from headframe.errors import ConfigurationError, HeadframeError, Refused
from headframe.ledger.alias import ledger_mismatch, read_head
from headframe.ledger.database import ADDRESS_VARIABLE
from headframe.ledger.entries import Entry, Kind, champion_entry
from headframe.ledger.rules import require_valid_payloads
from headframe.ledger.store import ConcurrentAppend, Ledger
from headframe.promotion.rules import Author
from headframe.registry.layout import bundle_in
from headframe.registry.signature import SignedModel
from headframe.registry.versions import ModelVersion, champion_number, resolve, signed_files
from headframe.signing.keys import OwnKey
from headframe.signing.trust import Trust
from headframe.tracking import tags
from headframe.tracking.address import tracking_uri

log = logging.getLogger("headframe")

CERTAIN = 1000  # attempts to write an entry; each that fails means that somebody else succeeded


class LedgerAction(Record):
    """Something that was done, and the entry that says so.

    Attributes:
        kind: what.
        model: name in the registry.
        version: to which version.
        number: of the entry.
        signer: who did it.
        time: when: UTC, ISO 8601.
        digest: of the entry.
        message: what came of it, in a sentence.
    """

    kind: Kind
    model: str
    version: int
    number: int
    signer: str
    time: str
    digest: str
    message: str

    @property
    def summary(self) -> str:
        """One line for people."""
        return f"{self.message} (entry {self.number}, {self.signer}, {self.time})"


@dataclass(frozen=True)
class VersionFiles:
    """What a version's files turned out to be.

    Attributes:
        author: who signed them.
        bundle: sha256 of the model.
        signature: sha256 of the signed statement about all files.
    """

    author: Author
    bundle: str
    signature: str


@dataclass(frozen=True)
class PromotionService:
    """The policy, the people, the registry and the ledger.

    Attributes:
        promotion: the policy in force.
        trust: whose signatures count.
        uri: MLflow's address.
        root: the project's folder.
    """

    promotion: PromotionConfig
    trust: Trust
    uri: str
    root: Path

    @classmethod
    def of(cls, plan: Plan, root: Path) -> PromotionService:
        """Give the service that a plan names."""
        return cls(plan.promotion, Trust.of(plan.team), tracking_uri(plan.tracking, root), root)

    @cached_property
    def ledger(self) -> Ledger:
        """The ledger; made where there is none."""
        return Ledger.open(self.promotion, self.root)

    def project_pending(self, model: str) -> None:
        """Tell MLflow what the ledger says, if a kill kept that from being done, and say who was made champion.

        Raises:
            Refused: as `Ledger.project`, or as `entries`.
        """
        if not self.ledger.is_pending(model):
            return
        self.entries(model)
        entry = self.ledger.project(model, self.uri, self.trust)
        if entry is not None:
            log.info("champion  %s was not in MLflow yet; alias champion now names %d", entry.label, entry.version)

    def restore_alias(self, model: str) -> None:
        """Have MLflow's alias say what the ledger says, whoever moved it, and say so.

        Raises:
            Refused: as `Ledger.project`, or as `entries`.
        """
        entries = self.entries(model)
        before = champion_number(model, self.uri)
        self.ledger.project(model, self.uri, self.trust, force=True)
        present = champion_entry(entries)
        log.info(
            "champion  alias champion of %s named %s and now names %s, as the ledger says",
            model,
            before or "no version",
            present.version if present else "no version",
        )

    def current_entries(self, model: str) -> tuple[Entry, ...]:
        """Give the checked entries of a model, after finishing what was left; see `own`."""
        self.project_pending(model)
        return self.own_entries(model)

    def own_entries(self, model: str) -> tuple[Entry, ...]:
        """Give the checked entries of a model, of the ledger that MLflow was told by.

        Raises:
            Refused: as `entries`; or MLflow was told by another ledger, or of more entries than are left.
        """
        entries, problem = self._compared(model)
        if problem is not None:
            raise Refused(problem)
        return entries

    def ledger_mismatch(self, model: str) -> str | None:
        """Say why what MLflow was told of a model is not from this ledger, or from more of it than is left.

        Raises:
            Refused: as `entries`.
        """
        return self._compared(model)[1]

    def _compared(self, model: str) -> tuple[tuple[Entry, ...], str | None]:
        """Give entries, and what MLflow was told otherwise.

        In this order: whoever writes an entry tells MLflow after it and notes that it was told last. Read in the other
        order, a ledger that somebody writes to in this moment would look cut off.
        """
        told = self.ledger.projected_number(model)
        try:
            head = read_head(model, self.uri)
        except Refused as error:
            return self.entries(model), str(error)
        entries = self.entries(model)
        return entries, ledger_mismatch(model, entries, head, told, self.ledger.location)

    def entries(self, model: str) -> tuple[Entry, ...]:
        """Give the checked entries of a model.

        Raises:
            Refused: one does not hold, as `Ledger.entries`, or does not say what its kind has to say.
        """
        entries = self.ledger.entries(model, self.trust)
        require_valid_payloads(entries)
        return entries

    def require_known_model(self, model: str) -> None:
        """Make sure that the ledger knows a model.

        Where it does not, but a ledger told MLflow of the model, this one was lost or is the wrong one, which reading
        names.

        Raises:
            ConfigurationError: it does not.
        """
        known = self.ledger.models()
        if model not in known and not self._was_told(model):
            others = nearest(model, known) if known else "nothing is written there yet"
            msg = f"the ledger {self.ledger.location} has no entry about {model!r}; {others}"
            raise ConfigurationError(msg)

    def _was_told(self, model: str) -> bool:
        """Say whether any ledger told MLflow of a model."""
        try:
            return read_head(model, self.uri) is not None
        except Refused:  # there is a tag, but not what a ledger writes
            return True

    def time(self, entries: tuple[Entry, ...]) -> datetime:
        """Give the ledger's time, by which approvals expire; see `Ledger.time`."""
        return self.ledger.time(entries)

    def warn_of_alias_mismatch(self, model: str, entries: tuple[Entry, ...]) -> None:
        """Say on the log where MLflow's alias is not what the ledger says."""
        told = alias_mismatch(model, entries, self.uri)
        if told is not None:
            log.warning("champion  %s", told)

    def version(self, model: str, number: int) -> ModelVersion:
        """Give a version with its tags."""
        return resolve(f"{model}/{number}", self.uri)

    def registered_digests(self, version: ModelVersion) -> dict[str, str]:
        """Give the digests that a version was registered with."""
        return {name: version.tags[tag] for name, tag in tags.DIGESTS.items() if tag in version.tags}

    def version_files(self, version: ModelVersion) -> VersionFiles:
        """Check the files of a version.

        Raises:
            Refused: they are not what was signed.
            HeadframeError: they are gone.
        """
        with signed_files(version, self.uri, self.trust) as (folder, signed):
            return read_files(folder, signed)

    def append(
        self,
        model: str,
        kind: Kind,
        key: OwnKey,
        judge: Callable[[tuple[Entry, ...]], tuple[int, Mapping[str, Any]]],
    ) -> Entry:
        """Judge by the ledger as it is, write an entry and tell MLflow; where somebody else was faster, judge anew.

        Args:
            model: name in the registry.
            kind: of the entry.
            key: who signs.
            judge: takes the entries so far and gives the version and the claim, or raises `Refused`.

        Raises:
            Refused: as `own`, or as `judge`.
            HeadframeError: MLflow refuses what it is told; the entry is written, and the next command tells it.
        """
        for _ in range(CERTAIN):
            entries = self.own_entries(model)
            version, claim = judge(entries)
            try:
                entry = self.ledger.append(model, kind, version, claim, key, after=len(entries))
            except ConcurrentAppend:
                log.info("ledger    somebody else wrote entry %d of %s first; judging anew", len(entries) + 1, model)
                continue
            with _said_to_be_done(entry):
                self.ledger.project(model, self.uri, self.trust)
            return entry
        msg = f"others wrote {CERTAIN} entries of {model} in the meantime; try again when they are done"
        raise HeadframeError(msg)


def to_action(entry: Entry, told: str) -> LedgerAction:
    """Give the record of an entry."""
    return LedgerAction(
        kind=entry.kind,
        model=entry.model,
        version=entry.version,
        number=entry.number,
        signer=entry.signer,
        time=entry.time,
        digest=entry.digest,
        message=told,
    )


def read_files(folder: Path, signed: SignedModel) -> VersionFiles:
    """Give what the files of a model in MLflow's format are, whose signature was checked."""
    return VersionFiles(Author(signed.signer.name, signed.signer.key), folder_digest(bundle_in(folder)), signed.digest)


def alias_mismatch(model: str, entries: tuple[Entry, ...], uri: str) -> str | None:
    """Say where MLflow's alias is not what the ledger says; None where it is."""
    present, shown = champion_entry(entries), champion_number(model, uri)
    if (present.version if present else None) == shown:
        return None
    names = "names no version" if shown is None else f"names version {shown}"
    if not entries:
        return (
            f"alias champion of {model} {names}, but this ledger has no entry about {model}: another ledger says who "
            f"is champion, or somebody set it by hand; name that ledger with promotion.ledger or {ADDRESS_VARIABLE}, "
            "or have who runs MLflow remove the alias"
        )
    says = f"{present.label} says {present.version}" if present else "the ledger has made no version champion"
    return (
        f"alias champion of {model} {names}, but {says}: somebody moved it behind the ledger's back; put it back "
        f"with: headframe models verify {model} --restore"
    )


def require_same(version: ModelVersion, files: VersionFiles, entry: Entry) -> None:
    """Make sure that a version's files are those that an entry is about.

    Raises:
        Refused: they are others.
    """
    for what, now, then in (
        ("model", files.bundle, entry.digests["bundle"]),
        ("signature of the model files", files.signature, entry.digests["signature"]),
    ):
        if now != then:
            msg = (
                f"the {what} of {version.model}/{version.number} is {now[:12]}, but {entry.label} is about {then[:12]}"
                ": it was exchanged since; restore the files from a copy, or have the gates asked again"
            )
            raise Refused(msg)


@contextmanager
def _said_to_be_done(entry: Entry) -> Iterator[None]:
    try:
        yield
    except Refused:  # the next command would be refused as well
        raise
    except HeadframeError as error:
        msg = f"{error}; {entry.label} is written all the same, and the next command tells MLflow of it"
        raise type(error)(msg) from error
