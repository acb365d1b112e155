"""Every template with extreme data: escaped, well-formed, self-contained, deterministic, in both formats."""

import re
from html.parser import HTMLParser
from importlib import resources
from typing import Any

import pytest

from headframe.pages import render
from headframe.pages.parts import Estimate, IntervalPlot, PageTable, Picture
from headframe.records import Interval

EVIL = "<script>alert('x')</script> & \"more\" | `tick <b>` {{ 7 * 7 }} ]]> --> https://evil.example/x"
LONG = "a_very_long_name_without_any_space_" * 12
UNICODE = "常用汉字 🎓 \u202eright-to-left\u202c é ﷽"
SHA = "0123456789abcdef" * 4
NAMES = (EVIL, LONG, UNICODE, "", "\n\nline\nbreak\t")
PNG = "data:image/png;base64,iVBORw0KGgo="

NONE = Interval(value=0.5, low=None, high=None)
PLOT = IntervalPlot(
    [
        *(Estimate(name, NONE) for name in NAMES),
        Estimate(LONG, Interval(value=-1e-9, low=-1e12, high=1e12), (0.1, 0.2), marked=True),
    ],
    EVIL,
    guide=0.5,
)
TABLE = PageTable([EVIL, f"#{UNICODE}", "", f"#{LONG}"], [[name, SHA, "", EVIL] for name in NAMES], frozenset({1}))
EMPTY = PageTable(["a"], [])
WIDE = PageTable([f"#{place}" for place in range(30)], [[str(place) for place in range(30)]])
PAIRS = dict(zip(NAMES, reversed(NAMES), strict=True)) | {"digest": SHA}


def _evaluation(full: bool) -> dict[str, Any]:
    return {
        "summary": EVIL if full else "",
        "tiles": [(EVIL, LONG), ("0.5", UNICODE)] if full else [],
        "use": list(NAMES) if full else [],
        "baseline": EVIL if full else "",
        "metrics_table": TABLE if full else EMPTY,
        "metrics_note": EVIL if full else "",
        "baselines_table": TABLE if full else EMPTY,
        "slices_measured": [{"column": name, "plot": PLOT, "table": TABLE} for name in NAMES]
        if full
        else [{"column": "a", "plot": None, "table": EMPTY}],
        "findings_summary": EVIL if full else "",
        "findings_table": TABLE if full else None,
        "errors_table": TABLE if full else None,
        "data": PAIRS if full else {},
        "limits": list(NAMES) if full else [],
        "digests": PAIRS if full else {},
        "commands": list(NAMES) if full else [],
    }


def _data(template: str, full: bool) -> dict[str, Any]:
    table = TABLE if full else EMPTY
    gate = {
        "name": EVIL, "passed": full, "verdict": LONG, "reason": EVIL, "plot": PLOT if full else None,
        "slices": WIDE if full else EMPTY, "numbers": PAIRS if full else {}, "settings": PAIRS if full else {},
    }  # fmt: skip
    group = {"description": EVIL, "plot": PLOT, "table": table, "comparisons": table, "not_compared": EVIL * full}
    own: dict[str, dict[str, Any]] = {
        "report": {
            **_evaluation(full),
            "pictures": [Picture(EVIL, PNG)] if full else [],
            "legend": PAIRS if full else {},
        },
        "model_card": {
            **_evaluation(full),
            "registration": EVIL,
            "gates_summary": EVIL,
            "gates_table": TABLE if full else None,
            "gates_note": EVIL,
            "approvals": table,
            "ledger": table,
            "lineage": PAIRS if full else {},
            "reproduced": EVIL,
        },
        "leaderboard": {"champion": 7 if full else None, "groups": [group] * full, "others": table},
        "gate_report": {"summary": EVIL, "gates": [gate, gate] if full else [], "digests": PAIRS if full else {}},
        "reproduction": {
            "summary": EVIL, "stages": table, "metrics": table, "changes": table, "run": PAIRS if full else {},
        },
    }  # fmt: skip
    badge = {"badge": (EVIL, "bad")} if full else {}
    return {"kind": "Kind", "title": EVIL if full else "", **badge, **own[template]}


PAGES = sorted(
    each.name.removesuffix(".jinja")
    for each in resources.files("headframe.pages.templates").iterdir()
    if each.name.endswith(".jinja") and "extends" in each.read_text(encoding="utf-8")
)


