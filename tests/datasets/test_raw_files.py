"""Where raw files are looked for, and what is refused."""

import gzip
import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from headframe.config.plan.data import SourceConfig
from headframe.datasets.raw_files import fetch_raw_file
from headframe.errors import ConfigurationError, DataError, HeadframeError

RIGHT = hashlib.sha256(b"right").hexdigest()


def put(file: Path, content: bytes) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    return file


def test_raw_cache_comes_before_mirror_and_mirror_before_origin(tmp_path: Path) -> None:
    root, mirror = tmp_path / "root", tmp_path / "mirror"
    source = SourceConfig(uri="file:set/raw.bin", sha256=RIGHT)
    origin = put(root / "set" / "raw.bin", b"right")
    assert fetch_raw_file("raw", source, root, mirror) == origin
    mirrored = put(mirror / "set" / "raw.bin", b"right")
    assert fetch_raw_file("raw", source, root, mirror) == mirrored
    cached = put(root / ".headframe" / "raw" / "set" / "raw.bin", b"right")
    assert fetch_raw_file("raw", source, root, mirror) == cached


def test_a_damaged_cached_copy_is_passed_over(tmp_path: Path) -> None:
    root, mirror = tmp_path / "root", tmp_path / "mirror"
    put(root / ".headframe" / "raw" / "raw.bin", b"wrong")
    mirrored = put(mirror / "raw.bin", b"right")
    assert fetch_raw_file("raw", SourceConfig(uri="file:raw.bin", sha256=RIGHT), root, mirror) == mirrored


def test_a_wrong_checksum_names_both_digests_and_the_file(tmp_path: Path) -> None:
    file = put(tmp_path / "raw.bin", b"wrong")
    with pytest.raises(DataError) as caught:
        fetch_raw_file("raw", SourceConfig(uri="file:raw.bin", sha256=RIGHT), tmp_path, None)
    for part in (RIGHT, hashlib.sha256(b"wrong").hexdigest(), str(file), "dataset.sources.raw.sha256"):
        assert part in str(caught.value)
    assert caught.value.exit_code == 3


def test_a_missing_file_names_every_place_and_the_mirror_variable(tmp_path: Path) -> None:
    root, mirror = tmp_path / "root", tmp_path / "mirror"
    with pytest.raises(HeadframeError) as caught:
        fetch_raw_file("raw", SourceConfig(uri="file:set/raw.bin"), root, mirror)
    for place in (root / ".headframe" / "raw", mirror, root):
        assert str(place / "set" / "raw.bin") in str(caught.value)
    assert "HEADFRAME_MIRROR" in str(caught.value)
    assert caught.value.exit_code == 1


@pytest.mark.parametrize("place", ["root", "root/.headframe/raw", "mirror"])
@pytest.mark.parametrize("path", ["{0}/secret.bin", "../secret.bin", "a/../../secret.bin", "link.bin"])
def test_no_source_leads_out_of_project_or_mirror(path: str, place: str, tmp_path: Path) -> None:
    put(tmp_path / "secret.bin", b"right")
    (tmp_path / place).mkdir(parents=True)
    (tmp_path / place / "link.bin").symlink_to(tmp_path / "secret.bin")
    source = SourceConfig(uri=f"file:{path.format(tmp_path)}", sha256=RIGHT)
    with pytest.raises(
        ConfigurationError, match=r"leads out of the project; put the file|is a link out of .*; put the"
    ):
        fetch_raw_file("raw", source, tmp_path / "root", tmp_path / "mirror")


def test_a_link_within_the_project_is_followed(tmp_path: Path) -> None:
    put(tmp_path / "there" / "raw.bin", b"right")
    (tmp_path / "here").symlink_to("there")
    source = SourceConfig(uri="file:here/raw.bin", sha256=RIGHT)
    assert fetch_raw_file("raw", source, tmp_path, None) == tmp_path / "here" / "raw.bin"


def test_a_scheme_exists_because_its_module_exists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path / "extra_schemes" / "__init__.py", b"")
    put(
        tmp_path / "extra_schemes" / "attic.py",
        b"from headframe.datasets.sources.base import SourceScheme\n\n\nclass AtticScheme(SourceScheme):\n"
        b"    def locate(self, address, root):\n        return [root / 'attic' / address]\n",
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("headframe.config.targets.find_definition.SCHEMES", "extra_schemes")
    file = put(tmp_path / "root" / "attic" / "raw.bin", b"right")
    assert fetch_raw_file("raw", SourceConfig(uri="attic:raw.bin", sha256=RIGHT), tmp_path / "root", None) == file


def test_an_unknown_scheme_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigurationError, match=r"'fil:raw\.bin' .*\(file:, folder:, package:\); did you mean 'file'\?"
    ):
        fetch_raw_file("raw", SourceConfig(uri="fil:raw.bin"), tmp_path, None)


def test_a_missing_package_is_named(tmp_path: Path) -> None:
    with pytest.raises(HeadframeError, match=r"package:no_such_package/data\.csv"):
        fetch_raw_file("raw", SourceConfig(uri="package:no_such_package/data.csv"), tmp_path, None)


def test_the_bundled_digits_are_found_without_importing_their_package(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from headframe.config.plan.data import SourceConfig;"
        "from headframe.datasets.raw_files import fetch_raw_file;"
        "print(fetch_raw_file('x', SourceConfig(uri='package:sklearn/datasets/data/digits.csv.gz'), Path('.'), None));"
        "assert 'sklearn' not in sys.modules"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=True)
    with gzip.open(ran.stdout.strip()) as stream:
        assert np.loadtxt(stream, delimiter=",").shape == (1797, 65)


@pytest.mark.parametrize("path", ["headframe/../numpy/__init__.py", "../x.csv", ".", "/", "no package/x", "..."])
def test_a_package_that_cannot_be_one_is_refused(path: str, tmp_path: Path) -> None:
    with pytest.raises(HeadframeError, match=r"was not found; looked for: |leads out of the project"):
        fetch_raw_file("rows", SourceConfig(uri=f"package:{path}"), tmp_path, None)


def test_a_folder_in_the_place_of_a_file_is_named_as_such(tmp_path: Path) -> None:
    (tmp_path / "rows").mkdir()
    with pytest.raises(HeadframeError, match=r"was not found; looked for: .*/rows \(a folder\)"):
        fetch_raw_file("rows", SourceConfig(uri="file:rows"), tmp_path, None)
