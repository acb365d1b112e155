"""Tables of several blocks hold every row once, in order, whatever the size of blocks and batches."""

from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from headframe.config.plan.data import CONTENT, ROW_ID, DatasetConfig
from headframe.datasets import table_writer
from headframe.datasets.hashing import content_hashes
from headframe.datasets.ingest import ingest
from headframe.datasets.table import TABLE, Table
from headframe.places import Places

People = Callable[..., DatasetConfig]
ROWS = [(f"n{at % 4}", at % 3, at / 8, "c") for at in range(11)]
TEXT = "name,age,height,city\n" + "".join(",".join(map(str, row)) + "\n" for row in [*ROWS, *ROWS[:2]])


@pytest.mark.parametrize("batch", [1, 4, 100])
@pytest.mark.parametrize("block", [1, 3, 13, 14])
def test_every_row_is_in_one_block(
    block: int, batch: int, people: People, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table_writer, "_block_rows", lambda schema: block)
    monkeypatch.setattr("headframe.datasets.readers.delimited.BATCH", batch)
    record = ingest(people(TEXT), Places(tmp_path))
    assert (record.rows, record.rejected) == (13, 0)
    written = Table.open(tmp_path / record.folder).read(["name", "age", "height", "city"])
    assert [tuple(row.values()) for row in written.to_pylist()] == [*ROWS, *ROWS[:2]]
    sizes = [
        pq.ParquetFile(tmp_path / record.folder / TABLE).metadata.row_group(at).num_rows for at in range(13 // block)
    ]
    assert sizes == [block] * (13 // block)


@pytest.mark.parametrize("block", [1, 3, 100])
def test_repetitions_are_counted_over_all_blocks(
    block: int, people: People, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table_writer, "_block_rows", lambda schema: block)
    written = Table.open(tmp_path / ingest(people(TEXT), Places(tmp_path)).folder).read([ROW_ID, CONTENT, "name"])
    ids, contents = written[ROW_ID].to_pylist(), written[CONTENT].to_pylist()
    assert ids[:11] == contents[:11]
    assert ids[11:] == [f"{content}-1" for content in contents[:2]]
    assert len({*ids}) == 13
    rows = Table.open(tmp_path / "data" / "people").read(["name", "age", "height"])
    assert contents == content_hashes(rows, ["name", "age", "height"]), "all but the target"


def test_rows_that_arrive_alike_have_one_digest_and_others_another(
    people: People, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digests = []
    for text, batch in ((TEXT, 2), (TEXT, 7), (TEXT.replace("n1", "m1", 1), 7), (TEXT.replace("n3,0", "n3,1", 1), 7)):
        monkeypatch.setattr("headframe.datasets.readers.delimited.BATCH", batch)
        digests.append(ingest(people(text), Places(tmp_path)).digest)
    assert digests[0] == digests[1]
    assert len({*digests}) == 3
