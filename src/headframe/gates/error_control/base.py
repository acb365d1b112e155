"""What a rule of the allowed error has to have."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

from headframe.ledger.past_tests import PastTest


class ErrorControl(ABC):
    """A rule of the allowed error: one Python file here or in the project, and one YAML in `conf/error_control/`."""

    @property
    @abstractmethod
    def promise(self) -> str:
        """What is kept below which bound, as the end of a sentence."""

    @abstractmethod
    def level(self, tests: Sequence[PastTest], champion: int) -> float:
        """Return the largest p-value at which the next version counts as better than a champion.

        A function of what the ledger holds and of nothing else, so that everybody can compute it again.

        Args:
            tests: all tests of the model so far, in their order.
            champion: that the next version is compared with.
        """
