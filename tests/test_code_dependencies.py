"""What a result depends on is found in source files: code, libraries, the kind of device."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

import pytest

from headframe.code_dependencies import CodeDependencies, code_dependencies, device_of
from headframe.config.load import load_plan
from headframe.config.project import Project
from headframe.errors import ConfigurationError
from headframe.gpu import gpu


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package `mine` in `src/`, whose module `a` imports `b` in a function, and a module `c` beside them."""
    made = tmp_path / "src" / "mine"
    made.mkdir(parents=True)
    (made / "__init__.py").write_text("")
    (made / "a.py").write_text("def f():\n    from mine.b import g\n")
    (made / "b.py").write_text("g = 1\n")
    (made / "c.py").write_text("unrelated = 1\n")
    return made


def reached(package: Path) -> CodeDependencies:
    return code_dependencies(["mine.a"], package.parent)


def test_code_that_is_reached_counts_and_other_code_does_not(package: Path) -> None:
    first = reached(package)
    (package / "c.py").write_text("unrelated = 2\n")
    assert reached(package) == first
    (package / "b.py").write_text("g = 2\n")
    second = reached(package)
    assert second != first
    (package / "b.py").write_text("from mine.c import unrelated\n")
    assert "mine.c" in reached(package).code


def test_templates_of_a_package_count_as_its_code(package: Path) -> None:
    (package / "notes.txt").write_text("unrelated")
    (package / "page.jinja").write_text("{{ a }}")
    first = reached(package)
    assert set(first.code) == {"mine", "mine.a", "mine.b", "mine/page.jinja"}
    (package / "page.jinja").write_text("{{ b }}")
    assert reached(package) != first


def test_a_relative_import_is_followed_as_well(package: Path) -> None:
    (package / "deep").mkdir()
    (package / "a.py").write_text("from .deep import c\n")
    (package / "deep" / "__init__.py").write_text("from ..b import g\n")
    (package / "deep" / "c.py").write_text("")
    assert set(reached(package).code) == {"mine", "mine.a", "mine.b", "mine.deep", "mine.deep.c"}


def test_a_package_s_own_beginning_and_a_single_module_count(package: Path) -> None:
    (package / "b.py").write_text("import helper\n")
    (package.parent / "helper.py").write_text("x = 1\n")
    first = reached(package)
    (package.parent / "helper.py").write_text("x = 2\n")
    second = reached(package)
    (package / "__init__.py").write_text("import torch; torch.set_default_dtype(torch.float64)\n")
    third = reached(package)
    assert len({tuple(sorted(one.code.items())) for one in (first, second, third)}) == 3
    assert "torch" in third.libraries


def test_a_file_that_is_no_python_is_named(package: Path) -> None:
    (package / "b.py").write_text("g = (\n")
    with pytest.raises(ConfigurationError, match=r"b\.py, line 1"):
        reached(package)


def test_other_models_reach_other_code() -> None:
    cnn, mlp = (set(code_dependencies([f"headframe.models.{name}"], Path("none")).code) for name in ("cnn", "mlp"))
    assert cnn - mlp == {"headframe.models.cnn"}
    assert mlp - cnn == {"headframe.models.mlp"}


@pytest.mark.parametrize(
    ("module", "imported", "distribution"),
    [
        ("headframe.prediction.estimator", "import skops.io", "skops"),
        ("headframe.validation.checks", "import great_expectations", "great_expectations"),
        ("sklearn.linear_model", "", "scikit-learn"),
    ],
)
def test_libraries_that_code_imports_count_with_their_version(module: str, imported: str, distribution: str) -> None:
    libraries = code_dependencies([module], Path("none")).libraries
    assert libraries[distribution] == metadata.version(distribution)
    assert {"numpy", "scipy"} <= set(libraries)
    assert not {"prefect", "hydra-core"} & set(libraries)


def test_another_version_of_a_library_of_the_project_s_own_code_is_another_key(package: Path) -> None:
    """Distributions as an installer leaves them: the imported name is not the distribution's."""
    (package / "b.py").write_text("def f():\n    import drill.bits\n")
    site = package.parent.parent / "site"
    found = []
    for version in ("1.0", "2.0", None):
        if version:
            installed = site / "Mining_Drill.dist-info"
            installed.mkdir(parents=True, exist_ok=True)
            (installed / "METADATA").write_text(f"Metadata-Version: 2.1\nName: Mining-Drill\nVersion: {version}\n")
            (installed / "top_level.txt").write_text("drill\n")
        code = (
            "import sys; from pathlib import Path; from headframe.code_dependencies import code_dependencies;"
            "print(code_dependencies(['mine.a'], Path(sys.argv[1])).libraries.get('Mining-Drill'))"
        )
        search = os.pathsep.join([str(site)] if version else [])
        environment = {**os.environ, "PYTHONPATH": search}
        call = [sys.executable, "-c", code, str(package.parent)]
        found.append(subprocess.run(call, env=environment, capture_output=True, text=True, check=True).stdout.strip())
    assert found == ["1.0", "2.0", "None"]


