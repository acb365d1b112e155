"""Numbers of the evaluation against formulas written out by hand, at the edges as well."""

import numpy as np
import pytest
from scipy import stats

from headframe.evaluation.evaluation import learning_curves
from headframe.evaluation.metrics import EvaluationMetrics
from headframe.evaluation.proportions import independent_rows, limits_of_proportions, limits_within_bounds, wilson
from headframe.metrics.statistics import Bounds, MeanProportion, Proportion
from headframe.records import BaselineComparison, Interval

Z = float(stats.norm.ppf(0.975))


def test_nothing_is_known_of_a_share_of_no_rows() -> None:
    assert wilson(0.5, 0, 0.95) == wilson(0.0, 0.0, 0.9) == (0.0, 1.0)


@pytest.mark.parametrize(("share", "rows", "confidence"), [(0.0, 7.5, 0.9), (0.3, 12.0, 0.95), (1.0, 3.0, 0.5)])
def test_wilsons_limits_are_where_the_score_test_just_accepts(share: float, rows: float, confidence: float) -> None:
    z = stats.norm.ppf((1 + confidence) / 2)
    for limit in wilson(share, rows, confidence):
        if 1e-9 < limit < 1 - 1e-9:  # where the limit is the share itself, rounding would decide
            assert abs(share - limit) == pytest.approx(z * (limit * (1 - limit) / rows) ** 0.5)


def test_no_limit_of_a_share_is_beyond_nothing_or_all_by_rounding() -> None:
    for rows in (2, 3, 5, 7, 10, 13, 100):
        for confidence in (0.5, 0.8, 0.9, 0.99):
            assert wilson(0.0, rows, confidence)[0] >= 0
            assert wilson(1.0, rows, confidence)[1] <= 1


def plain_independent_rows(hits: list[bool], among: list[bool], contents: list[int]) -> float:
    """Rows over the larger design effect: Kish's with the likeness of repetitions, or of variances of contents."""
    groups: dict[int, list[bool]] = {}
    for hit, inside, content in zip(hits, among, contents, strict=True):
        if inside:
            groups.setdefault(content, []).append(hit)
    rows, many = sum(map(len, groups.values())), len(groups)
    share = sum(map(sum, groups.values())) / rows
    if many == rows:
        return rows
    alike, between = 1.0, 0.0
    if 0 < share < 1:
        within = repeated = 0.0
        for group in groups.values():
            if len(group) > 1:
                within += sum(group) * (len(group) - sum(group)) / (len(group) - 1)
                repeated += len(group)
        alike = min(1.0, max(0.0, 1 - within / repeated / (share * (1 - share))))
        if many > 1:
            squares = sum((sum(group) - share * len(group)) ** 2 for group in groups.values())
            between = squares * many / (many - 1) / (rows * share * (1 - share))
    mean_size = sum(len(group) ** 2 for group in groups.values()) / rows
    return rows / max(1 + (mean_size - 1) * alike, between)


@pytest.mark.parametrize("seed", range(12))
def test_the_design_effect_is_that_of_a_plain_loop(seed: int) -> None:
    draw = np.random.default_rng(seed)
    contents = np.sort(draw.integers(0, 30, 60))
    _, contents = np.unique(contents, return_inverse=True)
    own = draw.random(60) < 0.7
    alike = (draw.random(60) < (0.6 if seed % 3 else 0.97))[contents]
    hits = np.where(draw.random(60) < 0.5 * (seed % 2), own, alike)
    among = draw.random(60) < 0.8
    proportion = Proportion(hits & among, among)
    expected = plain_independent_rows(list(hits), list(among), list(contents))
    assert independent_rows(proportion, contents) == pytest.approx(expected)


def test_one_content_repeated_by_lot_is_a_single_row_or_all_of_them() -> None:
    among = np.ones(4, dtype=bool)
    lot = np.array([True, False, True, False])
    assert independent_rows(Proportion(lot, among), np.zeros(4, dtype=int)) == 4, "repetitions disagree as by chance"
    assert independent_rows(Proportion(among, among), np.zeros(4, dtype=int)) == 1


@pytest.mark.parametrize("together", [1, 2])
def test_an_average_of_shares_has_the_interval_of_price_and_bonett(together: int) -> None:
    hits, rows = [8, 3, 5], [10, 4, 5]
    parts, contents, place = [], np.arange(19), 0
    for hit, many in zip(hits, rows, strict=True):
        mask = np.zeros((2, 19), dtype=bool)
        mask[0, place : place + hit] = mask[1, place : place + many] = True
        parts.append(Proportion(*mask))
        place += many
    added = Z**2 / 2 / 3
    moved = [(hit + added) / (many + 2 * added) for hit, many in zip(hits, rows, strict=True)]
    variance = sum(p * (1 - p) / (many + 2 * added) for p, many in zip(moved, rows, strict=True)) / 9
    reach = Z * (together * variance) ** 0.5
    low, high = limits_of_proportions(MeanProportion(tuple(parts), together=together), contents, 0.95)
    assert (low, high) == pytest.approx((sum(moved) / 3 - reach, min(1.0, sum(moved) / 3 + reach)))


