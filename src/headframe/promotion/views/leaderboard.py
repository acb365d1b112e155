"""Leaderboard of a model: versions that differ only by chance share a row, and rows are compared on the same data."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from headframe.digests import Record
from headframe.ledger.entries import Entry
from headframe.ledger.rules import entries_since_champion, last_gate_entry
from headframe.pages.blocks import Block, Dot, Dots, Grid, Heading, Page, Section, Text, as_html, as_markdown
from headframe.pages.numbers import number
from headframe.promotion.service import PromotionService
from headframe.promotion.views.overview import (
    ComparableVersions,
    VersionRecord,
    VersionSummary,
    comparison_lines,
    group_versions,
    plan_settings,
    read_versions,
)
from headframe.records import Interval

AGAINST = ("better", "not better", "worse", "not enough rows")
"""Verdicts of the gate that compares a version with the champion on the same rows."""

_MOST = 3  # settings that are named of a configuration


class ConfigurationRank(Record):
    """Versions whose plans differ in nothing but the seed.

    Attributes:
        configuration: sha256 of what they have in common.
        kind: of model.
        settings: the first few that differ from the other configurations, by key.
        versions: newest last; of several with one seed the newest counts.
        seeds: of those that count.
        values: their leading metric, in the order of `seeds`.
        mean: of these values.
        low: start of the error bar; None where it is not known.
        high: its end.
        bar: what the error bar is: one standard deviation over seeds, or the interval of the test rows.
        champion: whether the champion is among them.
        against: what the gates found that compared a version with the present champion, by version.
    """

    configuration: str
    kind: str
    settings: dict[str, str]
    versions: tuple[int, ...]
    seeds: tuple[int, ...]
    values: tuple[float, ...]
    mean: float
    low: float | None
    high: float | None
    bar: Literal["seeds", "test rows"]
    champion: bool
    against: dict[int, str]

    @property
    def name(self) -> str:
        """Short name."""
        return f"{self.kind} ({', '.join(f'v{version}' for version in self.versions)})"

    @property
    def summary(self) -> str:
        """One line for people."""
        bar = "no interval" if self.low is None or self.high is None else f"{number(self.low)} to {number(self.high)}"
        over = f"{len(self.seeds)} seeds" if self.bar == "seeds" else self.bar
        mark = " champion" if self.champion else ""
        settings = ", ".join(f"{key}={value}" for key, value in self.settings.items())
        return f"{number(self.mean):>10}  {f'{bar}, {over}':36}{self.name}{mark}  {settings}".rstrip()


class LeaderboardTable(Record):
    """Configurations that were measured on the same rows, best first.

    Attributes:
        group: what they have in common, and their versions.
        ranks: the configurations.
    """

    group: ComparableVersions
    ranks: tuple[ConfigurationRank, ...]


class Leaderboard(Record):
    """The leaderboard of a model.

    Attributes:
        model: name in the registry.
        champion: its champion by the ledger; None where there is none.
        tables: one for each set of rows, that of the champion first; never compared with each other.
        others: versions of which too little is known to compare them.
    """

    model: str
    champion: int | None
    tables: tuple[LeaderboardTable, ...]
    others: tuple[VersionSummary, ...]

    @property
    def lines(self) -> list[str]:
        """For people."""
        tables = [(table.group.description, [each.summary for each in table.ranks]) for table in self.tables]
        return comparison_lines(self.model, self.champion, tables, self.others)

    @property
    def page(self) -> Page:
        """The leaderboard as a page."""
        status = f"champion: version {self.champion}" if self.champion else "no champion"
        sections = [
            Section(
                "Measured on other rows, so not to be compared with those above" if place else "Configurations",
                _blocks(table, self.champion),
            )
            for place, table in enumerate(self.tables)
        ]
        left = [[str(each.version), each.registered[:10], each.problem] for each in self.others]
        return Page(
            kicker="Leaderboard",
            title=self.model,
            badge=(status, "good" if self.champion else "plain"),
            opening=[
                Text(
                    "Versions whose plans differ in nothing but the seed are one configuration. They stand in the "
                    "order of their mean, which is no proof: whether one is better than the champion is for its gates "
                    "to say, which compare row by row."
                )
            ],
            sections=[
                *sections,
                *(
                    [Section("Not to be compared with any", [Grid(["#version", "registered", "~why"], left)])]
                    if left
                    else []
                ),
            ],
        )

    @property
    def html(self) -> str:
        """The page as HTML."""
        return as_html(self.page)

    @property
    def markdown(self) -> str:
        """The page as Markdown, without its pictures."""
        return as_markdown(self.page)


def leaderboard(model: str, service: PromotionService) -> Leaderboard:
    """Compare the versions of a model that were measured on the same rows.

    Raises:
        ConfigurationError: there is no such model.
        Refused: the ledger is broken.
    """
    entries = service.ledger.entries(model, service.trust)
    found, others = read_versions(model, service)
    grouped = group_versions(model, found, others, entries)
    known = {each.version.number: each for each in found}
    return Leaderboard(
        model=model,
        champion=grouped.champion,
        tables=tuple(
            LeaderboardTable(group=group, ranks=_ranks(group, known, grouped.champion, entries))
            for group in grouped.groups
        ),
        others=grouped.others,
    )


def _ranks(
    group: ComparableVersions, known: Mapping[int, VersionRecord], champion: int | None, entries: Sequence[Entry]
) -> tuple[ConfigurationRank, ...]:
    alike: dict[str, list[VersionSummary]] = {}
    for each in sorted(group.versions, key=lambda listed: listed.version):
        alike.setdefault(each.configuration, []).append(each)
    flat = {name: _flat(plan_settings(known[each[0].version].plan)) for name, each in alike.items()}
    differing = _differing(list(flat.values()))
    ranks = []
    for name, members in alike.items():
        by_seed = {each.seed: each for each in members if each.value is not None}  # the newest stays
        counted = [each.value for each in by_seed.values() if each.value is not None]
        values = [each.value for each in counted]
        low, high = _bar(counted)
        chosen = [key for key in differing if key in flat[name] and key != "model._target_"]  # which its kind says
        ranks.append(
            ConfigurationRank(
                configuration=name,
                kind=members[-1].kind,
                settings={key: _short(flat[name][key]) for key in chosen[:_MOST]},
                versions=tuple(each.version for each in members),
                seeds=tuple(seed for seed in by_seed if seed is not None),
                values=tuple(values),
                mean=statistics.fmean(values),
                low=low,
                high=high,
                bar="seeds" if len(values) > 1 else "test rows",
                champion=champion in {each.version for each in members},
                against=_against(members, champion, entries),
            )
        )
    return tuple(sorted(ranks, key=lambda rank: (-rank.mean if group.higher_is_better else rank.mean, rank.versions)))


def _bar(values: Sequence[Interval]) -> tuple[float | None, float | None]:
    """Return the ends of the error bar: one standard deviation over seeds, else the interval of the test rows."""
    if len(values) == 1:
        return values[0].low, values[0].high
    plain = [each.value for each in values]
    mean, deviation = statistics.fmean(plain), statistics.stdev(plain)
    return mean - deviation, mean + deviation


def _against(members: Sequence[VersionSummary], champion: int | None, entries: Sequence[Entry]) -> dict[int, str]:
    found = {}
    for each in members:
        gated = last_gate_entry(entries_since_champion(entries), each.version)
        if champion is None or gated is None or gated.payload["champion"] != champion:
            continue
        results = [result for result in gated.payload["results"] if result["verdict"] in AGAINST]
        if results:
            found[each.version] = f"{results[0]['verdict']}: {results[0]['reason']}"
    return found


def _flat(value: Any, path: str = "") -> dict[str, Any]:
    if not isinstance(value, dict):
        return {path: value}
    found: dict[str, Any] = {}
    for key, inner in value.items():
        found |= _flat(inner, f"{path}.{key}" if path else str(key))
    return found


def _differing(flat: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the settings that all configurations have with different values, then those that only some have."""
    keys = list(dict.fromkeys(key for each in flat for key in each))
    shared = [key for key in keys if all(key in each for each in flat)]
    differ = [key for key in shared if any(each[key] != flat[0][key] for each in flat)]
    return [*differ, *(key for key in keys if key not in shared)]


