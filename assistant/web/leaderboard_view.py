"""The leaderboard of a run as HTML: figures with their intervals, and what the statistics allow to be said."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from assistant.evaluation.outcomes import CLASSIFIER
from assistant.evaluation.reports import words
from assistant.prompting.strategies import STRATEGIES
from assistant.web.markup import chip, esc, fold, plural

Record = Mapping[str, Any]

_BASELINES = {
    "majority": "the most frequent label",
    "knn-vote": "a vote of the nearest rows",
    "logistic-regression": "logistic regression on embeddings",
}
_READINGS = {"labels": "most likely label", "generate": "generated"}
_OTHER_FIGURES = (
    ("macro_f1", "macro F1"),
    ("roc_auc", "ROC-AUC"),
    ("brier", "Brier"),
    ("exact_match", "exact match"),
    ("token_f1", "token F1"),
    ("rouge1", "ROUGE-1"),
    ("rouge2", "ROUGE-2"),
    ("rougeL", "ROUGE-L"),
    ("bleu", "BLEU"),
    ("number_match", "number match"),
    ("pearson", "Pearson"),
    ("spearman", "Spearman"),
)
_NOT_SHARES = ("brier", "bleu", "pearson", "spearman")


def figure(row: Record) -> tuple[float | None, Sequence[float] | None]:
    """Return the row's first figure and its interval: accuracy, or the mean score where nothing is right or wrong."""
    if row.get("accuracy") is not None:
        return row["accuracy"], row.get("accuracy_interval")
    return row.get("score"), row.get("score_interval")


def percent(value: float | None) -> str:
    """Return `83.3 %`, or a dash for nothing."""
    return "–" if value is None else f"{100 * value:.1f} %"


