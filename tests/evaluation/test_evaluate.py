"""The evaluation as a whole: files, bytes, refusals."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from handmade import change_rows
from scipy.stats import binomtest
from sklearn.metrics import accuracy_score, log_loss

from headframe.config.plan.data import ROW_ID, GapsConfig
from headframe.datasets.table import Table
from headframe.digests import file_digest, folder_digest
from headframe.errors import DataError, HeadframeError
from headframe.evaluation.evaluation import _history, learning_curves
from headframe.evaluation.metrics import EvaluationMetrics
from headframe.evaluation.report import EvaluationResults, card, report
from headframe.evaluation.step import evaluate
from headframe.pages.numbers import number
from headframe.places import Places
from headframe.records import Interval

PLOTS = {"learning_curves", "confusion", "calibration", "curves"}


def test_metrics_are_those_of_the_test_rows(evaluated):
    record, model, root = evaluated
    rows = pq.read_table(root / model.folder / "predictions.parquet").to_pandas().query("split == 'test'")
    assert record.rows == len(rows) == 160
    assert record.metrics["accuracy"].value == pytest.approx(accuracy_score(rows["target"], rows["prediction"]))
    scores = rows[["score_amber", "score_blau", "score_红色"]]
    assert record.metrics["log_loss"].value == pytest.approx(log_loss(rows["target"], scores))
    assert record.baselines["baseline"].metrics["accuracy"].value < record.metrics["accuracy"].value
    assert (record.primary_metric, record.higher_is_better) == ("accuracy", True)


def test_the_plans_baseline_is_compared_on_validation_rows_too(evaluated):
    """By McNemar's test, here from the counts of the two files; gates let validation rows decide first."""
    record, model, root = evaluated
    mine, other = (
        pq.read_table(root / folder / "predictions.parquet")
        .to_pandas()
        .query("split == 'validation'")
        .set_index("row_id")
        for folder in (model.folder, model.folder.replace("model", "other"))
    )
    right = [rows["target"] == rows["prediction"] for rows in (mine, other.loc[mine.index])]
    wins, losses = int((right[0] & ~right[1]).sum()), int((right[1] & ~right[0]).sum())
    found = record.baselines["baseline"].validation
    assert found.value == pytest.approx(right[1].mean())
    assert found.p_better == pytest.approx(binomtest(wins, wins + losses, 0.5, "greater").pvalue)
    assert found.p_worse == pytest.approx(binomtest(wins, wins + losses, 0.5, "less").pvalue)
    assert record.baselines["prior"].validation is None, "a gate fits a natural baseline again"


def test_files_agree_with_the_record(evaluated):
    record, _, root = evaluated
    folder = root / record.folder
    written = json.loads((folder / "metrics.json").read_text())
    assert record.digest == file_digest(folder / "metrics.json")
    assert written["metrics"]["accuracy"] == record.metrics["accuracy"].model_dump()
    assert written["baselines"]["baseline"]["difference"]["accuracy"]["low"] > 0
    assert {path.stem for path in (folder / "plots").iterdir()} == PLOTS
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in (folder / "plots").iterdir())
    shops = {part["value"]: part["rows"] for part in json.loads((folder / "slices.json").read_text())["shop"]}
    assert sum(shops.values()) == record.rows
    assert set(shops) == {"north", "south", "东边", "missing"}
    assert (folder / "plan.json").is_file()


def test_the_same_evaluation_gives_the_same_bytes_in_any_folder(plan, train, table, tmp_path: Path):
    model, other = train("model", skill=3.0), train("other", skill=1.0)
    first = evaluate(plan(), table, model, other, (), Places(tmp_path).of_step(tmp_path / "first"))
    again = evaluate(plan(), table, model, other, (), Places(tmp_path).of_step(tmp_path / "again"))
    assert folder_digest(tmp_path / "first") == folder_digest(tmp_path / "again")
    assert first.model_copy(update={"folder": ""}) == again.model_copy(update={"folder": ""})
    for path in (tmp_path / "first").rglob("*.*"):
        assert str(tmp_path).encode() not in path.read_bytes(), path
        assert b"Matplotlib" not in path.read_bytes(), path


class Page(HTMLParser):
    """Collects what a page refers to, and checks that every tag is closed."""

    void = frozenset({"meta", "img", "br", "hr", "link", "input"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.references: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag, attrs) -> None:
        self.tags.append(tag)
        self.references += [value for name, value in attrs if name in {"src", "href", "srcset", "action", "data"}]
        if tag not in self.void:
            self.open.append(tag)

    def handle_endtag(self, tag) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data) -> None:
        self.text.append(data)


