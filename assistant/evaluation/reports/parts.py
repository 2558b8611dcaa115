"""The sections of the HTML report, made of `report_elements`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from assistant.evaluation.outcomes import Outcome
from assistant.evaluation.reports import leaderboard_plots, words
from assistant.evaluation.reports import samples as report_samples
from assistant.evaluation.reports.elements import cut, esc, figures, fold, paragraphs, section, table
from assistant.evaluation.reports.leaderboard_plots import cost_per_answer, main_measure

Record = Mapping[str, Any]
MOST_FLIPS, MOST_ERRORS, MOST_DIVIDED = 10, 5, 10
LONGEST_TEXT = 6_000
"""Characters of a prompt or an answer that are shown; `run.json` holds them whole."""


def leaderboard(record: Record) -> str:
    """Return the table of all rows, best first, and the plot of their intervals."""
    rows, columns = words.ranked(record["results"]), words.columns(record)
    cells = [[row["name"], f"{row['n']:,}", *(column.cell(row) for column in columns)] for row in rows]
    heads = ["Strategy", "n", *(column.heading for column in columns)]
    seeds = max((len(row.get("seeds") or [0]) for row in rows), default=1)
    notes = ["Grey rows ask no language model. An unreadable reply counts as an error, never as some label."]
    if seeds > 1:
        notes.append(f"With several seeds (up to {seeds}) a sample counts once, with its mean over the seeds.")
    signature = next((row["bleu_signature"] for row in rows if row.get("bleu_signature")), "")
    notes += [f"BLEU: {signature}"] if signature else []
    measure = main_measure(rows)
    named = words.measure_name(record)
    plots = [leaderboard_plots.forest(rows, baseline=record.get("baseline") or "", measure=measure, named=named)]
    plots += [leaderboard_plots.pareto(rows, measure=measure, named=named)]
    plain = [row["kind"] == "baseline" for row in rows]
    return section(
        "Leaderboard",
        table(heads, cells, plain=plain),
        paragraphs([" ".join(notes)], "soft"),
        figures(plots if rows else ()),
        anchor="leaderboard",
    )


def comparisons(record: Record) -> str:
    """Return every comparison made, with what the number of samples can show."""
    pairs = record.get("pairs") or ()
    heads = ("Strategy", "Difference in points", "Better on", "Worse on", "p", "p after Holm", "Verdict")
    cells = [
        (
            pair["b"],
            f"{words.points(pair['difference'])} ({words.points(pair['interval'][0])} to "
            f"{words.points(pair['interval'][1])})",
            f"{pair['wins']:,}",
            f"{pair['losses']:,}",
            words.p_value(pair["p_value"]).removeprefix("p").removeprefix(" = "),
            words.p_value(pair["p_holm"]).removeprefix("p").removeprefix(" = "),
            pair["verdict"],
        )
        for pair in pairs
    ]
    tests = ", ".join(sorted({pair["test"] for pair in pairs}))
    how = (
        f"Each against {record.get('baseline')}, on the same samples. Test: {tests}; "
        f"Holm over {len(pairs)} comparisons. "
        "“Better” and “worse” only where the 95 % interval excludes 0 and p after Holm is below 0.05."
    )
    sentences = (record.get("power") or {}).get("sentences") or ()
    return section(
        "Is the difference real?",
        paragraphs([how], "soft") if pairs else "",
        table(heads, cells),
        paragraphs(sentences),
        anchor="comparisons",
    )


def per_strategy(record: Record) -> str:
    """Return, folded by row: confusion, ROC and calibration plots and the figures of each label."""
    folds = []
    for place, row in enumerate(words.ranked(record["results"])):
        heads = ("Label", "Precision", "Recall", "F1", "Answers")
        labels = [
            (one["label"], *(f"{one[key]:.3f}" for key in ("precision", "recall", "f1")), f"{one['support']:,}")
            for one in row.get("per_class") or ()
        ]
        plots = [leaderboard_plots.roc(row)] if row.get("roc_curve") else []
        plots += [leaderboard_plots.calibration(row)] if row.get("calibration_curve") else []
        if labels:
            drawn = leaderboard_plots.confusion(row["confusion"], row["name"]).svg()
            both = f'<div class="plots"><figure>{drawn}</figure><div>{table(heads, labels)}</div></div>'
            folds.append(fold(row["name"], both + figures(plots), shown=place == 0))
    return section("Label by label", *folds, anchor="labels")


def problems(record: Record) -> str:
    """Return what could not be read, and what was kept out of the prompts, by reason."""
    unread = table(("Strategy", "Reason", "Replies"), [(a, b, f"{n:,}") for a, b, n in words.failures(record)])
    kept = table(("Strategy", "Reason", "Rows"), [(a, b, f"{n:,}") for a, b, n in words.kept_out(record)])
    longer = [
        (row["name"], f"{row['longer_than_a_label']:,} of {words.answers_of(row):,}")
        for row in record["results"]
        if row.get("longer_than_a_label")
    ]
    return "".join(
        (
            section(
                "Replies that could not be read",
                unread or paragraphs(["Every reply could be read."]),
                table(("Strategy", "Read, but longer than a label"), longer),
                anchor="unreadable",
            ),
            section(
                "Leak guard",
                kept or paragraphs(["No row had to be kept out of a prompt."]),
                paragraphs(["Counted once per answer: the same row may be kept out of many prompts."], "soft")
                if kept
                else "",
                anchor="leak-guard",
            ),
        )
    )


def samples(record: Record) -> str:
    """Return flipped samples, the samples that divide the strategies, and the surest errors, folded."""
    arms = report_samples.outcomes_by_arm(record)
    flipped = []
    for pair in record.get("pairs") or ():
        shown = report_samples.flips(arms, pair, MOST_FLIPS)
        body = "".join(_flip(one.before, one.after, pair) for one in shown)
        note = f"{len(pair['flipped']):,} flipped: {pair['wins']:,} won, {pair['losses']:,} lost; {len(shown)} shown"
        flipped += [fold(f"{pair['b']} against {pair['a']}", body, note)] if shown else []
    strategies = [
        row["name"] for row in record["results"] if row["kind"] == "strategy" and row["calibration"] == "none"
    ]
    divided = [_divided(one, arms) for one in report_samples.dividing(arms, strategies, MOST_DIVIDED)]
    errors = []
    for row in words.ranked(record["results"]):
        worst = report_samples.worst_errors(arms[row["name"]], MOST_ERRORS)
        errors += [fold(row["name"], "".join(map(_error, worst)), f"{len(worst)} shown")] if worst else []
    return "".join(
        (
            section("Flipped samples", *flipped, anchor="flipped"),
            section("Where strategies disagree", *divided, anchor="disagreement"),
            section("Worst errors", *errors, anchor="errors"),
        )
    )


def _divided(sample: report_samples.Divided, arms: report_samples.ByArm) -> str:
    said: dict[str, list[str]] = {}
    for name, answer in sample.answers.items():
        said.setdefault("unreadable" if answer is None else cut(answer, 80), []).append(name)
    prompts = [one.prompt for name in sample.answers for one in arms[name] if one.sample == sample.sample]
    prompt = min(filter(None, prompts), key=len, default="")
    shown = f'<span class="soft">Shortest prompt</span><pre>{esc(cut(prompt, LONGEST_TEXT))}</pre>' if prompt else ""
    answers = table(("Answer", "Strategies"), [(answer, ", ".join(names)) for answer, names in said.items()])
    note = f"meant {cut(sample.target, 80)}; {sample.right} of {len(sample.answers)} are right"
    return fold(sample.sample, answers + shown, note)


def _flip(before: Outcome, after: Outcome, pair: Record) -> str:
    both = f'<div class="beside">{_answered(before, pair["a"])}{_answered(after, pair["b"])}</div>'
    return fold(before.sample, both, f"meant {_meant(before)}; answered {_said(before)} → {_said(after)}")


def _error(outcome: Outcome) -> str:
    sure = report_samples.confidence(outcome)
    how = f"with {100 * sure:.0f} % confidence" if sure else f"score {outcome.score:.2f}"
    return fold(outcome.sample, _answered(outcome, ""), f"meant {_meant(outcome)}; answered {_said(outcome)}, {how}")


def _meant(outcome: Outcome) -> str:
    return cut(" or ".join(outcome.targets), 80)


def _said(outcome: Outcome) -> str:
    return "unreadable" if outcome.final_answer is None else cut(outcome.final_answer, 80)


def _answered(outcome: Outcome, name: str) -> str:
    verdict = ""
    if outcome.correct is not None:
        verdict = '<span class="right">right</span>' if outcome.correct else '<span class="wrong">wrong</span>'
    scores = ", ".join(f"{label} {score:.3f}" for label, score in (outcome.label_scores or {}).items())
    texts = (
        ("Prompt", outcome.prompt),
        ("Answer", outcome.answer),
        ("Final answer", outcome.final_answer or ""),
        ("Label scores", scores),
        ("Problem", outcome.problem),
    )
    parts = [f"<h3>{esc(name)} {verdict}</h3>" if name else ""]
    for title, text in texts:
        if text and not (title == "Final answer" and text == outcome.answer):
            parts.append(f'<span class="soft">{title}</span><pre>{esc(cut(text, LONGEST_TEXT))}</pre>')
    return f"<div>{''.join(parts)}</div>"


def time(record: Record) -> str:
    """Return everything that a clock wrote, in one place; nothing if the record has no timings."""
    rows = [row for row in words.ranked(record["results"]) if "seconds" in row]
    if not rows:
        return ""
    measure = main_measure(rows)
    heads = ("Strategy", "Median per answer", "95th percentile", "Per 1,000 answers", "Total")
    cells = [
        (
            row["name"],
            words.seconds(row["seconds_median"]),
            words.seconds(row["seconds_p95"]),
            words.seconds(1000 * cost_per_answer(row, "seconds")),
            words.seconds(row["seconds"]),
        )
        for row in rows
    ]
    created = f"Written {record['created']}." if record.get("created") else ""
    return section(
        "Time",
        table(heads, cells, plain=[row["kind"] == "baseline" for row in rows]),
        paragraphs([f"{created} Times depend on the machine and on what else ran on it.".strip()], "soft"),
        figures([leaderboard_plots.pareto(rows, cost="seconds", measure=measure, named=words.measure_name(record))]),
        anchor="time",
    )


def origins(record: Record) -> str:
    """Return data, model, index, versions and settings: what it takes to do it again."""
    folds = [
        fold(title, table(("Name", "Value"), words.flattened(record[key])))
        for key, title in (
            ("data", "Data"),
            ("model", "Model"),
            ("index", "Index"),
            ("versions", "Versions"),
            ("settings", "Settings"),
        )
        if record.get(key)
    ]
    digest = f'<p class="soft">Settings hash <code>{esc(record.get("settings_hash", ""))}</code></p>'
    return section("To do it again", digest, *folds, anchor="origins")


def notes(record: Record) -> str:
    """Return what was noted while the run was planned and carried out."""
    listed = "".join(f"<li>{esc(note)}</li>" for note in record.get("notes") or ())
    return section("Notes", f"<ul>{listed}</ul>" if listed else "", anchor="notes")
