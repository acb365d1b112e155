"""A model that brings code is proven and opened with that code, and with no other version of it."""

import fixtures
import numpy as np
import pytest
from fixtures import NETWORK, Made, trust
from mlflow import MlflowClient
from shared import scores_of

from headframe.errors import HeadframeError
from headframe.registry.loader import load_package
from headframe.registry.versions import load_model, model_files, resolve

FLIPPED = NETWORK.replace("return self.layers(x)", "return -self.layers(x)")


@pytest.fixture
def forked_programs() -> None:
    """Leave isolated calls the processes that they are for users."""


def test_the_proof_is_of_the_code_that_was_packaged(own: Made, monkeypatch: pytest.MonkeyPatch):
    # A module beside the package is not packaged with it, yet stands on the path of whoever runs the project.
    (own.root / "src" / "constants.py").write_text("SIGN = 1\n", encoding="utf-8")
    fixtures.write_network(
        own.root, NETWORK.replace("from torch import nn", "from constants import SIGN\nfrom torch import nn")
    )
    monkeypatch.setenv("PYTHONPATH", str(own.root / "src"))
    assert scores_of(own.predictor, own.probe).shape == (32, 10)
    with pytest.raises(HeadframeError, match="No module named 'constants'"):
        own.register()
    assert MlflowClient(own.uri, own.uri).search_model_versions() == []


def test_a_version_is_opened_with_its_own_code_though_the_project_comes_first_on_the_path(own: Made):
    expected = scores_of(own.predictor, own.probe)
    own.register()
    fixtures.write_network(own.root, FLIPPED)
    np.testing.assert_array_equal(
        scores_of(load_model(resolve("digits/1", own.uri), own.uri, trust()), own.probe), expected
    )


def test_a_version_is_not_opened_where_other_code_of_that_name_was_imported(own: Made):
    own.register()
    fixtures.write_network(own.root, FLIPPED)
    assert scores_of(own.predictor, own.probe).shape == (32, 10)
    with pytest.raises(HeadframeError, match=r"brings package 'mine' .*imported another version of it from .*src/mine"):
        load_model(resolve("digits/1", own.uri), own.uri, trust())


def test_a_model_that_needs_none_of_the_projects_code_brings_none(own: Made, digits: Made):
    assert own.root == digits.root
    digits.register()
    with model_files(resolve("digits/1", digits.uri), digits.uri, trust()) as model:
        assert not (model / "code").exists()
        assert scores_of(load_package(model), digits.probe).shape == (32, 10)
