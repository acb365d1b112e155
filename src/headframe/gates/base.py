"""What every gate provides.

A gate of one's own is a class that derives from `Gate`, with settings as dataclass fields, in a Python file here or in
the project's package; a YAML in `conf/gate/` that names it as `_target_` and gives its settings; and a line in the
policies of `conf/promotion/` that ask for it: `- /gate@gates.NAME: NAME`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from headframe.gates.context import GateContext
    from headframe.gates.report import GateResult


class Gate(ABC):
    """A condition of promotion.

    Attributes:
        topic: what it is about, see `gates.report`; empty for nothing that others look for.
    """

    topic: ClassVar[str] = ""

    @abstractmethod
    def judge(self, context: GateContext) -> GateResult:
        """Return whether a version passes, and the numbers that decide it."""