class Installed(metadata.Distribution):
    """A distribution with these texts among its metadata."""

    def __init__(self, **texts: str) -> None:
        self.texts = {name.replace("_", "-") if name == "PKG_INFO" else name: text for name, text in texts.items()}

    def read_text(self, filename: str) -> str | None:
        return self.texts.get(filename.replace(".", "_"))

    def locate_file(self, path: object) -> Path:
        return Path(str(path))


@pytest.mark.parametrize(
    ("texts", "tops"),
    [
        ({"top_level_txt": "drill\nbits\n", "RECORD": "other/a.py,,\n"}, {"drill", "bits"}),
        ({"RECORD": "drill/__init__.py,sha256=x,1\nbits.py,,\ndrill/x.so,,\nbin/tool,,\n"}, {"drill", "bits"}),
        ({"top_level_txt": " ", "RECORD": "drill/a.py,,\n"}, {"drill"}),
        ({"RECORD": '"drill/a,b.py",,\nbits/c.py,,\n'}, {"drill", "bits"}),
        ({"RECORD": "drill-1.0.dist-info/METADATA,,\n"}, set()),
        ({}, set()),
    ],
)
@pytest.mark.parametrize("headers", ["METADATA", "PKG-INFO"])
def test_modules_are_those_of_installed_distributions(
    texts: dict[str, str], tops: set[str], headers: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from headframe import code_dependencies as module

    named = Installed(**texts, **{headers: "Metadata-Version: 2.1\nName: Mining-Drill\n\nName: no header\n"})
    other = Installed(**texts, METADATA="Name: Spare-Drill\n")
    monkeypatch.setattr(metadata, "distributions", lambda: [named, other])
    found = module._distributions.__wrapped__()
    assert found == dict.fromkeys(tops, ("Mining-Drill", "Spare-Drill"))


def test_modules_belong_to_the_distributions_that_importlib_names() -> None:
    from headframe import code_dependencies as module

    expected, found = metadata.packages_distributions(), module._distributions()
    for name in ("numpy", "sklearn", "yaml", "torch", "mlflow", "PIL"):
        assert set(found[name]) == set(expected[name])


DRIVER = """
#include <string.h>
int cuInit(unsigned flags) { return 0; }
int cuDeviceGet(int *device, int place) { *device = place; return COUNT > place ? 0 : 101; }
int cuDeviceGetName(char *name, int size, int device) { strncpy(name, "Coal-Face 9000", size); return 0; }
"""
"""CUDA's driver of a machine with COUNT GPUs, as far as it is called."""


ASKING = """
import sys
from importlib import metadata
from pathlib import Path

built = metadata.version
metadata.version = lambda name: "2.13.0+cu130" if name == "torch" else built(name)  # as where torch can use a GPU

from headframe.config.load import load_plan
from headframe.config.project import Project
from headframe.gpu import gpu
from headframe.code_dependencies import device_of
from headframe.training.result import identity_of

root = Path(sys.argv[1])
plan = load_plan(["dataset=digits", "model=cnn"], Project(root))
job = plan.version.training_job("0" * 64)
print(gpu(), device_of(plan.learner), identity_of(job, root), sep="\\n")
"""


@pytest.mark.skipif(shutil.which("cc") is None, reason="makes a driver, for which it needs a C compiler")
def test_a_network_s_training_is_another_one_where_the_driver_has_a_gpu(tmp_path: Path, repository: Project) -> None:
    found_devices = []
    for count in (0, 1):
        place = tmp_path / str(count)
        place.mkdir()
        (place / "driver.c").write_text(DRIVER)
        made = ["cc", "-shared", "-fPIC", f"-DCOUNT={count}", "-o", "libcuda.so.1", "driver.c"]
        subprocess.run(made, cwd=place, check=True)
        command = subprocess.run(
            [sys.executable, "-c", ASKING, str(repository.root)],
            env={**os.environ, "LD_LIBRARY_PATH": str(place)}, capture_output=True, text=True, check=True,
        )  # fmt: skip
        found_devices.append(command.stdout.splitlines())
    assert [devices[:2] for devices in found_devices] == [["None", "cpu"], ["Coal-Face 9000", "Coal-Face 9000"]]
    assert found_devices[0][2] != found_devices[1][2]


def test_a_gpu_counts_for_what_can_be_trained_on_it_and_as_torch_sees_it(repository: Project) -> None:
    import torch

    there = gpu() if torch.version.cuda else None
    assert (there is not None) == torch.cuda.is_available()
    if there is not None:
        assert there == torch.cuda.get_device_name(0)

    def device(*overrides: str) -> str:
        return device_of(load_plan(["dataset=digits", *overrides], repository).learner)

    assert device("model=cnn") == device("model=cnn_lstm_mean") == (there or "cpu")
    assert device("model=cnn", "trainer.accelerator=cpu") == device("model=logistic") == "cpu"


def test_which_device_a_learner_is_trained_on(repository: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine with a GPU that torch can use."""
    from headframe import code_dependencies as module

    installed = module.installed_version
    built = "2.13.0+cu130"
    monkeypatch.setattr(module, "gpu", lambda: "Coal-Face 9000")
    monkeypatch.setattr(module, "installed_version", lambda name: built if name == "torch" else installed(name))

    def device(*overrides: str) -> str:
        return device_of(load_plan(["dataset=digits", *overrides], repository).learner)

    for model in ("cnn", "cnn_lstm_mean", "deep_ensemble"):
        assert device(f"model={model}") == "Coal-Face 9000"
        assert device(f"model={model}", "trainer.accelerator=cpu") == "cpu"
    assert device("model=logistic") == "cpu"
    assert device("model=cnn_lstm_mean", "+model.members.cnn.trainer.accelerator=cpu") == "Coal-Face 9000"
    monkeypatch.setattr(module, "gpu", lambda: None)
    assert device("model=cnn") == "cpu"
    monkeypatch.setattr(module, "gpu", lambda: "Coal-Face 9000")
    built = "2.13.0+cpu"
    assert device("model=cnn") == "cpu"


def test_code_is_followed_through_every_kind_of_import(package: Path) -> None:
    """Each of `mine.b` and `mine.c` may be reached as a module, as a name of its package, or from beside it."""
    for text, names in (
        ("import mine.b", {"mine.b"}),
        ("import mine.b as other, mine.c", {"mine.b", "mine.c"}),
        ("from mine import b", {"mine.b"}),
        ("from . import b, c", {"mine.b", "mine.c"}),
        ("from .b import g", {"mine.b"}),
        ("if True:\n    class C:\n        from mine.c import unrelated", {"mine.c"}),
        ("import mine", set()),
        ("x = 'import mine.b'", set()),
    ):
        (package / "a.py").write_text(f"{text}\n")
        assert set(reached(package).code) == {"mine", "mine.a", *names}, text


def test_code_counts_by_its_content_and_only_packages_have_templates(package: Path) -> None:
    from headframe.digests import file_digest

    (package / "part.html").write_text("<p>")
    (package / "style.css").write_text("p {}")
    (package / "read.md").write_text("# p")
    found = reached(package).code
    assert found == {
        "mine": file_digest(package / "__init__.py"),
        "mine.a": file_digest(package / "a.py"),
        "mine.b": file_digest(package / "b.py"),
        **{f"mine/{name}": file_digest(package / name) for name in ("part.html", "style.css", "read.md")},
    }
    (package.parent / "page.jinja").write_text("{{ x }}")
    (package.parent / "single.py").write_text("")
    assert set(code_dependencies(["single"], package.parent).code) == {"single"}, "a module is no package"


def test_modules_that_do_not_exist_and_circles_end(package: Path) -> None:
    (package / "b.py").write_text("import mine.a, mine.gone, nowhere.at.all\n")
    found = reached(package)
    assert set(found.code) == {"mine", "mine.a", "mine.b"}
    assert set(found.libraries) == {"numpy", "scipy"}


def test_a_folder_beside_the_code_that_no_import_can_name_hides_no_library(package: Path) -> None:
    (package.parent / "sklearn.bak").mkdir()
    (package / "b.py").write_text("import sklearn\n")
    assert "scikit-learn" in reached(package).libraries


def test_the_schema_of_a_plan_counts_by_its_values_only() -> None:
    found = code_dependencies(["headframe.config.plan.learner", "headframe.digests"], Path("none"))
    assert "headframe.digests" in found.code
    assert not [name for name in found.code if name.startswith("headframe.config.plan.")]


def test_what_is_read_quickly_is_what_the_standard_library_finds(repository: Project) -> None:
    import ast

    from headframe import code_dependencies as module

    expected = {top: sorted(names) for top, names in metadata.packages_distributions().items()}
    assert {top: sorted(names) for top, names in module._distributions().items()} == expected

    def imports(nodes: Iterable[ast.AST]) -> set[ast.AST]:
        return {node for node in nodes if isinstance(node, ast.Import | ast.ImportFrom)}

    odd = """
match x:
    case 1:
        import a
try:
    import b
except* E:
    from . import c
else:
    with y:
        import d
finally:
    for _ in z:
        import e
    else:
        async def f():
            while True:
                class C:
                    import g
"""
    trees = [ast.parse(file.read_bytes()) for file in (repository.root / "src" / "headframe").rglob("*.py")]
    for tree in (*trees, ast.parse(odd)):
        assert imports(module._statements(tree.body)) == imports(ast.walk(tree))
    assert len(imports(module._statements(ast.parse(odd).body))) == 6


def test_python_and_processor_count() -> None:
    import platform

    found = code_dependencies([], Path("none"))
    assert (found.python, found.machine) == (f"{sys.version_info.major}.{sys.version_info.minor}", platform.machine())
    assert found.code == {}
    assert found.libraries == {name: metadata.version(name) for name in ("numpy", "scipy")}