def _short(value: Any) -> str:
    return str(value).rpartition(".")[2] if isinstance(value, str) else str(value)


def _blocks(table: LeaderboardTable, champion: int | None) -> list[Block]:
    group = table.group
    guide = next((rank.mean for rank in table.ranks if rank.champion), None)
    dots = [
        Dot(rank.name, rank.mean, rank.low, rank.high, rank.values if len(rank.values) > 1 else (), rank.champion)
        for rank in table.ranks
    ]
    better = "higher" if group.higher_is_better else "lower"
    line = "; dashed: the champion's configuration" if guide is not None else ""
    rows = []
    for place, rank in enumerate(table.ranks, start=1):
        bar = "no interval" if rank.low is None or rank.high is None else f"{number(rank.low)} to {number(rank.high)}"
        over = f"± one standard deviation over {len(rank.seeds)} seeds" if rank.bar == "seeds" else "of the test rows"
        rows.append(
            [
                str(place),
                rank.kind,
                ", ".join(f"{each}{' (champion)' if each == champion else ''}" for each in rank.versions),
                number(rank.mean),
                f"{bar}, {over}",
                ", ".join(f"{key} {value}" for key, value in rank.settings.items()),
            ]
        )
    marked = frozenset(place for place, rank in enumerate(table.ranks) if rank.champion)
    heads = ["#", "~configuration", "versions", f"#{group.lead}", "~error bar", "~differing parameters"]
    return [
        Text(f"{group.description[0].upper()}{group.description[1:]}; {better} is better."),
        Dots(dots, f"{group.lead}{line}", guide),
        Grid(heads, rows, marked),
        *_against_champion(table, champion),
    ]


def _against_champion(table: LeaderboardTable, champion: int | None) -> list[Block]:
    """Return what gates found that compared versions with the present champion, row by row."""
    if champion is None:
        return []
    compared = {number: verdict for rank in table.ranks for number, verdict in rank.against.items()}
    missing = [each.version for each in table.group.versions if each.version not in (*compared, champion)]
    found: list[Block] = [Heading(f"Against the champion, version {champion}")]
    if compared:
        rows = [[str(version), *verdict.split(": ", 1)] for version, verdict in sorted(compared.items())]
        found.append(Grid(["#version", "verdict", "~why"], rows))
    if missing:
        listed = ", ".join(map(str, sorted(missing)))
        found.append(Text(f"Not compared with it by any gate: {listed}.", soft=True))
    return found