def leaderboard_html(run: Record) -> str:
    """Return the leaderboard: one row per strategy, those without a language model last."""
    rows = run["results"]
    verdicts = {pair["b"]: pair for pair in run.get("pairs") or ()}
    measure = f"{words.measure_name(run)} with 95 % interval"
    heads = ("Strategy", measure, "Other figures", "Unreadable", "Cost per answer", "Verdict")
    head = "".join(f'<th scope="col">{esc(one)}</th>' for one in heads)
    body = "".join(_row(row, run, verdicts.get(row["name"]), heads) for row in rows)
    return (
        f'<table class="sw-table sw-board"><caption class="sw-sr">Figures of {len(rows)} strategies</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    )


def _row(row: Record, run: Record, pair: Record | None, heads: Sequence[str]) -> str:
    cells = (_figure(row), _other(row), _unreadable(row), _cost(row), _verdict(row, run, pair))
    named = zip(heads[1:], cells, strict=True)
    body = "".join(f'<td data-head="{esc(head)}">{cell}</td>' for head, cell in named)
    kind = " sw-plain-row" if row.get("kind") == "baseline" else ""
    return f'<tr class="{kind}"><th scope="row">{_name(row)}</th>{body}</tr>'


def _name(row: Record) -> str:
    strategy = STRATEGIES.get(row["strategy"])
    if row.get("kind") == "baseline":
        own = "a classifier trained here" if row["strategy"].startswith(CLASSIFIER) else ""
        about = [_BASELINES.get(row["strategy"], own), "no language model"]
    else:
        about = [strategy.title if strategy else "", _READINGS.get(row["reading"], "")]
    if row.get("calibration", "none") != "none":
        about.append(f"calibrated: {row['calibration']}")
    if len(row.get("seeds") or ()) > 1:
        about.append(f"{len(row['seeds'])} seeds")
    return f'{esc(row["name"])}<span class="sw-under">{esc(", ".join(filter(None, about)))}</span>'


def _figure(row: Record) -> str:
    value, interval = figure(row)
    if value is None:
        return "–"
    if not interval:
        return f"<b>{percent(value)}</b>"
    low, mean, high = (100 * min(max(one, 0.0), 1.0) for one in (interval[0], value, interval[1]))
    bar = (
        f'<span class="sw-interval" aria-hidden="true"><i style="left:{low:.1f}%;width:{high - low:.1f}%"></i>'
        f'<b style="left:{mean:.1f}%"></b></span>'
    )
    return (
        f'<b>{percent(value)}</b> <span class="sw-range">{100 * interval[0]:.1f} to {100 * interval[1]:.1f}</span>{bar}'
    )


def _other(row: Record) -> str:
    shown = []
    for key, name in _OTHER_FIGURES:
        value = row.get(key)
        if value is not None:
            text = f"{value:.2f}" if key in _NOT_SHARES else f"{100 * value:.1f}"
            shown.append(f'<span class="sw-nowrap">{esc(name)} <b>{text}</b></span>')
    return " ".join(shown) or "–"


def _unreadable(row: Record) -> str:
    failures, answers = row.get("parse_failures") or 0, row.get("answers") or row["n"]
    return f"{failures:,} of {answers:,}" if failures else "none"


def _cost(row: Record) -> str:
    answers = row.get("answers") or row["n"]
    if row.get("kind") == "baseline" or not answers:
        return "–"
    tokens = f"{(row['prompt_tokens'] + row['new_tokens']) / answers:,.0f} tokens"
    spent = (tokens, words.seconds(row["seconds"] / answers))
    return " ".join(f'<span class="sw-nowrap">{one}</span>' for one in spent)


def _verdict(row: Record, run: Record, pair: Record | None) -> str:
    if row["name"] == run.get("baseline"):
        return chip("baseline", "quiet", "the others are compared with this one")
    if pair is None:
        return "–"
    verdict = str(pair["verdict"])
    if verdict == "better":
        return chip("better", "on", verdict)
    if verdict == "worse":
        return chip("worse", "label-1", verdict)
    return f'<span class="sw-under">{esc(verdict)}</span>'


def verdict_html(run: Record) -> str:
    """Return what may be said: what a reader must know first, the verdict, and how each was compared."""
    warned = "".join(f'<p class="sw-chip warn">{esc(one)}</p>' for one in words.warnings(run))
    lead, *more = words.headline(run)
    said = "".join(f'<p class="sw-lead">{esc(one)}</p>' for one in more)
    details = "".join(f"<li>{esc(words.pair_sentence(pair))}</li>" for pair in run.get("pairs") or ())
    table = fold("How each was compared", f'<ul class="sw-pairs">{details}</ul>') if details else ""
    return f'<div class="sw-said">{warned}<p class="sw-headline">{esc(lead)}</p>{said}{table}</div>'


def facts_html(run: Record, title: str) -> str:
    """Return what was evaluated, in one line of facts, and whether it is complete."""
    task, data, model = run.get("task") or {}, run.get("data") or {}, run.get("model") or {}
    facts = [
        plural(int(data.get("n") or 0), "sample"),
        f"task {task.get('name', '')}",
        f"model {model.get('name', '')}" + (f" with adapter {model['adapter']}" if model.get("adapter") else ""),
    ]
    index = run.get("index") or {}
    if index.get("name"):
        facts.append(f"index {index['name']}")
    if run.get("created"):
        facts.append(when(run["created"]))
    unfinished = "" if run.get("finished") else chip("not finished: figures of what is done", "warn")
    chips = "".join(chip(fact, "quiet") for fact in facts)
    facts_line = f'<div class="sw-verdict">{unfinished}{chips}</div>'
    return f'<div class="sw-run-head"><h2 class="sw-side">{esc(title)}</h2>{facts_line}</div>'


def when(moment: float | str) -> str:
    """Return a time of day with its date; text is given back as it is."""
    if isinstance(moment, str):
        return moment.replace("T", " ")[:16]
    that = time.localtime(moment)
    return time.strftime("%d %b, %H:%M" if that.tm_year == time.localtime().tm_year else "%d %b %Y", that)


def checks_html(run: Record) -> str:
    """Return what could not be read, what the leak guard kept out, and what a reader should know."""
    known = [*words.warnings(run), *(run.get("notes") or ()), *((run.get("power") or {}).get("sentences") or ())]
    items = "".join(f"<li>{esc(one)}</li>" for one in known)
    title = '<h3 class="sw-side">To know before believing a figure</h3>'
    parts = [f'<section>{title}<ul class="sw-pairs">{items}</ul></section>']
    unread, kept = "Replies that could not be read", "Rows kept out of the prompts by the leak guard"
    parts.append(_counts(unread, words.failures(run), "Every reply could be read."))
    parts.append(_counts(kept, words.kept_out(run), "Nothing had to be kept out."))
    return f'<div class="sw-checks">{"".join(parts)}</div>'


def _counts(title: str, found: Sequence[tuple[str, str, int]], none: str) -> str:
    if not found:
        return f'<section><h3 class="sw-side">{esc(title)}</h3><p class="sw-lead">{esc(none)}</p></section>'
    body = "".join(
        f'<tr><th scope="row">{esc(name)}</th><td>{esc(reason)}</td><td>{count:,}</td></tr>'
        for name, reason, count in found
    )
    head = "".join(f'<th scope="col">{one}</th>' for one in ("Strategy", "Reason", "Times"))
    return (
        f'<section><h3 class="sw-side">{esc(title)}</h3><div class="sw-scroll"><table class="sw-table">'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div></section>"
    )
