"""What a recipe came to: its flaws, published figures beside ours, and all runs in one table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from assistant.evaluation.metrics.arms import arms_of
from assistant.evaluation.metrics.leaderboard import sample_means, summarise
from assistant.evaluation.metrics.text import RIGHT_OR_WRONG
from assistant.evaluation.outcomes import Outcome
from assistant.evaluation.recipes.claims import author_part, published_lines, published_part, span
from assistant.evaluation.recipes.published import claim
from assistant.evaluation.recipes.recipe import Recipe, RecipeRun, read_as_published
from assistant.evaluation.reports import words
from assistant.evaluation.reports.report import Part, markdown_table
from assistant.evaluation.statistics.p_values import holm
from assistant.evaluation.statistics.paired import Comparison, compare_arms
from assistant.evaluation.statistics.power import ALPHA
from assistant.prompting.tasks import load_task

FORMAT = 1
FLAWS = "What is wrong with it, or to be known"
DRAWS = 2000
"""Bootstrap draws of the figures that a published parser would have given."""
Record = Mapping[str, Any]


def recipe_record(recipe: Recipe, runs: Sequence[tuple[RecipeRun, Record]], notes: Sequence[str]) -> dict[str, Any]:
    """Return the whole result of a recipe as plain data: the contract of `recipe run --out`."""
    return {
        "format": FORMAT,
        "recipe": recipe.name,
        "title": recipe.title,
        "source": recipe.source,
        "flaws": list(recipe.flaws),
        "published": published_lines(recipe.claims()),
        "notes": list(notes),
        "across": _plain(across_part(runs)),
        "runs": [
            {
                "name": run.name,
                "title": run.title,
                "published": dict(run.published),
                "read_as_published": read_again(run, record),
                "record": record,
            }
            for run, record in runs
        ],
    }


def _plain(part: Part | None) -> list[dict[str, str]]:
    return [dict(zip(part.heads, row, strict=True)) for row in part.rows] if part is not None else []


def read_again(run: RecipeRun, record: Record) -> list[dict[str, Any]]:
    """Return the figures that the published parser gives for the replies of a run; empty where it has no such parser.

    `made_up` counts the replies that could not be read and got the default class.
    """
    if not run.published_reading:
        return []
    task = load_task(record["task"]["name"])
    rows = []
    outcomes = [Outcome.from_json(sample) for sample in record["samples"]]
    for arm, of_arm in arms_of(outcomes).items():
        if arm.reading == "generate":
            read, made_up = read_as_published(of_arm, run.published_reading, task)
            (row,) = summarise(read, task, draws=DRAWS)
            kept = ("name", "n", "accuracy", "accuracy_interval", "macro_f1", "macro_f1_interval", "confusion")
            rows.append({**{key: row[key] for key in kept}, "made_up": made_up})
    return rows


def flaws_part(recipe: Recipe) -> Part | None:
    """Return the section with what is wrong with the published protocol, or None."""
    return Part(FLAWS, recipe.flaws) if recipe.flaws else None


def beside_part(run: RecipeRun, record: Record) -> Part | None:
    """Return the section that puts each arm's figures beside the claim it is held against, or None."""
    rows = []
    again = {row["name"]: row for row in read_again(run, record)}
    default = load_task(record["task"]["name"]).labels[1] if again else ""
    for name, claimed in run.published.items():
        ours = next((row for row in record["results"] if row["name"] == name), None)
        if ours is None:
            continue
        printed = claim(claimed).printed.get("accuracy", "")
        rows.append((name, "ours, unreadable replies are errors", f"{ours['n']:,}", *_figures(ours), printed))
        if name in again:
            other = again[name]
            how = f"ours, read by the published parser ({other['made_up']} unreadable replies made {default})"
            rows.append((name, how, f"{other['n']:,}", *_figures(other), printed))
    if not rows:
        return None
    heads = ("Strategy", "How it is read", "n", "Accuracy (95 % interval)", "Macro F1", "Published accuracy")
    return Part("Published figures beside ours", (_other_model(record),), heads, rows)


def detail_part(run: RecipeRun, record: Record) -> Part:
    """Return the section with everything that was measured in one run, best first."""
    columns = words.columns(record)
    rows = [
        (row["name"], f"{row['n']:,}", *(column.cell(row) for column in columns))
        for row in words.ranked(record["results"])
    ]
    heads = ("Strategy", "n", *(column.heading for column in columns))
    return Part(f"In detail: {heading(run, record)}", (), heads, rows)


