"""The sections of an advice, from its record: sentences, tables, plots and what is folded away."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from assistant.evaluation.reports import leaderboard_plots, words
from assistant.evaluation.reports.leaderboard_plots import cost_per_answer
from assistant.evaluation.reports.plots import Plot

Record = Mapping[str, Any]
LONGEST_TEXT, LONGEST_CELL, LONGEST_PROMPT = 600, 160, 6_000


@dataclass(frozen=True)
class Fold:
    """Something that is opened by a click: a title, a note beside it, and texts under their names."""

    title: str
    note: str
    texts: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Section:
    """A part of the report; whatever it lacks is left out."""

    title: str
    sentences: Sequence[str] = ()
    heads: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    plain: Sequence[bool] = ()
    """Which rows ask no language model."""
    notes: Sequence[str] = ()
    """Small print, below the table."""
    plots: Sequence[Plot] = ()
    folds: Sequence[tuple[str, str, Sequence[Fold]]] = ()
    """Title, note and what is inside."""


def title(record: Record) -> str:
    """Return the report's title."""
    return f"Which strategy for “{record['task']['title']}”?"


def facts(record: Record) -> list[tuple[str, str]]:
    """Return what the advice holds for, name and value."""
    data, model, total = record["data"], record["model"], record["spent"]["total"]
    shown = [
        ("data", data["title"] or data["source"]),
        ("model", model["name"]),
        ("adapter", model["adapter"]),
        ("strategies", str(len(record["race"]["standings"]))),
        ("dev", f"{record['dev']['n']:,} samples"),
        ("test", f"{record['test']['n']:,} samples"),
        ("model calls", f"{total['calls']:,}"),
        ("seed", str(data["seed"])),
    ]
    if "seconds" in total:
        shown.append(("model time", words.seconds(total["seconds"])))
    return [(name, str(value)) for name, value in shown if value]


def sections(record: Record) -> list[Section]:
    """Return all sections in their order."""
    return [
        _result(record),
        _race(record),
        _cost(record),
        _disagreements(record),
        _worst(record),
        _spent(record),
        _trust(record),
        _again(record),
    ]


def _result(record: Record) -> Section:
    test, measure = record["test"], record["measure"]
    pairs = {pair["b"]: pair for pair in test["pairs"]}
    ranked = words.ranked(test["results"])
    described = {"results": test["results"], "task": record["task"]}
    columns = [column for column in words.columns(described) if column.heading not in ("ROC-AUC", "Brier (0…2)")]
    kept = [one for one in columns if one.heading.split(" (")[0] in (*_KEPT, words.measure_name(described))]
    rows = [(row["name"], *(column.cell(row) for column in kept), _against(row, record, pairs)) for row in ranked]
    tests = ", ".join(sorted({pair["test"] for pair in test["pairs"]}))
    note = (
        f"Each against {record['chosen']} on the same samples ({tests}; Holm over {len(test['pairs'])} comparisons). "
        "Grey rows ask no language model. An unreadable reply is an error."
    )
    plots = [leaderboard_plots.forest(test["results"], baseline=record["chosen"], measure=measure)]
    chosen = next(row for row in ranked if row["name"] == record["chosen"])
    if chosen.get("confusion"):
        plots.append(leaderboard_plots.confusion(chosen["confusion"], f"{chosen['name']}, chosen"))
    return Section(
        f"The result, on {test['n']:,} test samples",
        heads=("Strategy", *(column.heading for column in kept), f"Against {record['chosen']}"),
        rows=rows,
        plain=[row["kind"] == "baseline" for row in ranked],
        notes=[note] if pairs else (),
        plots=plots,
    )


_KEPT = ("Macro F1", "ROUGE-1", "Number match", "Unreadable", "Tokens per answer")


def _against(row: Record, record: Record, pairs: Mapping[str, Record]) -> str:
    if row["name"] == record["chosen"]:
        return "chosen on dev"
    pair = pairs[row["name"]]
    low, high = pair["interval"]
    gap = f"{words.points(pair['difference'])} points ({words.points(low)} to {words.points(high)})"
    return f"{gap}, {words.p_value(pair['p_holm'])}: {pair['verdict']}"


def _race(record: Record) -> Section:
    race, measure = record["race"], record["measure"]
    rows = []
    for place, row in enumerate(race["standings"]):
        gone = row["dropped"]
        state = ("chosen" if place == 0 else "still in at the end") if gone is None else (
            f"dropped: {gone['rival']} did better on {gone['wins']:,} samples and worse on {gone['losses']:,} "
            f"(p = {gone['p_value']:.2g})"
        )  # fmt: skip
        rows.append((row["name"], f"{row['n']:,}", words.with_interval(row, measure), f"{row['calls']:,}", state))
    saved = race["calls_saved"]
    how = (
        f"After every {record['settings']['block_size']} samples, a strategy that was clearly worse than its rivals "
        f"was dropped. The test allows for looking that often: the chance that the best strategy was dropped is at "
        f"most {100 * race['alpha']:.0f} %. The race ended because {race['ended']}."
    )
    spared = f"Dropping losers early spared {saved:,} model calls." if saved else ""
    return Section(
        f"The race, on {race['samples']:,} dev samples",
        [how, *([spared] if spared else [])],
        ("Strategy", "n", f"{_measure(record)} on dev (95 % interval)", "Calls", "What became of it"),
        rows,
        notes=["Figures of dev chose the strategy, so they flatter it; the result is that of test."],
    )


