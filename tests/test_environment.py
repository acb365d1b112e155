"""A blank environment variable counts as unset, wherever it is read."""

import os
from pathlib import Path

import pytest

from headframe import orchestration
from headframe.config.load import load_plan
from headframe.config.plan.serving import TrackingConfig
from headframe.config.project import Project
from headframe.doctor import check_keys, check_tracking
from headframe.environment import keys_folder, variable
from headframe.errors import ConfigurationError
from headframe.ledger.address import named_ledger
from headframe.places import Places
from headframe.signing.keys import create_key, own_key
from headframe.telemetry import OFF, switch_off
from headframe.tracking.address import tracking_uri
from headframe.tracking.lineage import flow_run

BLANK = ["", " ", "\t \n"]


@pytest.mark.parametrize("value", BLANK)
def test_a_blank_variable_is_none(value: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HEADFRAME_X", value)
    assert variable("HEADFRAME_X") is None
    monkeypatch.setenv("HEADFRAME_X", " a ")
    assert variable("HEADFRAME_X") == " a "  # a password may begin with a blank
    monkeypatch.delenv("HEADFRAME_X")
    assert variable("HEADFRAME_X") is None


@pytest.mark.parametrize("value", BLANK)
def test_blank_places_are_those_of_unset_variables(
    value: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, repository: Project
):
    names = (
        "HEADFRAME_MIRROR", "HEADFRAME_LEDGER", "HEADFRAME_FLOW_RUN_URL", "XDG_CONFIG_HOME", "MLFLOW_TRACKING_URI",
        "PREFECT_API_URL", "PREFECT_PROFILES_PATH", "PREFECT_PROFILE", "HEADFRAME_KEYS",
    )  # fmt: skip
    for name in names:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PREFECT_HOME", value)
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".prefect").mkdir()
    profiles = 'active = "team"\n[profiles.team]\nPREFECT_API_URL = "http://team:4200/api"\n'
    (tmp_path / ".prefect" / "profiles.toml").write_text(profiles)
    plan = load_plan([], repository)

    def read() -> list[object]:
        places = Places.of(tmp_path).mirror, keys_folder(), tracking_uri(plan.tracking, tmp_path)
        return [*places, named_ledger(plan.promotion), orchestration.api_url(), flow_run()]

    unset = read()
    assert unset[1:2] + unset[4:5] == [tmp_path / ".config/headframe/keys", "http://team:4200/api"]
    for name in names:
        monkeypatch.setenv(name, value)
    assert read() == unset


@pytest.mark.parametrize("value", BLANK)
def test_a_blank_name_of_a_key_chooses_none(value: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("HEADFRAME_KEYS", str(tmp_path / "keys"))
    monkeypatch.setenv("HEADFRAME_SIGNER", value)
    anna = create_key("anna")
    assert own_key() == anna
    assert check_keys(tmp_path, os.environ).state == "ok"
    assert check_tracking({"MLFLOW_TRACKING_URI": value}).found == "MLFLOW_TRACKING_URI names no server"


def test_a_file_in_the_place_of_the_keys_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    (tmp_path / "keys").touch()
    monkeypatch.setenv("HEADFRAME_KEYS", str(tmp_path / "keys"))
    with pytest.raises(
        ConfigurationError, match=r"/keys is a file, but a folder of keys was .* correct HEADFRAME_KEYS"
    ):
        own_key()


@pytest.mark.parametrize("address", ["garbage", "http://", "https:///api", "ftp://host/api"])
def test_an_address_without_a_host_is_none(address: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("PREFECT_API_URL", address)
    with pytest.raises(ConfigurationError, match=f"PREFECT_API_URL is '{address}', which is no address"):
        orchestration.require_api()
    with pytest.raises(ConfigurationError, match=rf"MLFLOW_TRACKING_URI\) is '{address}'; expected http"):
        tracking_uri(TrackingConfig(experiment="x", uri=address), tmp_path)


def test_a_blank_switch_of_telemetry_is_switched_off(monkeypatch: pytest.MonkeyPatch):
    for name in OFF:
        monkeypatch.setenv(name, " ")
    monkeypatch.setenv("DO_NOT_TRACK", "false")  # of a user who wants it
    switch_off()
    assert {name: os.environ[name] for name in OFF} == {**OFF, "DO_NOT_TRACK": "false"}
