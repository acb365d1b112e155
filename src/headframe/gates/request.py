"""What the gates judge: which version, against which champion, by which policy."""

from dataclasses import dataclass
from pathlib import Path

from headframe.config.plan.promotion import PromotionConfig
from headframe.registry.versions import ModelVersion
from headframe.signing.trust import Trust


@dataclass(frozen=True)
class GateRequest:
    """One version to judge.

    Attributes:
        version: as the registry has it, with its tags.
        champion: what it is compared with, as the registry has it; None where there is none.
        promotion: the policy.
        uri: MLflow's address.
        root: the project's folder; its `data/` is read where it holds the right table.
        trust: whose signatures count.
        level: largest p-value at which it counts as better than the champion on test rows, by the policy's rule; 0,
            at which nothing does, where there is no champion.
        tries: how many versions, with this one, were tested against this champion so far.
        candidates: how many versions, with this one, were registered since the champion was promoted and not yet
            compared with it, since somebody may have picked the luckiest.
        reproduced: verdict of the last reproduction of the version that counts; None where there was none.
    """

    version: ModelVersion
    champion: ModelVersion | None
    promotion: PromotionConfig
    uri: str
    root: Path
    trust: Trust
    level: float = 0.0
    tries: int = 1
    candidates: int = 1
    reproduced: str | None = None
