"""Everything that a gate may look at, found through the registry alone: it depends on no user and no machine."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from headframe.gates.comparison import ChampionComparison
from headframe.gates.records import SignedRecords
from headframe.gates.request import GateRequest
from headframe.gates.rows import VersionRows
from headframe.gates.version_data import VersionData


class GateContext:
    """What the gates of one request share; what is costly is done when the first gate asks for it, and once.

    Attributes:
        request: what is judged.
        records: what the version's author signed.
        rows: its table, test rows and predictions.
        comparison: the champion's predictions for the same rows.
        validation: both for the validation rows, which a gate may read as often as it likes.

    Args:
        request: see above.
        stack: closes what is opened on the way.
    """

    def __init__(self, request: GateRequest, stack: ExitStack) -> None:
        self.request = request
        self.records = SignedRecords(request, stack)
        data = VersionData(self.records)
        self.rows = VersionRows(data)
        self.comparison = ChampionComparison(self.rows)
        self.validation = ChampionComparison(VersionRows(data, "validation"))


@contextmanager
def open_context(request: GateRequest) -> Iterator[GateContext]:
    """Open a context; what it fetches is removed at the end."""
    with ExitStack() as stack:
        yield GateContext(request, stack)
