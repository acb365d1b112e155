"""A version that was kept is looked for before it is believed to be there."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from headframe.config.plan.data import DatasetConfig
from headframe.data_versions.commit import CommittedVersion, commit, is_committed
from headframe.data_versions.dvc_files import object_file, tracked_files
from headframe.data_versions.versions import DataFolderVersions
from headframe.datasets.ingest import ingest, is_current
from headframe.errors import DataError, HeadframeError
from headframe.places import Places

pytestmark = pytest.mark.filterwarnings("ignore:_NoneStep.value will soon raise:DeprecationWarning")

People = Callable[..., DatasetConfig]
OTHER = "name,age,height,city\nEve,1,1,a\n"


@pytest.fixture
def kept(tmp_path: Path, people: People) -> tuple[Path, CommittedVersion]:
    root = tmp_path / "project"
    return root, commit(ingest(people(), Places(root, tmp_path)), Places(root))


def test_what_was_just_kept_is_kept(kept: tuple[Path, CommittedVersion]) -> None:
    root, record = kept
    assert is_committed(record, Places(root))


@pytest.mark.parametrize("lost", [".headframe/dvc-remote", ".dvc/cache", "data.dvc", "data/people/dataset.json"])
def test_what_is_lost_is_kept_no_longer_and_kept_again(
    lost: str, kept: tuple[Path, CommittedVersion], tmp_path: Path
) -> None:
    root, record = kept
    path = root / lost
    content = path.read_bytes() if path.name == "dataset.json" else b""
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert not is_committed(record, Places(root))
    if content:
        path.write_bytes(content)
    else:
        DataFolderVersions(root).commit()
    assert is_committed(record, Places(root))


@pytest.mark.parametrize("store", [".dvc/cache", ".headframe/dvc-remote"])
@pytest.mark.parametrize("ending", ["table.parquet", "rejected.parquet", "dataset.json", ".dir"])
def test_a_flipped_bit_in_cache_or_remote_is_noticed_and_mended(
    store: str, ending: str, kept: tuple[Path, CommittedVersion], caplog: pytest.LogCaptureFixture
) -> None:
    root, record = kept
    name, files = tracked_files(root, root / ".dvc" / "cache")
    file = object_file(root / store, files.get(f"people/{ending}", name))
    good, about = file.read_bytes(), file.stat()
    file.chmod(0o644)
    file.write_bytes(bytes([good[0] ^ 1]) + good[1:])
    file.chmod(about.st_mode)
    os.utime(file, ns=(about.st_atime_ns, about.st_mtime_ns))
    assert not is_committed(record, Places(root))
    DataFolderVersions(root).commit()
    assert str(file) in caplog.text
    assert file.read_bytes() == good
    assert is_committed(record, Places(root))


def test_a_version_that_another_run_has_replaced_is_not_said_to_be_kept(tmp_path: Path, people: People) -> None:
    root = tmp_path / "project"
    old = ingest(people(), Places(root, tmp_path))
    ingest(people(OTHER), Places(root, tmp_path))
    with pytest.raises(DataError, match="replaced it meanwhile"):
        commit(old, Places(root))
    assert not (root / "data.dvc").exists()


CONFLICT = "<<<<<<< HEAD\n{0}=======\n{0}>>>>>>> theirs\n"


@pytest.mark.parametrize("place", ["data.dvc", ".dvc/config"])
@pytest.mark.parametrize(
    "damage", [CONFLICT, "outs: []\n", "[core\n", "\xff\xfe", "outs:\n- path: data\n- path: else\n"]
)
def test_a_file_of_dvcs_that_cannot_be_read_is_named_and_keeps_nothing(
    place: str, damage: str, kept: tuple[Path, CommittedVersion]
) -> None:
    root, record = kept
    path = root / place
    good = path.read_text()
    path.write_bytes(damage.format(good).encode("latin-1"))
    assert not is_committed(record, Places(root))
    with pytest.raises(HeadframeError) as caught:
        DataFolderVersions(root).commit()
    assert str(caught.value).startswith(f"{path} cannot be used")
    assert f"git checkout {place}`" in str(caught.value)
    assert "\n" not in str(caught.value)
    path.write_text(good)
    assert is_committed(record, Places(root))


@pytest.mark.parametrize("damage", ["[{", "[]", "{}", '[{"relpath": "people/dataset.json"}]', "[3]"])
def test_a_damaged_list_of_files_keeps_nothing(damage: str, kept: tuple[Path, CommittedVersion]) -> None:
    root, record = kept
    (listing,) = (root / ".dvc" / "cache" / "files").rglob("*.dir")
    listing.chmod(0o644)
    listing.write_text(damage)
    assert not is_committed(record, Places(root))


def test_another_title_or_other_rows_are_another_version(
    kept: tuple[Path, CommittedVersion], people: People, tmp_path: Path
) -> None:
    root, record = kept
    ingest(people(title="Persons"), Places(root, tmp_path))
    assert not is_committed(record, Places(root))
    other = commit(ingest(people(OTHER), Places(root, tmp_path)), Places(root))
    assert is_committed(other, Places(root))
    # Back to the first rows: `data.dvc` names the others.
    again = ingest(people(), Places(root, tmp_path))
    assert again.digest == record.digest
    assert not is_committed(record, Places(root))


def test_a_remote_on_another_machine_is_asked(kept: tuple[Path, CommittedVersion]) -> None:
    root, record = kept
    (root / ".dvc" / "config.local").write_text("['remote \"project\"']\n    url = s3://bucket/folder\n")
    assert not is_committed(record, Places(root))


def test_a_source_without_a_promised_digest_is_read_again(people: People, tmp_path: Path) -> None:
    root = tmp_path / "project"
    dataset = people()
    record = ingest(dataset, Places(root, tmp_path))
    assert is_current(record, dataset, Places(root, tmp_path))
    people(OTHER)
    assert not is_current(record, dataset, Places(root, tmp_path))
    (tmp_path / "people.csv").unlink()
    assert not is_current(record, dataset, Places(root, tmp_path))


def test_a_source_with_a_promised_digest_may_be_gone(people: People, tmp_path: Path) -> None:
    root = tmp_path / "project"
    dataset = people(checked=True)
    record = ingest(dataset, Places(root, tmp_path))
    (tmp_path / "people.csv").unlink()
    assert is_current(record, dataset, Places(root, tmp_path))
