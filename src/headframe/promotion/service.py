"""The promotion service: policy, people, registry and ledger, and what every action on them begins and ends with."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from headframe.config.plan.plan import Plan
from headframe.config.plan.promotion import PromotionConfig
from headframe.config.targets.nearest import nearest
from headframe.digests import Record, folder_digest
from headframe.errors import ConfigurationError, HeadframeError, Refused, refuse_if
from headframe.gates.request import GateRequest
from headframe.ledger.address import ADDRESS_VARIABLE
from headframe.ledger.champion_alias import ledger_mismatch, read_head
from headframe.ledger.entries import Entry, Kind, champion_entry
from headframe.ledger.past_tests import earlier_tests
from headframe.ledger.rules import require_valid_payloads
from headframe.ledger.store import ConcurrentAppend, Ledger
from headframe.promotion.rules import PromotionRules, VersionIdentity, allowed_level, reproduction_verdict
from headframe.registry.layout import bundle_in
from headframe.registry.signature import SignedModel
from headframe.registry.versions import ModelVersion, champion_number, resolve, signed_files
from headframe.signing.keys import SigningKey
from headframe.signing.trust import Signer, Trust
from headframe.tracking import tags
from headframe.tracking.address import tracking_uri

log = logging.getLogger("headframe")

MAX_ATTEMPTS = 1000  # to append an entry; each failure means that another process succeeded


class LedgerAction(Record):
    """An action that was recorded in the ledger; but for `message` as in its entry."""

    kind: Kind
    model: str
    version: int
    number: int
    signer: str
    time: str
    digest: str
    message: str  # the outcome, in a sentence

    @classmethod
    def of(cls, entry: Entry, message: str, **more: Any) -> Self:
        """Return the action of an entry; `more` are the fields of a subclass."""
        fields = set(LedgerAction.model_fields) - {"message"}
        return cls(message=message, **entry.model_dump(include=fields), **more)

    def __str__(self) -> str:
        return f"{self.message} (entry {self.number}, {self.signer}, {self.time})"


@dataclass(frozen=True)
class PromotionService:
    """The policy in force, the people, the registry and the ledger."""

    promotion: PromotionConfig  # the policy in force
    trust: Trust  # whose signatures count
    uri: str  # MLflow's address
    root: Path  # the project's folder

    @classmethod
    def of(cls, plan: Plan, root: Path) -> PromotionService:
        """Return the service that a plan names."""
        return cls(plan.promotion, Trust.of(plan.team), tracking_uri(plan.tracking, root), root)

    @cached_property
    def ledger(self) -> Ledger:
        """The ledger; created where there is none."""
        return Ledger.open(self.promotion, self.root)

    def project_pending(self, model: str) -> None:
        """Complete a projection to MLflow that a kill interrupted, and log the champion whose alias was set.

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
        """Set MLflow's alias to what the ledger says, even if it was moved by hand, and log it.

        Raises:
            Refused: as `Ledger.project`, or as `entries`.
        """
        entries = self.entries(model)
        before = champion_number(model, self.uri)
        self.ledger.project(model, self.uri, self.trust, force=True)
        present, none = champion_entry(entries), "no version"
        said = "champion  alias champion of %s named %s and now names %s, as the ledger says"
        log.info(said, model, before or none, present.version if present else none)

    def current_entries(self, model: str) -> tuple[Entry, ...]:
        """Return the checked entries of a model, after completing an interrupted projection; see `own_entries`."""
        self.project_pending(model)
        return self.own_entries(model)

    def own_entries(self, model: str) -> tuple[Entry, ...]:
        """Return the checked entries of a model, if MLflow was written from this ledger.

        Raises:
            Refused: as `entries`; or MLflow was written from another ledger, or knows of more entries than are left.
        """
        entries, problem = self._entries_and_mismatch(model)
        refuse_if(problem)
        return entries

    def ledger_mismatch(self, model: str) -> str | None:
        """Return why MLflow's head of a model is not from this ledger, or from more entries than are left; else None.

        Raises:
            Refused: as `entries`.
        """
        return self._entries_and_mismatch(model)[1]

    def _entries_and_mismatch(self, model: str) -> tuple[tuple[Entry, ...], str | None]:
        """Return the checked entries, and how MLflow's head differs from them.

        The order of reading matters: an entry is written first, then MLflow, then the note that MLflow was written.
        Read in the same order, a ledger that is appended to at this moment would look cut off.
        """
        projected = self.ledger.projected_number(model)
        try:
            head = read_head(model, self.uri)
        except Refused as error:
            return self.entries(model), str(error)
        entries = self.entries(model)
        return entries, ledger_mismatch(model, entries, head, projected, self.ledger.database.location)

    def entries(self, model: str) -> tuple[Entry, ...]:
        """Return the checked entries of a model.

        Raises:
            Refused: one does not hold, as `Ledger.entries`, or its payload lacks what its kind must have.
        """
        entries = self.ledger.entries(model, self.trust)
        require_valid_payloads(entries)
        return entries

    def require_known_model(self, model: str) -> None:
        """Check that the ledger knows a model.

        Where MLflow has a ledger's head of it, this ledger was lost or is the wrong one; reading the entries says so.

        Raises:
            ConfigurationError: it does not.
        """
        known = self.ledger.models()
        if model in known:
            return
        with suppress(Refused):  # there is a tag, but not one that a ledger wrote
            if read_head(model, self.uri) is None:
                others = nearest(model, known) if known else "it is empty"
                msg = f"the ledger {self.ledger.database.location} has no entry about {model!r}; {others}"
                raise ConfigurationError(msg)

    def rules(self, author: Signer, entries: Sequence[Entry]) -> PromotionRules:
        """Return the rules by which a promotion of an author's version is judged now, by the ledger's time."""
        return PromotionRules(self.promotion, self.trust, author, self.ledger.time(entries))

    def gate_request(
        self,
        version: ModelVersion,
        champion: int | None,
        entries: Sequence[Entry],
        files: VersionIdentity,
        *,
        candidates: int = 1,
        level: float | None = None,
    ) -> GateRequest:
        """Return the request to judge a version by the policy in force, after `entries`.

        Args:
            version: that is judged.
            champion: that it is compared with, if any.
            entries: from which the allowed error is computed.
            files: of the version.
            candidates: from how many versions it may have been picked.
            level: of its test; by the policy's rule unless given.
        """
        tests = [] if champion is None else earlier_tests(entries, version.number, champion)
        if level is None:
            level = 0.0 if champion is None else allowed_level(entries, version.number, champion, self.promotion)
        return GateRequest(
            version=version,
            champion=None if champion is None else self.version(version.model, champion),
            promotion=self.promotion,
            uri=self.uri,
            root=self.root,
            trust=self.trust,
            level=level,
            tries=1 + sum(each.champion == champion for each in tests),
            candidates=candidates,
            reproduced=reproduction_verdict(entries, version.number, files, self.promotion),
        )

    def warn_of_alias_mismatch(self, model: str) -> None:
        """Complete an interrupted projection, and log a warning where MLflow's alias is not what the ledger says."""
        mismatch = alias_mismatch(model, self.current_entries(model), self.uri)
        if mismatch is not None:
            log.warning("champion  %s", mismatch)

    def version(self, model: str, number: int) -> ModelVersion:
        """Return a version with its tags."""
        return resolve(f"{model}/{number}", self.uri)

    def registered_digests(self, version: ModelVersion) -> dict[str, str]:
        """Return the digests that a version was registered with."""
        return {name: version.tags[tag] for name, tag in tags.DIGESTS.items() if tag in version.tags}

    def version_files(self, version: ModelVersion) -> VersionIdentity:
        """Check the files of a version and return their identity.

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
        key: SigningKey,
        build: Callable[[tuple[Entry, ...]], tuple[int, Mapping[str, Any]]],
    ) -> Entry:
        """Append an entry and write it to MLflow; if another process appended first, build it again.

        `build` takes the entries so far and returns version and payload.

        Raises:
            Refused: as `own_entries`, or as `build`.
            HeadframeError: MLflow refuses; the entry is written, and the next command writes it to MLflow.
        """
        for _ in range(MAX_ATTEMPTS):
            entries = self.own_entries(model)
            version, payload = build(entries)
            try:
                entry = self.ledger.append(model, kind, version, payload, key, after=len(entries))
            except ConcurrentAppend:
                log.info("ledger    another process wrote entry %d of %s first; trying again", len(entries) + 1, model)
                continue
            try:
                self.ledger.project(model, self.uri, self.trust)
            except Refused:  # the next command would be refused as well
                raise
            except HeadframeError as error:
                msg = f"{error}; {entry.label} is written nevertheless, and the next command writes it to MLflow"
                raise type(error)(msg) from error
            return entry
        msg = f"other processes wrote {MAX_ATTEMPTS} entries of {model} in the meantime; try again when they are done"
        raise HeadframeError(msg)


def read_files(folder: Path, signed: SignedModel) -> VersionIdentity:
    """Return the identity of a model's files in MLflow's format, whose signature was checked."""
    return VersionIdentity(signed.signer, folder_digest(bundle_in(folder)), signed.digest)


def alias_mismatch(model: str, entries: tuple[Entry, ...], uri: str) -> str | None:
    """Return how MLflow's alias differs from what the ledger says; None where it does not."""
    present, alias = champion_entry(entries), champion_number(model, uri)
    if (present.version if present else None) == alias:
        return None
    names = "names no version" if alias is None else f"names version {alias}"
    if not entries:
        return (
            f"alias champion of {model} {names}, but this ledger has no entry about {model}: another ledger "
            f"names the champion, or it was set by hand; name that ledger with promotion.ledger or {ADDRESS_VARIABLE}, "
            "or have MLflow's administrator remove the alias"
        )
    says = f"{present.label} says {present.version}" if present else "the ledger has made no version champion"
    return (
        f"alias champion of {model} {names}, but {says}: it was moved without the ledger; restore it "
        f"with: headframe models verify {model} --restore"
    )


def require_challenger(version: ModelVersion, present: Entry | None, advice: str) -> None:
    """Check that a version is not the present champion.

    Raises:
        Refused: it is; the message ends with `advice`.
    """
    if present is not None and present.version == version.number:
        raise Refused(
            f"{version.model}/{version.number} is the champion already ({present.label}, by {present.signer} at "
            f"{present.time}); {advice}"
        )


def require_same(version: ModelVersion, files: VersionIdentity, entry: Entry) -> None:
    """Check that a version's files are those that an entry is about.

    Raises:
        Refused: they are others.
    """
    for what, now, then in (
        ("model", files.bundle, entry.digests["bundle"]),
        ("signature of the model files", files.signature, entry.digests["signature"]),
    ):
        if now != then:
            raise Refused(
                f"the {what} of {version.model}/{version.number} is {now[:12]}, but {entry.label} is about {then[:12]}"
                ": it was replaced since; restore the files from a copy, or run the gates again"
            )
