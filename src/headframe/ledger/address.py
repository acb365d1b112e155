"""Which ledger a policy means; without SQLAlchemy, which is slow to import."""

import os

from headframe.config.plan.promotion import PromotionConfig

ADDRESS_VARIABLE = "HEADFRAME_LEDGER"  # names the ledger where no plan does


def named_ledger(promotion: PromotionConfig) -> str | None:
    """Return the address that the policy names, else that of `HEADFRAME_LEDGER`; None: the project's own file."""
    return promotion.ledger or os.environ.get(ADDRESS_VARIABLE) or None