class _Reader(HTMLParser):
    """Collects tags, addresses and text; fails on a tag that is not closed."""

    void = frozenset({"meta", "img", "line", "circle", "rect"})

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.addresses: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in {"src", "href", "srcset", "action", "data"}]
        assert not [name for name, _ in attrs if name.startswith("on")]
        if tag not in self.void:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def test_every_page_is_tested():
    assert PAGES == ["gate_report", "leaderboard", "model_card", "report", "reproduction"]


@pytest.mark.parametrize("full", [True, False], ids=["extreme", "empty"])
@pytest.mark.parametrize("template", PAGES)
def test_html_is_escaped_well_formed_and_self_contained(template: str, full: bool):
    html = render.html(template, **_data(template, full))
    reader = _Reader()
    reader.feed(html)
    reader.close()
    assert reader.open == []
    assert not {"script", "link", "iframe", "object", "b2"} & set(reader.tags)
    assert all(address.startswith("data:image/png;base64,") for address in reader.addresses)
    style = re.search(r"<style>(.*?)</style>", html, re.DOTALL)
    assert style is not None
    assert not re.search(r"url\(|@import|&", style[1])
    assert "prefers-color-scheme:dark" in style[1]
    assert "@media print" in style[1]
    assert not re.search(r"\bnan\b|\bNone\b|Undefined", "".join(reader.text))
    if full:
        text = " ".join(reader.text)
        for part in (LONG, UNICODE, "<script>alert('x')</script>", "{{ 7 * 7 }}"):
            assert part in text
        assert "&lt;script&gt;" in html
    else:
        assert "<h2></h2>" not in html
        assert html == render.html(template, **_data(template, full))


@pytest.mark.parametrize("full", [True, False], ids=["extreme", "empty"])
@pytest.mark.parametrize("template", PAGES)
def test_markdown_holds_the_same_and_no_html(template: str, full: bool):
    text = render.markdown(template, **_data(template, full))
    assert text.startswith("# Kind: ")
    assert text == render.markdown(template, **_data(template, full))
    assert "\n\n\n" not in text
    assert "None" not in text.replace("Nonempty", "")
    fenced = re.sub(r"```\n.*?```", "", text, flags=re.DOTALL)
    outside = re.sub(r"`[^`]*`", "", fenced)
    assert "<" not in outside
    for row in (line for line in text.splitlines() if line.startswith("|")):
        assert row.endswith("|")
    if full:
        assert LONG in text


def test_equal_data_gives_equal_bytes():
    for template in PAGES:
        first, second = (render.html(template, **_data(template, full=True)) for _ in range(2))
        assert first == second


def test_a_missing_value_is_an_error_and_not_an_empty_page():
    from jinja2 import UndefinedError

    with pytest.raises(UndefinedError, match="summary"):
        render.html("gate_report", kind="Gate report", title="x")


def test_positions_of_an_interval_plot_stay_inside_and_in_order():
    plot = IntervalPlot([Estimate("a", Interval(value=0.2, low=0.1, high=0.4), (0.05,))], "x", guide=0.9)
    places = [float(plot.at(value).rstrip("%")) for value in (0.05, 0.1, 0.2, 0.4, 0.9)]
    assert places == sorted(places)
    assert (places[0], places[-1]) == (8.0, 92.0)
    assert 2 <= len(plot.ticks) <= 6
    assert plot.shaded is None
    band = IntervalPlot([Estimate("a", Interval(value=0.0, low=0.0, high=0.0))], "x", guide=0.0, band=0.01)
    assert band.shaded == ("15.00%", "70.00%")
    single = IntervalPlot([Estimate("a", Interval(value=0.0, low=0.0, high=0.0))], "x")
    assert single.at(0.0) == "50.00%"


def test_only_cells_with_long_words_break_within_words():
    table = PageTable(["metric", "#value"], [["accuracy", SHA]])
    html = render.html("leaderboard", **_data("leaderboard", full=False) | {"others": table})
    assert '<td class="" data-label="metric"><span>accuracy</span></td>' in html
    assert f'<td class="number long" data-label="value"><span>{SHA}</span></td>' in html


def test_a_wide_table_is_shown_as_stacked_rows():
    data = _data("leaderboard", full=False) | {"others": WIDE}
    assert '<table class="stacked">' in render.html("leaderboard", **data)
    assert '<td class="number" data-label="29"><span>29</span></td>' in render.html("leaderboard", **data)
