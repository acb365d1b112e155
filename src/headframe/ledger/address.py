"""Which ledger a policy means; without SQLAlchemy, which is slow to import."""

from urllib.parse import parse_qs, urlsplit

from headframe.config.plan.promotion import PromotionConfig
from headframe.environment import variable
from headframe.errors import ConfigurationError

ADDRESS_VARIABLE = "HEADFRAME_LEDGER"  # names the ledger where no plan does


def named_ledger(promotion: PromotionConfig) -> str | None:
    """Return the address that the policy names, else that of `HEADFRAME_LEDGER`; None: the project's own file.

    Raises:
        ConfigurationError: the policy names one with a password, which every run and report would store.
    """
    if promotion.ledger is not None and _has_password(promotion.ledger):
        raise ConfigurationError(
            f"promotion.ledger holds a password, which runs would store; put the address into {ADDRESS_VARIABLE}, "
            "or leave the password out and give it in PGPASSWORD or ~/.pgpass"
        )
    return promotion.ledger or variable(ADDRESS_VARIABLE)


def _has_password(address: str) -> bool:
    parts = urlsplit(address)
    return ":" in parts.netloc.rpartition("@")[0] or "password" in parse_qs(parts.query)