def test_a_share_of_no_rows_is_between_nothing_and_all() -> None:
    none, some = np.zeros(5, dtype=bool), np.ones(5, dtype=bool)
    assert limits_of_proportions(MeanProportion((Proportion(none, none),)), np.arange(5), 0.95) == (0.0, 1.0)
    low, high = limits_of_proportions(
        MeanProportion((Proportion(none, none), Proportion(some, some))), np.arange(5), 0.95
    )
    assert 0 <= low < 0.5 < high <= 1


def test_limits_within_bounds_are_those_of_a_share_of_the_fewest_rows() -> None:
    few, all_ = np.arange(30) < 10, np.ones(30, dtype=bool)
    found = limits_within_bounds(-1.0, Bounds(-1.0, 3.0, (all_, few)), np.arange(30), 0.95)
    low, high = stats.binomtest(0, 10).proportion_ci(0.95, method="wilson")
    assert found == pytest.approx((-1 + 4 * low, -1 + 4 * high))
    rounded = limits_within_bounds(3.0 + 1e-12, Bounds(-1.0, 3.0, (all_, few)), np.arange(30), 0.95)
    assert rounded == limits_within_bounds(3.0, Bounds(-1.0, 3.0, (all_, few)), np.arange(30), 0.95)
    under = limits_within_bounds(-1.0 - 1e-12, Bounds(-1.0, 3.0, (all_, few)), np.arange(30), 0.95)
    assert under == found
    repeated = limits_within_bounds(-1.0, Bounds(-1.0, 3.0, (all_,)), np.arange(30) // 3, 0.95)
    assert repeated == pytest.approx(found), "ten contents"


def measured(values: dict[str, float], *, higher_is_better: bool = True) -> EvaluationMetrics:
    """Metrics of a model, beside baselines whose primary metric has these values."""
    one = Interval(value=0.5, low=0.4, high=0.6)

    def baseline(value: float) -> BaselineComparison:
        metrics = {"b": Interval(value=value, low=None, high=None)}
        return BaselineComparison(
            title=f"baseline {value}", metrics=metrics, difference=metrics, verdict="better", p_better=0.0, p_worse=1.0
        )

    return EvaluationMetrics(
        rows=12, different_rows=12, primary_metric="b", higher_is_better=higher_is_better, confidence=0.95,
        resamples={}, block=1, metrics={"a": one, "b": one, "c": one},
        baselines={name: baseline(value) for name, value in values.items()},
    )  # fmt: skip


def test_the_primary_metric_comes_first_and_once() -> None:
    assert measured({}).names == ["b", "a", "c"]
    assert measured({}).primary == Interval(value=0.5, low=0.4, high=0.6)


def test_the_hardest_baseline_is_the_best_one() -> None:
    values = {"prior": 0.2, "majority": 0.7, "mean": 0.4}
    for higher, name in ((True, "majority"), (False, "prior")):
        found = measured(values, higher_is_better=higher)
        assert found.hardest == found.baselines[name]
    assert measured({}).hardest is None


def test_learning_curves_draw_every_epoch_and_leave_out_what_was_not_measured() -> None:
    epochs = [
        {"epoch": number, "train_loss": 3.0 - number, "val_loss": 4.0 - number, "primary_metric": metric}
        for number, metric in enumerate([0.1, None, 0.3])
    ]
    upper, lower = learning_curves({"cnn": epochs}, "accuracy").axes
    assert [list(line.get_ydata()) for line in upper.lines] == [[3.0, 2.0, 1.0], [4.0, 3.0, 2.0]]
    [line] = lower.lines
    assert (list(line.get_xdata()), list(line.get_ydata())) == ([0, 2], [0.1, 0.3])
    assert upper.get_title(loc="left") + upper.get_title() == "Loss cnn"
    assert lower.get_title(loc="left") + lower.get_title() == "accuracy on validation rows"


def test_the_pages_show_the_size_of_the_model_and_the_digests_of_both(evaluated) -> None:
    record, _, root = evaluated
    for name in ("report.html", "card.md"):
        page = (root / record.folder / name).read_text(encoding="utf-8")
        assert "baseline model" in page
        assert "baseline predictions" in page
    assert "trainable parameters, 3 epochs" in (root / record.folder / "report.html").read_text(encoding="utf-8")
