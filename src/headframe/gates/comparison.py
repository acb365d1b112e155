"""The champion's predictions for the very rows of the version that is judged."""

from dataclasses import dataclass
from functools import cached_property

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from headframe.digests import file_digest
from headframe.errors import HeadframeError, Unavailable
from headframe.evaluation.intervals import CONTENT
from headframe.exhaustion import bounded_memory
from headframe.gates.rows import ROUNDING, VersionRows, replaced
from headframe.prediction.answers import differing_rows
from headframe.registry.signature import SignedModel
from headframe.registry.versions import ModelVersion
from headframe.tracking import layout


@dataclass(frozen=True)
class ChampionPredictions:
    """The champion's predictions for the version's own test rows.

    Attributes:
        table: in the order of the version's; None where it cannot predict them.
        source: where they come from; where there are none, why.
        seen: it was trained on another table or split, so perhaps on some of these rows.
    """

    table: pa.Table | None
    source: str
    seen: bool


class ChampionComparison:
    """The version's predictions side by side with the champion's.

    Attributes:
        rows: of the version.

    Args:
        rows: see above.
    """

    def __init__(self, rows: VersionRows) -> None:
        self.rows = rows
        self._records = rows.records

    @cached_property
    def champion(self) -> ChampionPredictions:
        """The champion's predictions: its stored ones where they are of these rows, else computed now.

        Raises:
            Refused: what MLflow stores of the champion is not what its author signed.
            Unavailable: a server cannot be reached now.
        """
        champion = self._records.request.champion
        if champion is None:
            return ChampionPredictions(None, "there was no champion before", False)
        signed, number, digest = self._records.champion.signed, champion.number, self._records.signed_digest
        seen = signed is None or any(signed.payload.get(name) != digest(name) for name in ("table", "split"))
        if signed is None or self.incomparable is not None:
            return ChampionPredictions(None, self.incomparable or self._records.champion.reason, seen)
        stored = None if seen else self._stored(champion, signed)
        if stored is not None:
            return ChampionPredictions(stored, f"predictions that champion version {number} was registered with", seen)
        try:
            folder, _ = self._records.open(champion)
            predicted = self.rows.predict(folder)
        except Unavailable:
            raise
        except HeadframeError as error:
            reason = (
                f"champion version {number} cannot predict these {self.rows.split} rows ({error}); to start over, "
                f"register under another name with promotion.model={champion.model}-2"
            )
            return ChampionPredictions(None, reason, seen)
        return ChampionPredictions(predicted, f"champion version {number} predicted again", seen)

    @cached_property
    def incomparable(self) -> str | None:
        """Why the version's predictions cannot be measured as the champion's are; None where they can."""
        rows, champion = self.rows, self._records.request.champion
        if rows.reference_reason is not None or champion is None:
            return rows.reference_reason
        task = rows.reference_task
        metric = f"{task.primary_metric}, by which champion version {champion.number} is judged"
        expected = {*task.truth_columns, *task.prediction_schema.names}
        missing = sorted(expected - {*rows.stored.column_names})
        if missing:
            return f"this version's predictions have no {missing[0]}, so it has no {metric}"
        if task.primary_metric not in rows.prepared.task.measure(rows.predictions):
            return f"this version's task does not measure {metric}"
        return None

    def _stored(self, champion: ModelVersion, signed: SignedModel) -> pa.Table | None:
        """Return the champion's stored predictions in the version's order; None where they are of other rows."""
        try:
            path = self._records.file(layout.PREDICTIONS, champion)
        except Unavailable:
            raise
        except HeadframeError:
            return None  # they are gone; its package may still predict
        if file_digest(path) != signed.payload["predictions"]:
            return None
        own = self.rows.predictions
        with bounded_memory(path):
            found = pq.read_table(path, filters=[("split", "=", self.rows.split)])
        expected = [name for name in own.column_names if name != CONTENT]
        if set(found.column_names) != set(expected) or found.num_rows != own.num_rows:
            return None
        positions = pc.index_in(own["row_id"].combine_chunks(), value_set=found["row_id"].combine_chunks())
        if positions.null_count:
            return None
        found = found.take(positions)
        if any(len(differing_rows(own[name], found[name], ROUNDING)) for name in self._records.task.truth_columns):
            return None  # it was measured against something else; its package predicts for the table's targets
        return replaced(own, found.select(self._records.task.prediction_schema.names))

    @cached_property
    def champion_metrics(self) -> dict[str, float]:
        """The metrics of the champion's predictions for these rows; empty where there are none."""
        table = self.champion.table
        return {} if table is None else self.rows.reference_task.measure(table)
