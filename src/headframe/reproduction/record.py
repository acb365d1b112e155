"""Record a verdict: a signed entry in the ledger, the whole report in the version's run, tags of the version."""

import hashlib
from pathlib import Path

from headframe.config.plan.plan import Plan
from headframe.config.plan.promotion import TeamConfig
from headframe.errors import Refused
from headframe.reproduction.report import Reproduction
from headframe.signing.keys import SigningKey, own_key
from headframe.signing.trust import Trust
from headframe.tracking import tags
from headframe.tracking.client import open_client

FOLDER = "reproductions"
NAME_DIGITS = 16  # of a report's sha256 that name its file


def verdict_key(team: TeamConfig, name: str | None) -> SigningKey:
    """Return the key to sign a verdict with; checked before anything long is done.

    Args:
        team: who may.
        name: of the key; see `own_key`.

    Raises:
        ConfigurationError: there is no such key, or there are several and none is named.
        Refused: the team does not list it as an author's or an approver's, or only until now.
    """
    key = own_key(name)
    instead = "compare only with --no-record"
    try:
        signer = Trust.of(team).signer_of(key)
    except Refused as error:
        raise Refused(f"{error}, or {instead}") from error
    if not {"author", "approver"} & set(signer.roles):
        who = f"{signer.name} is listed as reader only in conf/team/"
        raise Refused(f"{who}, but a verdict is signed by an author or approver; {instead}")
    return key


def record_verdict(found: Reproduction, plan: Plan, root: Path, key: SigningKey) -> Reproduction:
    """Sign a verdict and store it.

    Args:
        found: the verdict.
        plan: names MLflow, the ledger and the team.
        root: the project's folder.
        key: of the entry's signer.

    Returns:
        The same with the digest of its entry.

    Raises:
        Refused: the ledger is broken.
        HeadframeError: ledger or registry cannot be written.
    """
    from headframe.promotion.service import PromotionService  # noqa: PLC0415 - sqlalchemy; --no-record needs none

    text = found.model_dump_json(indent=2) + "\n"
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    service = PromotionService.of(plan, root)
    version = service.version(found.model, found.version)
    with open_client(service.uri) as client:
        client.log_text(version.run_id, text, f"{FOLDER}/{sha256[:NAME_DIGITS]}.json")
    # Of what was compared, whatever the tags say by now.
    compared = {"bundle": found.bundle, "provenance": found.provenance, "report": sha256}
    payload = {
        "verdict": found.verdict,
        "first_difference": found.first_difference,
        "reason": found.reason,
        "digests": {**service.registered_digests(version), **compared},
    }
    entry = service.append(found.model, "reproduce", key, lambda _: (found.version, payload))
    values = {tags.REPRODUCED: found.verdict, tags.REPRODUCED_ENTRY: f"{entry.number} {entry.digest}"}
    with open_client(service.uri) as client:
        for tag, value in values.items():
            client.set_model_version_tag(version.model, str(version.number), tag, value)
    return found.model_copy(update={"entry": entry.digest})
