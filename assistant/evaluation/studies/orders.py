"""All orders of the demonstrations, asked: what the order lottery is drawn from.

Every sample's demonstrations are put into all k! orders (k ≤ 4), and the labels are scored under
each. An order is a permutation of ranks (retrieved demonstrations) or of places in the task's list
(fixed ones), so that the same order means the same for all samples.

Source: Lu et al. 2021, Fantastically Ordered Prompts and Where to Find Them.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations

from assistant.answering import Assistant, Request
from assistant.errors import SettingError
from assistant.evaluation.outcomes import Arm, Sample
from assistant.evaluation.running.answers import message_of
from assistant.evaluation.studies.study import Records, Study, in_blocks
from assistant.prompting.building import label_replies
from assistant.prompting.strategies import find_strategy
from assistant.records import RenderedPrompt

MOST_DEMONSTRATIONS = 4
"""5 demonstrations have 120 orders, a lottery that nobody waits for."""
_SAMPLES_AT_ONCE = 8


def check_orders(study: Study, arm: Arm) -> None:
    """Refuse a strategy or a number of demonstrations whose orders cannot be told apart or are too many.

    Raises:
        SettingError: saying what to choose instead.
    """
    strategy, k = find_strategy(arm.strategy), study.retrieval.k
    if not study.task.labels:
        raise SettingError(
            f"The order lottery scores labels, and the task '{study.task.name}' has none.", "Choose a task with labels."
        )
    if strategy.selector == "none":
        raise SettingError(
            f"The strategy '{strategy.name}' shows no demonstrations, so there is no order.",
            "Choose static-few-shot or dynamic-few-shot.",
        )
    if strategy.reasoning == "shown" or strategy.template:
        raise SettingError(
            f"The labels of '{strategy.name}' cannot be scored in another order.",
            "Choose static-few-shot or dynamic-few-shot.",
        )
    if not 2 <= k <= MOST_DEMONSTRATIONS:
        raise SettingError(
            f"The order lottery tries all orders, so it needs 2 to {MOST_DEMONSTRATIONS} demonstrations, not {k}.",
            f"Say --k {MOST_DEMONSTRATIONS}, or fewer.",
        )


def score_orders(study: Study, arm: Arm) -> Records:
    """Return per sample the shown order and the label scores under every order, as plain data.

    Each record has `id`, `group`, `gold` (labels), `shown` (ranks), `orders` and `scores`: one list of
    log-likelihoods per order, in the order of the task's labels.
    """
    check_orders(study, arm)

    def score(samples: Sequence[Sample]) -> Records:
        return _scored(study, arm, samples)

    name = f"{arm.strategy}, all orders"
    return in_blocks(study, {name: score}, size=_SAMPLES_AT_ONCE)[name]


def _scored(study: Study, arm: Arm, samples: Sequence[Sample]) -> Records:
    """Return the records of one block; all prompts of the block are scored in one batch."""
    requests = [_request(study, arm, sample) for sample in samples]
    study.assistant.embed_ahead(requests)
    prompts: list[RenderedPrompt] = []
    records: Records = []
    for sample, request in zip(samples, requests, strict=True):
        shown, orders, rendered = _reordered(study.assistant, request)
        prompts += rendered
        records.append({"id": sample.id, "group": sample.group, "gold": list(sample.targets), "shown": shown})
        records[-1]["orders"] = orders
    replies = list(label_replies(study.task, find_strategy(arm.strategy)).values())
    scored = study.assistant.model.score_labels(prompts, [replies] * len(prompts), study.stop)
    if not all(scored):
        return []
    each = iter(scored)
    for record in records:
        record["scores"] = [list(next(each)) for _ in record["orders"]]
    return records


def _request(study: Study, arm: Arm, sample: Sample) -> Request:
    return Request(
        message=message_of(study.task, sample),
        strategy=arm.strategy,
        task=study.task.name,
        index=study.index,
        wording=study.wording,
        retrieval=study.retrieval,
        sampling=study.sampling,
        reading="labels",
        sample_id=sample.id,
        group=sample.group,
    )


def _reordered(assistant: Assistant, request: Request) -> tuple[list[int], list[list[int]], list[RenderedPrompt]]:
    """Return the shown order, all orders, and the prompt of each."""
    prepared = assistant.prepare(request)
    by_rank = {hit.rank: hit.demonstration for hit in prepared.selection.hits}
    ranks = {demonstration.id: rank for rank, demonstration in by_rank.items()}
    shown = [ranks[demonstration.id] for demonstration in prepared.shown]
    orders = [list(order) for order in permutations(sorted(by_rank))]
    rendered = [assistant.rebuild(request, prepared, [by_rank[rank] for rank in order]) for order in orders]
    return shown, orders, rendered
