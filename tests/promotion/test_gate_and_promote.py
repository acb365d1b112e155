"""A version becomes champion when it may, and the registry says so."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import fixtures
import numpy as np
import pytest
from fixtures import Made, World, evaluate, in_child, package_of, sign_again, train, trust
from mlflow import MlflowClient
from shared import scores_of

from headframe.config.plan.promotion import Approvals, TeamConfig
from headframe.errors import ConfigurationError, HeadframeError, Refused
from headframe.promotion.approve import approve
from headframe.promotion.gate_and_promote import decide, is_in_force
from headframe.promotion.promote import promote
from headframe.promotion.service import PromotionService
from headframe.records import Decision, Registered, RegisteredPlan, SmokeTestResult
from headframe.registry.versions import champion_number, has_version, load_model, resolve
from headframe.serving.smoke_request import smoke_test
from headframe.signing.keys import own_key


def _result(made: Made, registered: Registered) -> RegisteredPlan:
    return RegisteredPlan(data=made.data, trained=made.trained, evaluated=made.evaluated, registered=registered)


def _decide(made: Made, registered: Registered) -> Decision:
    plan = made.plan
    return decide(plan.promotion, plan.team, _result(made, registered), "here", made.places)


def _smoke_test(made: Made, decision: Decision) -> SmokeTestResult:
    return smoke_test(decision, made.trained, made.plan.team, "here", made.places)


def _another(made: Made, name: str, steps: int) -> Made:
    """Train another digits network in the same project."""
    plan = made.plan.model_copy(update={"seed": made.plan.seed + steps})
    trained = train(plan, made.data, made.root, name, steps)
    return replace(made, plan=plan, trained=trained, evaluated=evaluate(plan, trained, made.root))


def _accuracy(made: Made) -> float:
    return made.evaluated.metrics["accuracy"].value


def test_the_first_version_becomes_champion_and_stays_it(digits: Made):
    registered = digits.register()
    decision = _decide(digits, registered)
    assert (decision.state, decision.champion) == ("champion", 1)
    assert decision.reason.startswith(f"digits version 1 becomes champion: accuracy {_accuracy(digits):.4f}")
    assert champion_number("digits", digits.uri) == 1
    assert is_in_force(decision, TeamConfig(), digits.places)
    again = _decide(digits, registered)
    assert (again.state, again.champion) == ("champion", 1)
    assert again.reason == "digits version 1 is the champion already"


def test_a_worse_version_is_refused_and_a_better_one_becomes_champion(digits: Made):
    poor, worse = _another(digits, "poor", 8), _another(digits, "worse", 3)
    assert _accuracy(worse) < _accuracy(poor) < _accuracy(digits)
    first = _decide(poor, poor.register())
    refused = _decide(worse, worse.register())
    assert (refused.state, refused.champion, refused.version) == ("refused", 1, 2)
    numbers = f"better: accuracy {_accuracy(worse):.4f} is worse than {_accuracy(poor):.4f} of the champion"
    assert refused.reason.startswith(
        f"digits version 2 is refused: {numbers} on the same {digits.evaluated.rows} test rows (p "
    )
    assert refused.reason.endswith("; version 1 stays champion")
    assert is_in_force(first, TeamConfig(), digits.places)
    promoted = _decide(digits, digits.register())
    assert (promoted.state, promoted.champion) == ("champion", 3)
    assert f"is better than {_accuracy(poor):.4f} of the champion" in promoted.reason
    assert not is_in_force(first, TeamConfig(), digits.places)
    assert MlflowClient(digits.uri, digits.uri).get_model_version_by_alias("digits", "champion").version == 3


def test_versions_that_are_as_good_do_not_take_the_title_from_each_other(digits: Made):
    twin = fixtures.twin(digits)
    first, second = digits.register(), twin.register()
    assert [_decide(digits, first).champion, _decide(twin, second).champion] == [1, 1]
    again = _decide(twin, second)
    assert (again.state, again.champion) == ("refused", 1)
    assert "is not proven better than" in again.reason


def test_a_champion_of_another_split_is_reported_to_have_seen_the_rows(digits: Made):
    _decide(digits, digits.register())
    split = digits.data.split.model_copy(update={"digest": "0" * 64})
    other = replace(digits, data=digits.data.model_copy(update={"split": split}))
    assert "it may have been trained on some of these rows" in _decide(other, other.register_unchecked()).reason


def _demanding(made: Made, minimum: float) -> Made:
    promotion = made.plan.promotion
    bound = promotion.gates["minimum"].model_copy(update={"value": minimum})
    promotion = promotion.model_copy(update={"gates": {**promotion.gates, "minimum": bound}})
    return replace(made, plan=made.plan.model_copy(update={"promotion": promotion}))


def test_a_missed_minimum_leaves_no_champion(digits: Made):
    strict = _demanding(digits, 0.999)
    decision = _decide(strict, strict.register())
    assert (decision.state, decision.champion) == ("refused", None)
    assert decision.reason.endswith("misses the minimum of 0.999; there is still no champion")
    assert is_in_force(decision, TeamConfig(), digits.places)


def test_where_the_policy_asks_people_a_version_waits_for_them(digits: Made):
    promotion = digits.plan.promotion.model_copy(update={"approvals": Approvals(needed=1, four_eyes=False)})
    asking = replace(digits, plan=digits.plan.model_copy(update={"promotion": promotion}))
    registered = asking.register()
    decision = _decide(asking, registered)
    assert (decision.state, decision.champion) == ("challenger", None)
    assert decision.reason == (
        "digits version 1 has passed its 2 gates and waits for an approval "
        "(headframe models approve digits/1 --reason WHY); there is still no champion"
    )
    assert is_in_force(decision, TeamConfig(), digits.places)
    service, version = PromotionService.of(asking.plan, digits.root), resolve("digits/1", digits.uri)
    approve(version, "looked at it", service, own_key())
    promote(version, service, own_key())
    assert not is_in_force(decision, TeamConfig(), digits.places)
    assert _decide(asking, registered).reason == "digits version 1 is the champion already"


def test_where_the_policy_asks_for_four_eyes_the_authors_gates_are_not_enough(digits: Made):
    promotion = digits.plan.promotion.model_copy(update={"approvals": Approvals(needed=2)})
    asking = replace(digits, plan=digits.plan.model_copy(update={"promotion": promotion}))
    decision = _decide(asking, asking.register())
    assert (decision.state, decision.champion) == ("challenger", None)
    assert decision.reason == (
        "digits version 1 has passed its 2 gates and waits for others, who run them too and give 2 approvals "
        "(headframe models gate digits/1; headframe models approve digits/1 --reason WHY); there is still no champion"
    )


def test_the_champion_is_measured_with_the_code_that_it_was_packaged_with(own: Made):
    _decide(own, own.register())
    fixtures.write_network(own.root, fixtures.NETWORK.replace("return self.layers(x)", "return -self.layers(x)"))
    flipped = fixtures.with_own_network(own, "flipped", steps=3)
    assert _accuracy(flipped) < 0.7 < _accuracy(own)
    registered = flipped.register()
    decision = _decide(flipped, registered)
    assert (decision.state == "champion", decision.champion, decision.version) == (False, 1, 2)
    numbers = f"accuracy {_accuracy(flipped):.4f} is worse than {_accuracy(own):.4f} of the champion"
    assert numbers in decision.reason
    tested = _smoke_test(flipped, decision)
    assert tested.version == 1
    fixtures.write_network(own.root)
    assert json.loads(tested.response)["predictions"] == own.predictor.predict(own.probe.slice(0, 1)).to_pylist()


def _of_another_split(made: Made) -> Made:
    """Claim another split, so that a champion has to predict again instead of its stored predictions."""
    split = made.data.split.model_copy(update={"digest": "0" * 64})
    return replace(made, data=made.data.model_copy(update={"split": split}))


def test_a_champion_of_another_shape_is_measured_all_the_same(own: Made):
    _decide(own, own.register())
    fixtures.write_network(own.root, fixtures.NETWORK.replace("nn.ReLU()", "nn.ReLU(), nn.Linear(width, width)"))
    deeper = _of_another_split(fixtures.with_own_network(own, "deeper", steps=3))
    decision = _decide(deeper, deeper.register_unchecked())
    assert decision.comparable
    assert f"is worse than {_accuracy(own):.4f} of the champion" in decision.reason


def test_a_champion_whose_code_cannot_be_imported_refuses_with_a_way_out(own: Made):
    _decide(own, own.register())
    model = package_of("digits", own.uri)
    (model / "code" / "mine" / "net.py").write_text("import nowhere\n")
    sign_again(model)
    other = _of_another_split(fixtures.with_own_network(own, "other", steps=3))
    decision = _decide(other, other.register_unchecked())
    assert (decision.state, decision.champion, decision.comparable) == ("refused", 1, False)
    assert "No module named 'nowhere'" in decision.reason
    assert "register under another name with promotion.model=digits-2; version 1 stays champion" in decision.reason


@pytest.mark.parametrize(
    ("what", "pattern"), [("no files", "cannot be fetched"), ("other weights", "was changed after .* signed it")]
)
def test_a_damaged_champion_is_named_until_it_is_repaired(digits: Made, what: str, pattern: str):
    _decide(digits, digits.register())
    worse = _another(digits, "worse", 3)
    registered = worse.register()
    earlier = _decide(worse, registered)
    assert (earlier.state, earlier.comparable, is_in_force(earlier, TeamConfig(), digits.places)) == (
        "refused",
        True,
        True,
    )
    model = package_of("digits", digits.uri)
    copy = shutil.copytree(model, digits.root / "copy")
    if what == "no files":
        shutil.rmtree(model)
    else:
        [weights] = model.rglob("*.safetensors")
        weights.write_bytes(weights.read_bytes()[:-1] + b"!")
    assert not is_in_force(earlier, TeamConfig(), digits.places)
    decision = _decide(worse, registered)
    assert (decision.state, decision.champion, decision.version, decision.comparable) == ("refused", 1, 2, False)
    assert re.search(f"version 1 stays champion, but it is unusable .*{pattern}", decision.reason)
    assert decision.reason.endswith("; the command that trained it writes its files again")
    assert _smoke_test(worse, decision).version == 2
    shutil.rmtree(model, ignore_errors=True)
    shutil.copytree(copy, model)
    assert not is_in_force(decision, TeamConfig(), digits.places)
    repaired = _decide(worse, registered)
    assert (repaired.state, repaired.comparable, repaired.reason) == (earlier.state, earlier.comparable, earlier.reason)


def test_the_minimum_applies_to_the_champion_as_well_and_demotes_it_never(digits: Made):
    registered = digits.register()
    _decide(digits, registered)
    decision = _decide(_demanding(digits, 0.999), registered)
    assert (decision.state, decision.champion, decision.version) == ("refused", 1, 1)
    assert decision.reason == (
        "digits version 1 is the champion already and stays it, since gates demote no champion, but would be refused: "
        f"minimum: accuracy {_accuracy(digits):.4f} "
        f"on {digits.evaluated.rows} test rows misses the minimum of 0.999"
    )
    assert is_in_force(decision, TeamConfig(), digits.places)
    assert champion_number("digits", digits.uri) == 1


def test_a_champion_that_another_ledger_names_is_not_replaced_in_silence(digits: Made):
    _decide(digits, digits.register())
    (digits.root / ".headframe" / "ledger.db").rename(digits.root / "elsewhere.db")
    better = fixtures.twin(digits)
    with pytest.raises(Refused, match=r"MLflow knows of 2 entries about digits from ledger .* has none; name that"):
        _decide(better, better.register())
    assert champion_number("digits", digits.uri) == 1


def test_a_champion_that_cannot_predict_these_rows_is_no_reason_to_replace_it(
    digits: Made, world: World, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("HEADFRAME_LEDGER", f"sqlite:///{digits.root / 'ours.db'}")
    sms = world.made["sms_spam"]
    plan = sms.plan.model_copy(update={"promotion": digits.plan.promotion})
    stranger = replace(sms, plan=plan, uri=digits.uri)
    _decide(stranger, stranger.register())
    decision = _decide(digits, digits.register())
    assert (decision.state == "champion", decision.champion, decision.version) == (False, 1, 2)
    assert "champion version 1 cannot predict these test rows (column 'text' is missing" in decision.reason
    assert _smoke_test(digits, decision).version == 2


def test_a_kill_before_the_alias_is_moved_is_made_good(digits: Made):
    registered = digits.register()

    def work() -> None:
        import os

        MlflowClient.set_registered_model_alias = lambda *_: os._exit(9)
        _decide(digits, registered)

    assert in_child(work) == 9
    assert champion_number("digits", digits.uri) is None
    assert _decide(digits, registered).champion == 1


def test_names_are_resolved_and_unknown_ones_named(digits: Made):
    registered = digits.register()
    with pytest.raises(
        ConfigurationError, match=r"model 'digits' has no 'champion'; .* name a version, as in digits/1"
    ):
        resolve("digits", digits.uri)
    _decide(digits, registered)
    for name in ("digits", "digits@champion", "digits/1", "models:/digits/1", "models:/digits@champion"):
        assert resolve(name, digits.uri).number == 1
    assert resolve("digits", digits.uri).run_id == registered.run_id
    for name, sentence in {
        "digts": r"no registered model 'digts' .*; did you mean 'digits'\?",
        "digits@champoin": r"has no 'champoin'; did you mean 'champion'\?",
        "digits/7": "has no version 7; it has 1",
        "digits@a@b": "expected NAME, NAME@ALIAS or NAME/VERSION",
        "": "expected NAME",
    }.items():
        with pytest.raises(ConfigurationError, match=sentence):
            resolve(name, digits.uri)


def test_quick_look_ups_agree_with_mlflow(digits: Made):
    registered = digits.register()
    assert champion_number("digits", digits.uri) is None
    _decide(digits, registered)
    client = MlflowClient(digits.uri, digits.uri)
    assert champion_number("digits", digits.uri) == int(client.get_model_version_by_alias("digits", "champion").version)
    assert has_version("digits", 1, registered.run_id, digits.uri)
    assert not has_version("digits", 1, "another", digits.uri)
    assert not has_version("digits", 2, registered.run_id, digits.uri)
    client.delete_registered_model_alias("digits", "champion")
    client.delete_model_version("digits", "1")
    assert champion_number("digits", digits.uri) is None
    assert not has_version("digits", 1, registered.run_id, digits.uri)


def test_quick_look_ups_make_no_database_and_name_one_that_is_none(tmp_path: Path):
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    assert champion_number("digits", uri) is None
    assert not (tmp_path / "mlflow.db").exists()
    (tmp_path / "mlflow.db").write_text("not a database at all, only a few words of text" * 30, encoding="utf-8")
    with pytest.raises(HeadframeError, match="is no database of MLflow's"):
        champion_number("digits", uri)


def test_an_opened_version_predicts_as_the_model_that_was_trained(world: World):
    for name, made in world.made.items():
        predictor = load_model(resolve(f"{name}/1", world.uri), world.uri, trust())
        np.testing.assert_array_equal(scores_of(predictor, made.probe), scores_of(made.predictor, made.probe))
