"""The table as Markdown: for every part its figures with intervals, then what they say about the bars."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from assistant.evaluation.demo_table import conversations
from assistant.evaluation.demo_table.figures import (
    REACHED,
    Column,
    Columns,
    Figure,
    measured,
    share,
    unreadable,
    verdict,
)
from assistant.evaluation.demo_table.parts import Check, Parts, Run, Section
from assistant.evaluation.demo_table.table import Measured
from assistant.evaluation.reports.plots import percent
from assistant.evaluation.reports.words import NOTHING, points

TALK = "small-talk"
"""The part that is made of conversations, and not only of evaluations."""
ALL = 100
STUCK = "†"
FAILURES_AT_MOST = 2
"""Percent of written replies that may be unreadable."""
_HEADS = ("figure or difference", "n", "measured (95 % interval)", "bar", "verdict")
Line = tuple[str, ...]


@dataclass(frozen=True)
class Facts:
    """What holds for all figures."""

    date: str
    command: str
    model: str
    machine: str
    seeds: int
    adapter: str = ""


@dataclass(frozen=True)
class Bar:
    """A figure beside its bar, as cells of a table."""

    title: str
    figure: Figure
    in_points: bool
    bar: str = ""
    verdict: str = ""

    def line(self) -> Line:
        """Return the cells."""
        return (self.title, f"{self.figure.n:,}", _cell(self.figure, self.in_points), self.bar or NOTHING, self.verdict)


def markdown(parts: Parts, found: Measured, facts: Facts) -> str:
    """Return the whole table."""
    columns, talk = found.columns, found.talk
    runs = [run for run in parts.runs if run.name in columns]
    bars = {section.name: _bars(section, parts, columns, talk) for section in parts.sections}
    blocks = [_opening(facts), _summary(bars)]
    for section in parts.sections:
        own = [run for run in runs if run.part == section.name]
        if own or section.name == TALK:
            blocks += [f"### {section.title}", section.about]
            blocks += list(_figures(section, own, _compared(section, parts, runs), found))
            blocks += [_table(_HEADS, [bar.line() for bar in bars[section.name]])] if bars[section.name] else []
    return "\n\n".join(blocks) + "\n"


def _compared(section: Section, parts: Parts, runs: Sequence[Run]) -> list[Run]:
    """Return the columns of other parts that this one is compared with."""
    names = {check.over_run for check in parts.checks if check.part == section.name}
    return [run for run in runs if run.name in names and run.part != section.name]


def _opening(facts: Facts) -> str:
    adapter = f" The adapter is `{facts.adapter}`." if facts.adapter else ""
    made = f"Made by `{facts.command}` on {facts.date}: the model `{facts.model}`, {facts.machine}.{adapter}"
    return (
        f"{made} Every figure is of rows that the model never saw, in percent with its 95 % interval in brackets; "
        f"differences are paired by row, in points. What is drawn by chance was drawn with {_seeds(facts.seeds)}, "
        f"and the interval holds their spread too."
    )


def _summary(bars: Mapping[str, Sequence[Bar]]) -> str:
    """Return how many bars are reached, and which are not."""
    judged = [(name, bar) for name, of_part in bars.items() for bar in of_part if bar.verdict]
    missed = [f"- {_plain(name)}: {bar.title}: {bar.verdict}" for name, bar in judged if bar.verdict != REACHED]
    counted = f"**{len(judged) - len(missed)} of {len(judged)} bars are reached.**"
    return "\n".join([f"{counted} Not reached:", "", *missed]) if missed else counted


def _figures(section: Section, runs: Sequence[Run], compared: Sequence[Run], found: Measured) -> Iterator[str]:
    """Yield the tables of one part: its columns side by side, and each naming of those that have several."""
    columns = found.columns
    if runs:
        arms = tuple(dict.fromkeys(arm for run in runs for arm in columns[run.name].arms))
        beside = {f"{run.title} (n = {columns[run.name].n:,})": columns[run.name] for run in (*compared, *runs)}
        yield from _matrix(beside, arms)
    for run in runs:
        several = columns[run.name].records
        if len(several) > 1:
            yield f"The {run.title} one by one:"
            names = found.namings[run.name]
            alone = {name: Column((record,)) for name, record in zip(names, several, strict=True)}
            yield from _matrix(alone, columns[run.name].arms)
    if section.name == TALK:
        yield _table(*_talk_lines(found.talk))
        yield _excerpt(found.talk)


def _matrix(columns: Mapping[str, Column], arms: Sequence[str]) -> Iterator[str]:
    """Yield strategies against columns, and what a mark in them means."""
    asked = [arm for arm in arms if not _without_model(arm, columns)]
    rows = []
    for arm in [*(arm for arm in arms if arm not in asked), *asked]:
        cells = [_share_cell(one, arm, arm in asked) for one in columns.values()]
        seeds = max(column.seeds(arm) for column in columns.values() if arm in column.arms)
        rows.append((_arm(arm, seeds, arm in asked), *cells))
    yield _table(("", *columns), rows)
    if any(STUCK in cell for row in rows for cell in row):
        yield f"{STUCK} It named the same label whatever the row."


def _share_cell(column: Column, arm: str, asked: bool) -> str:
    if arm not in column.arms:
        return NOTHING
    mark = f" {STUCK}" if asked and column.sticks(arm) else ""
    return _cell(share(column, arm), False) + mark


def _arm(arm: str, seeds: int, asked: bool) -> str:
    name = f"`{arm}`" if asked else f"{_plain(arm)}, no language model"
    return f"{name}, {_seeds(seeds)}" if seeds > 1 else name


def _seeds(count: int) -> str:
    return f"{count} seeds" if count != 1 else "1 seed"


def _plain(name: str) -> str:
    return name.replace("-", " ").replace("knn", "kNN")


def _without_model(arm: str, columns: Mapping[str, Column]) -> bool:
    return any(
        row["strategy"] == arm and row["kind"] == "baseline"
        for column in columns.values()
        for record in column.records
        for row in record["results"]
    )


def _talk_lines(talk: conversations.Talk) -> tuple[Line, list[Line]]:
    rows = []
    for name, turns in talk.items():
        cells = (_cell(figure(turns), False) for figure in (conversations.ended, conversations.ran_away))
        rows.append((name, f"{len(turns):,}", *cells))
    return ("small talk", "replies", "ended by themselves", "ran away"), rows


def _excerpt(talk: conversations.Talk) -> str:
    """Return the first greedy conversation, so that a reader sees what is counted."""
    first = [turn for turn in talk["greedy"] if turn.conversation == talk["greedy"][0].conversation]
    lines = [f"- {turn.message} → {' '.join(turn.reply.split()) or NOTHING}" for turn in first]
    return "\n".join(["The first of them, greedy:", "", *lines])


def _bars(section: Section, parts: Parts, columns: Columns, talk: conversations.Talk) -> list[Bar]:
    found = []
    for check in parts.checks:
        figure = measured(check, columns) if check.part == section.name else None
        if figure is not None:
            found.append(Bar(check.title, figure, check.is_difference, _bar(check), verdict(check, figure)))
    return [*found, *_talk_bars(columns, talk)] if section.name == TALK else found


def _talk_bars(columns: Columns, talk: conversations.Talk) -> Iterator[Bar]:
    for name, turns in talk.items():
        yield _share_bar(f"{name}, replies that end by themselves", conversations.ended(turns), least=ALL)
        yield _share_bar(f"{name}, replies that run away", conversations.ran_away(turns), most=0)
    failures = unreadable(list(columns.values()))
    if failures is not None:
        yield _share_bar("written replies of all tasks that cannot be read", failures, most=FAILURES_AT_MOST)


def _share_bar(title: str, figure: Figure, *, least: float | None = None, most: float | None = None) -> Bar:
    check = Check(TALK, title, "", "", least=least, most=most)
    return Bar(title, figure, False, _bar(check), verdict(check, figure))


def _bar(check: Check) -> str:
    """Return a check's bar in words; empty where there is none."""
    unit = "points" if check.is_difference else "%"
    if check.near is not None:
        return f"50 % ± {check.near:g}"
    if check.certain and not check.least:
        return "above 0, and so the interval"
    if check.least == ALL or check.most == 0:
        return "all" if check.least else "none"
    if check.least is not None:
        return f"at least {check.least:g} {unit}" if check.least else "not below 0"
    return f"at most {check.most:g} {unit}" if check.most is not None else ""


def _cell(figure: Figure, in_points: bool) -> str:
    low, high = figure.interval
    if in_points:
        return f"{points(figure.value)} ({points(low)} to {points(high)})"
    return f"{percent(figure.value)} ({100 * low:.1f} to {100 * high:.1f})"


def _table(heads: Line, rows: Sequence[Line]) -> str:
    lines = [heads, ("---",) * len(heads), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