def test_the_report_is_one_page_that_refers_to_nothing_outside_itself(evaluated):
    html = (evaluated[2] / evaluated[0].folder / "report.html").read_text(encoding="utf-8")
    page = Page()
    page.feed(html)
    page.close()
    assert page.open == []
    assert page.tags.count("img") == len(PLOTS)
    assert all(reference.startswith("data:image/png;base64,") for reference in page.references)
    assert not {"script", "link", "iframe", "object"} & set(page.tags)
    style = re.search(r"<style>(.*?)</style>", html, re.DOTALL)
    assert style is not None
    assert "url(" not in style[1]
    assert "@import" not in style[1]
    assert "prefers-color-scheme:dark" in style[1]
    text = " ".join(page.text)
    for part in (
        "Colours <of 1994>",
        "CC0",
        "红色, 1994",
        "东边",
        "model minus baseline",
        "b" * 64,
        version(evaluated[2]),
    ):
        assert part in text
    assert number(evaluated[0].metrics["accuracy"].value) in text


def version(root: Path) -> str:
    """The digest of the table in a project."""
    return Table.open(root / "data" / "colours").digest


def test_the_card_names_everything_that_went_in(evaluated):
    card = (evaluated[2] / evaluated[0].folder / "card.md").read_text(encoding="utf-8")
    for heading in ("Intended use", "Data", "Metrics", "Plots", "Slices", "Limitations", "Digests", "Reproduce"):
        assert f"\n## {heading}" in card
    assert "CC0" in card
    assert "A. Nobody & B. Nobody, 红色, 1994" in card
    assert (
        "On the same 160 rows, by a paired test of accuracy: the model is better than LogisticRegression and prior."
        in card
    )
    assert "- c2: 红色" in card
    assert f"`{version(evaluated[2])}`" in card
    for reference in re.findall(r"\]\((plots/[^)]+)\)", card):
        assert (evaluated[2] / evaluated[0].folder / reference).is_file()


def test_each_network_of_an_ensemble_has_its_learning_curve(train, tmp_path: Path):
    folder = tmp_path / train("model", skill=3.0).folder
    epochs = json.loads((folder / "history.json").read_bytes())
    (folder / "history.json").write_text("[]")
    for name in ("cnn", "forest", "both/members/a"):
        (folder / "members" / name).mkdir(parents=True)
        (folder / "members" / name / "history.json").write_text(json.dumps([] if name == "forest" else epochs))
    history = _history(folder)
    assert history == {"cnn": epochs, "both/a": epochs}
    axes = learning_curves({**history, "none": [{**epochs[0], "primary_metric": None}]}, "accuracy").axes
    assert len(axes) == 6
    assert [[text.get_text() for text in each.texts] for each in axes] == [[]] * 5 + [["not measured in training"]]


def test_the_card_says_what_the_figures_are_worth_and_how_to_make_the_model_again(evaluated):
    folder = evaluated[2] / evaluated[0].folder
    card = (folder / "card.md").read_text(encoding="utf-8")
    assert "Champions are chosen on these same rows" in card
    assert "python -m headframe.training HERE/job.json OUT_DIR --root ." in card
    assert (folder / "job.json").is_file()
    assert "HERE is the folder of this file, which holds <code>job.json</code>" in (folder / "report.html").read_text(
        encoding="utf-8"
    )