def _measure(record: Record) -> str:
    return words.measure_name({"results": record["test"]["results"], "task": record["task"]})


def _cost(record: Record) -> Section:
    measure = record["measure"]
    rows = [row for row in record["dev"]["results"] if row["kind"] == "strategy"]
    plots = [leaderboard_plots.pareto(rows, measure=measure)]
    if all("seconds" in row for row in rows):
        plots.append(leaderboard_plots.pareto(rows, cost="seconds", measure=measure))
    costs = [cost_per_answer(row, "tokens") for row in rows]
    front = leaderboard_plots.pareto_front(costs, [row[measure] for row in rows])
    dropped = any(row["dropped"] for row in record["race"]["standings"])
    free = words.ranked(record["dev"]["results"], "baseline")
    best = f"Without a model and its tokens, {free[0]['name']} reaches {words.with_interval(free[0], measure)} on dev."
    return Section(
        "What an answer costs, on dev",
        [
            f"On the front, where no strategy is both cheaper in tokens and better: "
            f"{', '.join(rows[place]['name'] for place in front)}.",
            *([best] if free else []),
            *(["Dropped strategies answered fewer samples, so their intervals are wider."] if dropped else []),
        ],
        plots=plots,
    )


def _disagreements(record: Record) -> Section:
    found = record["disagreements"]
    if len(record["finalists"]) < 2:
        return Section("Where the strategies disagree")
    rows = [
        (
            _inputs(sample, LONGEST_CELL),
            " or ".join(_short(one) for one in sample["targets"]),
            *(_answered(sample["answers"][name]) for name in record["finalists"]),
        )
        for sample in found["samples"]
    ]
    shown = f" {len(rows)} of them:" if rows and len(rows) < found["count"] else ""
    return Section(
        "Where the strategies disagree",
        [f"The strategies in the test differ on {found['count']:,} of {found['n']:,} samples.{shown}"],
        ("Sample", "Meant", *record["finalists"]),
        rows,
    )


def _answered(given: Record) -> str:
    if given["final_answer"] is None:
        return "✗ unreadable"
    mark = f"{given['score']:.2f}" if given["correct"] is None else "✓" if given["correct"] else "✗"
    return f"{mark} {_short(given['final_answer'])}"


def _inputs(sample: Record, longest: int) -> str:
    return _short(" | ".join(sample["inputs"].values()), longest)


def _short(text: str, longest: int = LONGEST_CELL) -> str:
    text = " ".join(text.split())
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def _worst(record: Record) -> Section:
    folds = [
        (
            entry["name"],
            f"{entry['errors']:,} errors in {entry['n']:,} answers on {entry['part']}; {len(entry['samples'])} shown",
            [_error(sample) for sample in entry["samples"]],
        )
        for entry in record["worst"]
        if entry["samples"]
    ]
    return Section("The worst errors of each", ["The lowest scores first; of equal ones, the surest."], folds=folds)


def _error(sample: Record) -> Fold:
    given = "unreadable" if sample["final_answer"] is None else f"answered {_short(sample['final_answer'], 60)}"
    sure = "" if sample["margin"] is None else f", preferred by {sample['margin']:.1f} nats"
    score = f", score {sample['score']:.2f}" if sample["correct"] is None else ""
    meant = _short(" or ".join(sample["targets"]), 60)
    texts = [
        *((name, _cut(text, LONGEST_TEXT)) for name, text in sample["inputs"].items()),
        ("Meant", _cut(" or ".join(sample["targets"]), LONGEST_TEXT)),
        ("Reply", _cut(sample["answer"], LONGEST_TEXT)),
        ("Problem", sample["problem"]),
        ("Prompt", _cut(sample["prompt"], LONGEST_PROMPT)),
    ]
    return Fold(_inputs(sample, 90), f"meant {meant}, {given}{sure}{score}", [one for one in texts if one[1]])


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[:longest]} … ({len(text) - longest:,} more characters)"


def _spent(record: Record) -> Section:
    spent = record["spent"]
    timed = "seconds" in spent["total"]
    rows = [
        (
            name,
            *(f"{part[key]:,}" for key in ("answers", "calls", "prompt_tokens", "new_tokens")),
            *([words.seconds(part["seconds"])] if timed else []),
        )
        for name, part in (("Race on dev", spent["dev"]), ("Test", spent["test"]), ("Together", spent["total"]))
    ]
    heads = ("", "Answers", "Calls", "Prompt tokens", "New tokens", *(["Model time"] if timed else []))
    budget = record["settings"]["settings"]["budget"]
    return Section("What was spent", [f"Of a budget of {budget:,} model calls."], heads, rows)


def _trust(record: Record) -> Section:
    return Section("How far to trust this", [*record["power"]["sentences"], *record["notes"]])


_SETTINGS = ("settings", "dev", "test", "index", "index_facts", "prompts_sha256", "model", "data")


def _again(record: Record) -> Section:
    rows = [(name, reason) for name, reason in record["left_out"].items()]
    settings = [
        *(("settings hash", record["settings_hash"]),),
        *_flat({name: record["settings"][name] for name in _SETTINGS}),
    ]
    return Section(
        "Not in the race" if rows else "To do it again",
        heads=("Strategy", "Why") if rows else (),
        rows=rows,
        folds=[("Settings", "to do it again", [Fold("All settings", "", settings)])],
    )


def _flat(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield from ((name, value) for name, value in words.flattened(values) if value != words.NOTHING)
