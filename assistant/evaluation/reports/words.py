"""What a run's record comes to in sentences and cells, the same in HTML and in Markdown."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from assistant.evaluation.metrics.text import RIGHT_OR_WRONG
from assistant.evaluation.reports.leaderboard_plots import cost_per_answer, main_measure
from assistant.evaluation.reports.plots import percent

Record = Mapping[str, Any]
NOTHING = "–"
MANY_UNREADABLE = 0.05
MEASURES = {
    "accuracy": "Accuracy",
    "score": "Score",
    "rouge": "ROUGE-L",
    "similarity": "Nearness of grades",
    "squad": "Token F1",
}
TIMINGS = frozenset({"created", "updated", "started", "seconds", "seconds_left", "seconds_median", "seconds_p95"})


class Column(NamedTuple):
    """A column of the leaderboard: its heading, and what stands in it for a row."""

    heading: str
    cell: Callable[[Record], str]


def without_timings(record: Any) -> Any:
    """Return the record without whatever a clock wrote: what is left is the same each time."""
    if isinstance(record, Mapping):
        return {name: without_timings(value) for name, value in record.items() if name not in TIMINGS}
    if isinstance(record, list | tuple):
        return [without_timings(value) for value in record]
    return record


def measure_name(record: Record) -> str:
    """Return what the run's main measure is called."""
    measure = main_measure(record["results"])
    return MEASURES.get(record["task"].get("metric", ""), MEASURES[measure]) if measure == "score" else "Accuracy"


def measure_of(metric: str) -> str:
    """Return what the mean score of a task with this metric is called."""
    return MEASURES["accuracy"] if metric in RIGHT_OR_WRONG else MEASURES.get(metric, MEASURES["score"])


def measure_in_text(record: Record) -> str:
    """Return the same as it stands inside a sentence: accuracy, ROUGE-L."""
    name = measure_name(record)
    return name if name[:2].isupper() else name[0].lower() + name[1:]


def columns(record: Record) -> list[Column]:
    """Return the leaderboard's columns: those that at least one row can fill."""
    rows, measure = record["results"], main_measure(record["results"])
    shares = [(key, name) for key, name in _SHARES if not (key == "rougeL" and record["task"].get("metric") == "rouge")]
    found = [Column(f"{measure_name(record)} (95 % interval)", partial(with_interval, key=measure))]
    found += [Column(name, partial(with_interval, key=key)) for key, name in shares if _any(rows, key)]
    found += [Column(name, partial(_number, key=key)) for key, name in _NUMBERS if _any(rows, key)]
    found += [
        Column("Unreadable", _unreadable),
        Column("Tokens per answer", _tokens),
        Column("Calls per answer", _calls),
    ]
    return found


_SHARES = (
    ("macro_f1", "Macro F1"),
    ("exact_match", "Exact match"),
    ("token_f1", "Token F1"),
    ("rouge1", "ROUGE-1"),
    ("rouge2", "ROUGE-2"),
    ("rougeL", "ROUGE-L"),
    ("number_match", "Number match"),
)
_NUMBERS = (
    ("roc_auc", "ROC-AUC"),
    ("brier", "Brier (0…2)"),
    ("expected_calibration_error", "Calibration error"),
    ("bleu", "BLEU (0…100)"),
    ("pearson", "Pearson"),
    ("spearman", "Spearman"),
)


def _any(rows: Sequence[Record], key: str) -> bool:
    return any(row.get(key) is not None for row in rows)


def with_interval(row: Record, key: str) -> str:
    """Return `83.3 % (77.5 to 87.9)`, or a dash."""
    value, interval = row.get(key), row.get(f"{key}_interval")
    if value is None:
        return NOTHING
    return f"{percent(value)} ({100 * interval[0]:.1f} to {100 * interval[1]:.1f})" if interval else percent(value)


def _number(row: Record, key: str) -> str:
    value = row.get(key)
    return NOTHING if value is None else f"{value:.3f}"


def answers_of(row: Record) -> int:
    """Return how many answers stand behind a row: samples times seeds."""
    answers: int = row.get("answers") or row["n"] * len(row.get("seeds") or [0])
    return max(1, answers)


def _unreadable(row: Record) -> str:
    failures = row["parse_failures"]
    return f"{failures:,} of {answers_of(row):,}" if failures else "0"


def _tokens(row: Record) -> str:
    return f"{cost_per_answer(row, 'tokens'):,.0f}" if row["calls"] else NOTHING


def _calls(row: Record) -> str:
    return f"{row['calls'] / answers_of(row):.2g}" if row["calls"] else NOTHING


def seconds(value: float) -> str:
    """Return a time as `1.2 s` or `34 ms`."""
    return f"{value:,.1f} s" if value >= 1 else f"{1000 * value:,.0f} ms"


def p_value(value: float) -> str:
    """Return `p = 0.031`, or `p < 0.001`."""
    return "p < 0.001" if value < 0.001 else f"p = {value:.3f}"


def points(value: float) -> str:
    """Return a difference of two shares in points, with its sign."""
    return f"{100 * value:+.1f}"