def across_part(runs: Sequence[tuple[RecipeRun, Record]]) -> Part | None:
    """Return the section that compares each strategy with itself under other label names, or None.

    The first run is the baseline; only runs that answered the same samples are compared, paired by
    sample, Holm over all comparisons of the section.
    """
    if len(runs) < 2 or not any(run.label_names for run, _ in runs):
        return None
    first, rest = runs[0], runs[1:]
    rest = [one for one in rest if one[1]["data"]["ids_sha256"] == first[1]["data"]["ids_sha256"]]
    found = [one for arm in _scores(first[1]) for one in _renamed(arm, first, rest)]
    if not found:
        return None
    corrected = holm([one.p_value for _, one in found])
    rows = [_across_row(arm, one, p) for (arm, one), p in zip(found, corrected, strict=True)]
    heads = ("Strategy", "Names", "Points (95 % interval)", "Won / lost", "p after Holm", "Verdict")
    sentence = f"Against the names of '{heading(*first)}', on the same samples; {len(rows)} comparisons."
    return Part("The same strategy under other names", (sentence,), heads, rows)


def _across_row(arm: str, one: Comparison, p: float) -> tuple[str, ...]:
    verdict = one.verdict if p < ALPHA or not one.settled else "not distinguishable after correction"
    gap = f"{100 * one.difference:+.1f} ({_points(one.interval)})"
    return (arm, one.other, gap, f"{one.wins} / {one.losses}", f"{p:.3f}", verdict)


def _renamed(
    arm: str, first: tuple[RecipeRun, Record], rest: Sequence[tuple[RecipeRun, Record]]
) -> list[tuple[str, Comparison]]:
    """Return an arm's comparisons with itself under the names of the other runs."""
    scores = {heading(run, record): _scores(record)[arm] for run, record in (first, *rest) if arm in _scores(record)}
    groups = {one["id"]: one["group"] for one in first[1]["samples"]}
    if len(scores) < 2:
        return []
    grouped = groups if any(groups.values()) else None
    binary = load_task(first[1]["task"]["name"]).metric in RIGHT_OR_WRONG
    return [(arm, one) for one in compare_arms(heading(*first), scores, groups=grouped, binary=binary)]


def _scores(record: Record) -> dict[str, dict[str, float]]:
    task = load_task(record["task"]["name"])
    outcomes = [Outcome.from_json(sample) for sample in record["samples"]]
    return {arm.name: sample_means(of_arm, task) for arm, of_arm in arms_of(outcomes).items()}


def heading(run: RecipeRun, record: Record, *, whole: bool = False) -> str:
    """Return a run's title (what stands before its colon, unless the `whole` is asked for) and any stand-in's."""
    title = run.title if whole else run.title.split(":")[0]
    stand_in = record["data"]["source"] != run.data
    return f"{title} (here: {record['data']['title']})" if stand_in else title


def _points(interval: Sequence[float]) -> str:
    return f"{100 * interval[0]:+.1f} to {100 * interval[1]:+.1f}"


def _other_model(record: Record) -> str:
    return (
        f"Ours are of the model {record['model'].get('name', 'unknown')}; the published system was another. "
        "Compare strategies within one model, not figures across models."
    )


def _figures(row: Record) -> tuple[str, str]:
    macro = row.get("macro_f1")
    accuracy = f"{row['accuracy']:.3f} ({span(row['accuracy_interval'])})" if row["accuracy"] is not None else "–"
    return accuracy, "–" if macro is None else f"{macro:.3f}"


def markdown(recipe: Recipe, runs: Sequence[tuple[RecipeRun, Record]], notes: Sequence[str] = ()) -> str:
    """Return the report of a recipe as Markdown: flaws, published figures, then ours of all runs in one table."""
    blocks = [f"# {recipe.title}", recipe.about, f"Source: {recipe.source}."]
    blocks += bullets(FLAWS, recipe.flaws)
    published = published_part(recipe)
    blocks += part_blocks(published) if published else []
    paired = author_part(recipe)
    blocks += part_blocks(paired) if paired else []
    if runs:
        titles = [heading(run, record) for run, record in runs]
        blocks += ["## Ours", markdown_table([record for _, record in runs], titles).strip()]
    across = across_part(runs)
    blocks += part_blocks(across) if across else []
    for run, record in runs:
        beside = beside_part(run, record)
        blocks += part_blocks(beside, f": {heading(run, record, whole=True)}") if beside else []
    blocks += [block for run, record in runs for block in part_blocks(detail_part(run, record))]
    for run, record in runs:
        blocks += bullets(f"Notes: {heading(run, record, whole=True)}", record.get("notes") or ())
    blocks += bullets("Left out", notes)
    return "\n\n".join(blocks) + "\n"


def bullets(title: str, sentences: Sequence[str]) -> list[str]:
    """Return a heading and a list, or nothing if the list is empty."""
    return [f"## {title}", "\n".join(f"- {sentence}" for sentence in sentences)] if sentences else []


def part_blocks(part: Part, suffix: str = "") -> list[str]:
    """Return a section as blocks of Markdown."""
    lines = [part.heads, ["---"] * len(part.heads), *part.rows]
    table = "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
    return [f"## {part.title}{suffix}", *part.sentences, table]
