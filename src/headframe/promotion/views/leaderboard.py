"""Leaderboard of a model: versions that differ only by chance share a row, and rows are compared on the same data."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from headframe.digests import Record
from headframe.gates.report import CHAMPION
from headframe.ledger.entries import Entry
from headframe.ledger.rules import entries_since_champion, last_gate_entry
from headframe.pages import render
from headframe.pages.numbers import limits, number
from headframe.pages.parts import Estimate, IntervalPlot, PageTable
from headframe.promotion.service import PromotionService
from headframe.promotion.views.overview import (
    ComparableVersions,
    VersionRecord,
    VersionSummary,
    compare_versions,
    comparison_lines,
)
from headframe.records import Interval

AGAINST = ("better", "not better", "worse", "not enough rows")
"""Verdicts of the gate that compares a version with the champion on the same rows."""

_MOST = 3  # settings that are named of a configuration


class ConfigurationRank(Record):
    """Versions whose plans differ in nothing but the seed."""

    configuration: str  # sha256 of what they have in common
    kind: str  # of model
    settings: dict[str, str]  # the first few that differ from the other configurations, by key
    versions: tuple[int, ...]  # newest last; of several with one seed the newest counts
    seeds: tuple[int, ...]  # of those that count
    values: tuple[float, ...]  # their primary metric, in the order of `seeds`
    mean: Interval  # of these values, with an error bar where it is known
    bar: Literal["seeds", "test rows"]  # one standard deviation over seeds, or the interval of the test rows
    champion: bool  # whether the champion is among them
    against: dict[int, str]  # what gates found that compared a version with the present champion, by version

    @property
    def name(self) -> str:
        """Short name."""
        return f"{self.kind} ({', '.join(f'v{version}' for version in self.versions)})"

    @property
    def error_bar(self) -> str:
        """The ends of the error bar, and what it is."""
        bar = f"±1 standard deviation over {len(self.seeds)} seeds" if self.bar == "seeds" else self.bar
        return f"{limits(self.mean)}, {bar}"

    def __str__(self) -> str:
        champion = " champion" if self.champion else ""
        settings = ", ".join(f"{key}={value}" for key, value in self.settings.items())
        return f"{number(self.mean.value):>10}  {self.error_bar:58}{self.name}{champion}  {settings}".rstrip()


class LeaderboardTable(Record):
    """Configurations that were measured on the same rows, best first."""

    group: ComparableVersions
    ranks: tuple[ConfigurationRank, ...]


class Leaderboard(Record):
    """The leaderboard of a model."""

    model: str
    champion: int | None  # by the ledger; None where there is none
    tables: tuple[LeaderboardTable, ...]  # one for each set of rows, that of the champion first
    others: tuple[VersionSummary, ...]  # of which too little is known to compare them

    @property
    def lines(self) -> list[str]:
        """For people."""
        tables = [(table.group.description, [str(each) for each in table.ranks]) for table in self.tables]
        return comparison_lines(self.model, self.champion, tables, self.others)

    def page(self, suffix: str) -> str:
        """Return the page: HTML where `suffix` is `.html`, else Markdown without its plots."""
        others = [[str(each.version), each.registered[:10], each.problem] for each in self.others]
        return render.render_page(
            "leaderboard",
            suffix,
            kind="Leaderboard",
            title=self.model,
            badge=(f"champion: version {self.champion}", "good") if self.champion else ("no champion", "plain"),
            champion=self.champion,
            groups=[_group(table, self.champion) for table in self.tables],
            others=PageTable(["#version", "registered", "reason"], others),
        )


def leaderboard(model: str, service: PromotionService) -> Leaderboard:
    """Compare the versions of a model that were measured on the same rows.

    Raises:
        ConfigurationError: there is no such model.
        Refused: the ledger is broken.
    """
    entries = service.ledger.entries(model, service.trust)
    found, known = compare_versions(model, entries, service)
    tables = [LeaderboardTable(group=each, ranks=_ranks(each, known, found.champion, entries)) for each in found.groups]
    return Leaderboard(model=model, champion=found.champion, tables=tuple(tables), others=found.others)


def _ranks(
    group: ComparableVersions, known: Mapping[int, VersionRecord], champion: int | None, entries: Sequence[Entry]
) -> tuple[ConfigurationRank, ...]:
    alike: dict[str, list[VersionSummary]] = {}
    for each in sorted(group.versions, key=lambda listed: listed.version):
        alike.setdefault(each.configuration, []).append(each)
    plans = {name: known[each[0].version].plan for name, each in alike.items()}
    flat = {name: _flat(plan.model_dump(mode="json", exclude={"seed"})) for name, plan in plans.items()}
    differing = _differing(list(flat.values()))
    ranks = []
    for name, members in alike.items():
        by_seed = {each.seed: each for each in members if each.value is not None}  # the newest stays
        counted = [each.value for each in by_seed.values() if each.value is not None]
        chosen = [key for key in differing if key in flat[name] and key != "model._target_"]  # which its kind says
        ranks.append(
            ConfigurationRank(
                configuration=name,
                kind=members[-1].kind,
                settings={key: _short(key, flat[name][key]) for key in chosen[:_MOST]},
                versions=tuple(each.version for each in members),
                seeds=tuple(seed for seed in by_seed if seed is not None),
                values=tuple(each.value for each in counted),
                mean=_mean(counted),
                bar="seeds" if len(counted) > 1 else "test rows",
                champion=champion in {each.version for each in members},
                against=_against(members, champion, entries),
            )
        )
    sign = -1 if group.higher_is_better else 1
    return tuple(sorted(ranks, key=lambda rank: (sign * rank.mean.value, rank.versions)))


def _mean(values: Sequence[Interval]) -> Interval:
    """Return the mean with its error bar: one standard deviation over seeds, else the interval of the test rows."""
    if len(values) == 1:
        return values[0]
    plain = [each.value for each in values]
    mean, deviation = statistics.fmean(plain), statistics.stdev(plain)
    return Interval(value=mean, low=mean - deviation, high=mean + deviation)


def _against(members: Sequence[VersionSummary], champion: int | None, entries: Sequence[Entry]) -> dict[int, str]:
    found: dict[int, str] = {}
    for each in members:
        gated = last_gate_entry(entries_since_champion(entries), each.version)
        if gated is not None and gated.payload["champion"] == champion is not None:
            for result in gated.payload["results"]:
                if result.get("topic") == CHAMPION and result["verdict"] in AGAINST:
                    found.setdefault(each.version, f"{result['verdict']}: {result['reason']}")
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


def _short(key: str, value: Any) -> str:
    return str(value).rpartition(".")[2] if key.endswith("_target_") else str(value)


def _group(table: LeaderboardTable, champion: int | None) -> dict[str, Any]:
    """Return what the template shows of configurations measured on the same rows."""
    group = table.group
    of_champion = next((rank.mean.value for rank in table.ranks if rank.champion), None)
    estimates = [
        Estimate(rank.name, rank.mean, rank.values if len(rank.values) > 1 else (), rank.champion)
        for rank in table.ranks
    ]
    rows = [
        [
            str(place),
            rank.kind,
            ", ".join(f"{each}{' (champion)' if each == champion else ''}" for each in rank.versions),
            number(rank.mean.value),
            rank.error_bar,
            ", ".join(f"{key} {value}" for key, value in rank.settings.items()),
        ]
        for place, rank in enumerate(table.ranks, start=1)
    ]
    compared = {version: text for rank in table.ranks for version, text in rank.against.items()}
    missing = sorted(each.version for each in group.versions if each.version not in (*compared, champion))
    line = "" if of_champion is None else "; dashed: the champion's configuration"
    direction = "higher" if group.higher_is_better else "lower"
    return {
        "description": f"{group.description[0].upper()}{group.description[1:]}; {direction} is better.",
        "plot": IntervalPlot(estimates, f"{group.primary_metric}{line}", of_champion),
        "table": PageTable(
            ["#rank", "model", "versions", f"#{group.primary_metric}", "error bar", "differing parameters"],
            rows,
            frozenset(place for place, rank in enumerate(table.ranks) if rank.champion),
        ),
        "comparisons": PageTable(
            ["#version", "verdict", "reason"],
            [[str(version), *text.split(": ", 1)] for version, text in sorted(compared.items())],
        ),
        "not_compared": ", ".join(map(str, missing)),
    }