def pair_sentence(pair: Record) -> str:
    """Return one comparison in words: the gap, its interval, wins and losses, the test, the verdict."""
    low, high = pair["interval"]
    return (
        f"{pair['b']} against {pair['a']}: {points(pair['difference'])} points ({points(low)} to {points(high)}); "
        f"better on {pair['wins']:,} samples, worse on {pair['losses']:,}; {pair['test']}, {p_value(pair['p_value'])}, "
        f"{p_value(pair['p_holm'])} after Holm: {pair['verdict']}."
    )


def ranked(rows: Sequence[Record], kind: str = "") -> list[Record]:
    """Return the rows (of a kind) that have the main measure, best first."""
    measure = main_measure(rows)
    return sorted(
        (row for row in rows if row.get(measure) is not None and (not kind or row["kind"] == kind)),
        key=lambda row: -row[measure],
    )


def headline(record: Record) -> list[str]:
    """Return the run's answer in a few sentences; a winner only if the statistics name one."""
    rows, measure = record["results"], main_measure(record["results"])
    strategies, plain = ranked(rows, "strategy"), ranked(rows, "baseline")
    pairs = {pair["b"]: pair for pair in record.get("pairs") or ()}
    if not strategies:
        return _without_model(record, plain, measure, pairs)
    found: list[str] = []
    best = strategies[0]
    better = [row["name"] for row in strategies if pairs.get(row["name"], {}).get("verdict") == "better"]
    if better:
        found.append(f"Measurably better than {record['baseline']}: {', '.join(better)}.")
    elif any(row["name"] in pairs for row in strategies):
        found.append(f"No strategy is measurably better than {record['baseline']}.")
    found.append(
        f"Highest {measure_in_text(record)}: {best['name']}, {with_interval(best, measure)}, n = {best['n']:,}."
    )
    if best["name"] in pairs:
        found.append(pair_sentence(pairs[best["name"]]))
    if plain:
        higher = " That is at least as high as any strategy here." if plain[0][measure] >= best[measure] else ""
        found.append(
            f"Without a language model, {plain[0]['name']} reaches {with_interval(plain[0], measure)}.{higher}"
        )
    return found


def _without_model(record: Record, plain: Sequence[Record], measure: str, pairs: Mapping[str, Record]) -> list[str]:
    """Return what there is to say where no language model has answered: as was planned, or not yet."""
    planned = (record.get("settings") or {}).get("arms") or ()
    if not plain or not planned or any(arm["reading"] != "none" for arm in planned):
        return ["Nothing was answered by a language model."]
    best = plain[0]
    found = [
        "No language model was asked. "
        f"Highest {measure_in_text(record)}: {best['name']}, {with_interval(best, measure)}, n = {best['n']:,}."
    ]
    return [*found, pair_sentence(pairs[best["name"]])] if best["name"] in pairs else found


def warnings(record: Record) -> list[str]:
    """Return what a reader must know before believing a figure."""
    found = []
    if not record.get("finished", True):
        found.append("The evaluation was stopped early: figures are those of the samples answered until then.")
    guard = ((record.get("settings") or {}).get("retrieval") or {}).get("guard") or {}
    if guard.get("enabled") is False:
        found.append("The leak guard was off: demonstrations may be copies of the samples they help to answer.")
    sizes = {row["n"] for row in record["results"]}
    if len(sizes) > 1:
        found.append(f"Rows have between {min(sizes):,} and {max(sizes):,} samples; comparisons use the shared ones.")
    for row in record["results"]:
        share = row["parse_failures"] / answers_of(row)
        if share > MANY_UNREADABLE:
            unread = f"{percent(share, 0)} of the replies could not be read; each counts as an error."
            found.append(f"{row['name']}: {unread}")
    if record["task"].get("metric") == "similarity":
        unread_rows = [row["name"] for row in record["results"] if row["parse_failures"]]
        if unread_rows:
            why = "a correlation of the others alone would reward failing on the hard ones"
            found.append(f"No Pearson or Spearman where a grade could not be read ({', '.join(unread_rows)}): {why}.")
    return found


def kept_out(record: Record) -> list[tuple[str, str, int]]:
    """Return (row, reason, count) of what the leak guard and the task kept out of the prompts."""
    return [
        (row["name"], reason, count)
        for row in record["results"]
        if row.get("calibration", "none") == "none"
        for reason, count in (row.get("excluded") or {}).items()
    ]


def failures(record: Record) -> list[tuple[str, str, int]]:
    """Return (row, reason, count) of the replies that could not be read."""
    return [
        (row["name"], reason, count)
        for row in record["results"]
        for reason, count in (row.get("problems") or {}).items()
    ]


def flattened(values: Any, prefix: str = "") -> list[tuple[str, str]]:
    """Return nested settings as (dotted name, value), in their order."""
    if isinstance(values, Mapping):
        return [pair for name, value in values.items() for pair in flattened(value, f"{prefix}{name}.")]
    if isinstance(values, list | tuple) and any(isinstance(value, Mapping) for value in values):
        return [pair for place, value in enumerate(values, 1) for pair in flattened(value, f"{prefix}{place}.")]
    text = ", ".join(map(str, values)) if isinstance(values, list | tuple) else str(values)
    return [(prefix.rstrip("."), NOTHING if values in (None, "", [], ()) else text)]