def test_repeated_rows_widen_intervals_and_the_card_says_so(plan, train, table, tmp_path: Path):
    model = train("model", skill=3.0)
    single = evaluate(plan(), table, model, None, (), Places(tmp_path).of_step(tmp_path / "single"))
    # Rows of one content are predicted alike: by fours, those with the least loss first.
    predictions = pq.read_table(tmp_path / model.folder / "predictions.parquet").to_pandas().query("split == 'test'")
    loss = [-row[f"score_{row['target']}"] for _, row in predictions.iterrows()]
    content = dict(zip(predictions["row_id"].to_numpy()[np.argsort(loss)], np.arange(160) // 4, strict=True))
    rows = pq.read_table(tmp_path / table.folder / "table.parquet")
    four = [float(content.get(name, 1000)) for name in rows[ROW_ID].to_pylist()]
    rows = rows.set_column(rows.column_names.index("width"), "width", pa.array(four))
    rows = rows.set_column(rows.column_names.index("shop"), "shop", pa.array(["north"] * len(four)))
    table = change_rows(tmp_path / table.folder, rows)
    repeated = evaluate(plan(), table, model, None, (), Places(tmp_path).of_step(tmp_path / "repeated"))
    for name in ("accuracy", "log_loss"):
        one, other = single.metrics[name], repeated.metrics[name]
        assert one.value == other.value
        assert other.high - other.low > 1.3 * (one.high - one.low), name
    assert "Only 40 rows are distinct; duplicates add no evidence" in (tmp_path / "repeated" / "card.md").read_text()
    assert "are distinct" not in (tmp_path / "single" / "card.md").read_text()
    assert json.loads((tmp_path / "repeated" / "metrics.json").read_text())["different_rows"] == 40


def test_what_cannot_have_an_interval_is_shown_without_one(plan, train, table, tmp_path: Path):
    measured = EvaluationMetrics(
        rows=160, different_rows=160, primary_metric="worst", higher_is_better=True, confidence=0.95, block=1,
        metrics={"worst": Interval(value=1.0, low=None, high=None)}, resamples={"worst": 120},
    )  # fmt: skip
    results = EvaluationResults(plan(), table, train("model", skill=3.0), None, measured, slices={})
    for page in (card(results, []), report(results, {})):
        assert "no interval" in page
        assert "No interval for worst: all resamples of the test rows give the same value" in page
        assert "Metrics with fewer valid resamples: worst (120)." in page
    assert measured.model_dump(mode="json")["metrics"] == {"worst": {"value": 1.0, "low": None, "high": None}}


def test_pages_show_the_frequency_of_a_series_and_how_its_gaps_are_filled(plan, train, table):
    measured = EvaluationMetrics(
        rows=160, different_rows=160, primary_metric="mse", higher_is_better=False, confidence=0.95, block=1,
        metrics={"mse": Interval(value=1.0, low=0.9, high=1.1)}, resamples={"mse": 120},
    )  # fmt: skip
    chosen, said = plan(), "t: a row every hour (found), 2 missing: 2 rows between noon and 3"
    filled = GapsConfig(target="headframe.series.gaps.Interpolate", limit=3)
    filling = chosen.model_copy(update={"dataset": chosen.dataset.model_copy(update={"gaps": filled})})
    for each, gaps in ((chosen, False), (filling, True)):
        results = EvaluationResults(each, table, train(f"model-{gaps}", skill=3.0), None, measured, {}, series=said)
        for page in (card(results, []), report(results, {})):
            assert said in page
            assert ("Interpolate(limit=3)" in page) == gaps


def test_without_a_baseline_none_is_compared(plan, train, table, tmp_path: Path):
    record = evaluate(plan(), table, train("model", skill=3.0), None, (), Places(tmp_path).of_step(tmp_path / "out"))
    assert record.baselines == {}
    assert "Not compared with a baseline." in (tmp_path / "out" / "card.md").read_text()
    assert json.loads((tmp_path / "out" / "metrics.json").read_text())["baselines"] == {}


def test_a_baseline_on_other_rows_is_refused(plan, train, table, tmp_path: Path):
    model, other = train("model", skill=3.0), train("other", skill=1.0, first=3)
    with pytest.raises(DataError, match="the baseline was measured on other rows"):
        evaluate(plan(), table, model, other, (), Places(tmp_path).of_step(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_predictions_that_were_changed_or_lost_are_refused(plan, train, table, tmp_path: Path):
    model = train("model", skill=3.0)
    path = tmp_path / model.folder / "predictions.parquet"
    pq.write_table(pq.read_table(path).slice(1), path)
    with pytest.raises(DataError, match="was changed since training wrote it; train again"):
        evaluate(plan(), table, model, None, (), Places(tmp_path).of_step(tmp_path / "out"))
    path.unlink()
    with pytest.raises(HeadframeError, match="is missing; train again"):
        evaluate(plan(), table, model, None, (), Places(tmp_path).of_step(tmp_path / "out"))


@pytest.mark.parametrize("slices", [[], ["shop"]])
def test_rows_of_another_version_of_the_data_are_not_measured_with(plan, train, table, tmp_path: Path, slices):
    model = train("model", skill=3.0)
    replaced = table.model_copy(update={"digest": "e" * 64})
    message = rf"data/colours holds version {table.digest[:12]} of the data, but e{{12}} is expected"
    with pytest.raises(DataError, match=message):
        evaluate(plan(slices=slices), replaced, model, None, (), Places(tmp_path).of_step(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_written_is_named(plan, train, table, tmp_path: Path):
    (tmp_path / "out").write_text("a file where the folder should be")
    with pytest.raises(HeadframeError, match=r"cannot be written to .*out"):
        evaluate(plan(), table, train("model", skill=3.0), None, (), Places(tmp_path).of_step(tmp_path / "out"))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.99612, "0.9961"),
        (0.39, "0.3900"),
        (12.3456, "12.35"),
        (123456.7, "123,457"),
        (2e-5, "2e-05"),
        (0.0, "0.0000"),
    ],
)
def test_numbers_are_short(value: float, text: str):
    assert number(value) == text
