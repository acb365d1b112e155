"""Figures of rules against plain counting and SciPy, their intervals and their confirmation by simulation."""

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats

from headframe.errors import DataError
from headframe.evaluation.findings import compare_findings, confirm, confirmed_share
from headframe.findings.association_rules import AssociationRuleKind

KIND = AssociationRuleKind(("basket", "held_out"), 0.05, 0.0, 0.95)


def rules(*given: tuple[list[str], str]) -> pa.Array:
    return pa.array([{"antecedent": left, "consequent": right} for left, right in given], KIND.body)


def table(baskets: list[set[str]]) -> pa.Table:
    """Lay out baskets in two columns: one item, and all others."""
    rows = [sorted(basket) for basket in baskets]
    lists = pa.array([row[1:] for row in rows], pa.list_(pa.string()))
    return pa.table({"basket": lists, "held_out": pa.array([row[0] if row else None for row in rows], pa.string())})


@pytest.fixture(scope="module")
def baskets() -> list[set[str]]:
    draw = np.random.default_rng(5)
    shares = {"a": 0.5, "b": 0.3, "c": 0.2, "d": 0.6}
    found = [{item for item, share in shares.items() if draw.random() < share} for _ in range(400)]
    return [basket | {"e"} if "a" in basket and draw.random() < 0.5 else basket for basket in found]


def test_figures_are_those_of_plain_counting(baskets: list[set[str]]) -> None:
    given = [(["a"], "e"), (["a", "b"], "c"), (["d"], "a"), (["a", "c", "d"], "e"), (["e"], "a"), (["nothing"], "a")]
    measured = KIND.measure(rules(*given), table(baskets))
    assert measured.rows == 400
    for number, (left, right) in enumerate(given):
        antecedent = sum(set(left) <= basket for basket in baskets)
        consequent = sum(right in basket for basket in baskets)
        both = sum({*left, right} <= basket for basket in baskets)
        for name, hits, of in (("support", both, 400), ("confidence", both, antecedent)):
            if not of:
                continue
            exact = stats.binomtest(both, of).proportion_ci(0.95, "exact")
            expected = (hits / of, exact.low, exact.high)
            np.testing.assert_allclose(measured.figures[name][:, number], expected, rtol=1e-9)
        cells = [[both, antecedent - both], [consequent - both, 400 - antecedent - consequent + both]]
        assert measured.p_values[number] == pytest.approx(stats.fisher_exact(cells, "greater").pvalue)
        if antecedent:
            lift = both / antecedent / (consequent / 400)
            assert measured.figures["lift"][0, number] == pytest.approx(lift)
            if both < antecedent:
                conviction = (1 - consequent / 400) / (1 - both / antecedent)
                assert measured.figures["conviction"][0, number] == pytest.approx(conviction)
    cells = measured.columns().to_pylist()
    assert cells[4]["conviction"]["value"] is None  # all baskets with e hold a, so conviction is infinite
    assert cells[5]["confidence"]["value"] is None  # nobody has the left side
    assert cells[5]["p"] == 1.0


def test_a_bound_on_confidence_is_tested_too(baskets: list[set[str]]) -> None:
    both, antecedent = sum({"a", "e"} <= each for each in baskets), sum("a" in each for each in baskets)
    strict = AssociationRuleKind(KIND.columns, 0.05, 0.45, 0.95).measure(rules((["a"], "e")), table(baskets))
    exact = stats.binomtest(both, antecedent, 0.45, alternative="greater").pvalue
    assert strict.p_values[0] == pytest.approx(exact)
    assert exact > KIND.measure(rules((["a"], "e")), table(baskets)).p_values[0]


@pytest.mark.parametrize(
    ("left", "right", "both"), [(0.3, 0.2, 0.06), (0.3, 0.2, 0.12), (0.1, 0.05, 0.02), (0.5, 0.4, 0.3)]
)
def test_intervals_of_lift_and_conviction_hold_the_truth(left: float, right: float, both: float) -> None:
    draw, rows, tries = np.random.default_rng(2), 400, 4000
    cells = draw.multinomial(rows, [both, left - both, right - both, 1 - left - right + both], tries).T
    measured = KIND.evaluate(rows, cells[0] + cells[1], cells[0] + cells[2], cells[0])
    for name, truth in (("lift", both / left / right), ("conviction", left * (1 - right) / (left - both))):
        _, low, high = measured.figures[name]
        assert 0.93 <= ((low <= truth) & (truth <= high)).mean() <= 0.985, name


def independent(draw: np.random.Generator, rows: int) -> pa.Table:
    held = draw.random((rows, 12)) < 0.3
    return table([{f"i{item}" for item in np.flatnonzero(row)} for row in held])


def test_rules_between_independent_items_are_seldom_confirmed() -> None:
    draw, confirmed = np.random.default_rng(8), 0
    bodies = rules(*[([f"i{left}"], f"i{right}") for left in range(12) for right in range(12) if left != right])
    for _ in range(40):
        rows = {split: independent(draw, 150) for split in ("train", "validation", "test")}
        confirmed += confirmed_share(confirm(KIND, bodies, rows)) > 0
    assert confirmed <= 5  # 2 are expected at most; more than 5 have a chance of 1.4 %


def test_what_holds_is_confirmed_and_what_does_not_is_not(baskets: list[set[str]]) -> None:
    splits = {"train": table(baskets[:100]), "validation": table(baskets[100:250]), "test": table(baskets[250:])}
    findings = confirm(KIND, rules((["a"], "e"), (["b"], "c")), splits)
    assert findings["confirmed"].to_pylist() == [True, False]
    assert findings["p_test"].to_pylist()[1] is None  # validation rows did not select it, so test rows were not asked
    assert [each["rows"] for each in findings["test"].to_pylist()] == [150, 150]
    assert confirmed_share(findings) == 0.5


def test_no_finding_is_a_legal_table(baskets: list[set[str]]) -> None:
    rows = table(baskets)
    findings = confirm(KIND, rules(), {"train": rows, "validation": rows, "test": rows})
    assert findings.num_rows == 0
    assert confirmed_share(findings) == 0


def test_findings_are_compared_by_what_they_say(baskets: list[set[str]]) -> None:
    rows = dict.fromkeys(("train", "validation", "test"), table(baskets))
    own, other = (
        confirm(KIND, rules((["a"], "e"), (["b"], "c")), rows),
        confirm(KIND, rules((["d"], "a"), (["a"], "e")), rows),
    )
    changes = compare_findings(own, other)
    said = {change: [KIND.describe(each["body"]) for each in found] for change, found in changes.items()}
    assert said == {"added": ["b -> c"], "removed": ["d -> a"], "newly confirmed": [], "no longer confirmed": []}
    assert compare_findings(own, own) == {change: [] for change in changes}


def test_a_missing_column_is_named(baskets: list[set[str]]) -> None:
    with pytest.raises(DataError, match="column 'held_out', whose items belong to a basket, is missing"):
        KIND.measure(rules((["a"], "e")), table(baskets).drop_columns(["held_out"]))
