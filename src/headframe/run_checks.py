"""What must hold before the first step of a flow, since a later step would refuse it, when much has been computed."""

from pathlib import Path

from headframe.config.build import build
from headframe.config.plan.data import DatasetConfig
from headframe.config.plan.plan import Plan
from headframe.ledger.address import named_ledger
from headframe.permissions import require_own
from headframe.registry.signature import require_signer
from headframe.tracking.address import tracking_uri
from headframe.tracking.client import require_access
from headframe.tracking.lineage import read_code_state


def require_ingestible(dataset: DatasetConfig) -> None:
    """Check that reader and split of a data set accept their settings together; the types were checked at loading.

    Raises:
        ConfigurationError: they do not, such as shares that leave no row to train on.
    """
    for component in (dataset.reader, dataset.split):
        build(component)


def require_registrable(plan: Plan, root: Path) -> None:
    """Check that the result of a plan can be tracked, signed and decided upon; takes milliseconds.

    Raises:
        ConfigurationError: MLflow's or the ledger's address is none, the data set's settings do not go together, or
            there is no key to sign with, or code that is stored with the run holds a secret.
        HeadframeError: MLflow does not respond or refuses this user, the key cannot be used, or others can write to the
            project.
    """
    require_ingestible(plan.dataset)
    if not plan.task.target.startswith("headframe."):
        from headframe.examples.prepare import build_task  # noqa: PLC0415 - pyarrow, which tests have checked for our own

        build_task(plan.task)
    require_access(tracking_uri(plan.tracking, root))
    require_own(root)
    read_code_state(root, plan.tracking.code)
    require_signer(plan.team)
    named = named_ledger(plan.promotion)
    if named is not None:
        from headframe.ledger.database import resolve_address  # noqa: PLC0415 - SQLAlchemy, where none is named

        resolve_address(named, root)
