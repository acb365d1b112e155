"""Which ledger a policy means; without SQLAlchemy, which is slow to import."""

from headframe.config.plan.promotion import PromotionConfig
from headframe.environment import variable

ADDRESS_VARIABLE = "HEADFRAME_LEDGER"  # names the ledger where no plan does


def named_ledger(promotion: PromotionConfig) -> str | None:
    """Return the address that the policy names, else that of `HEADFRAME_LEDGER`; None: the project's own file."""
    return promotion.ledger or variable(ADDRESS_VARIABLE)
