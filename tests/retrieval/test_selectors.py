"""The contract of every selector, and what each of them is for."""

import json
from dataclasses import replace

import numpy as np
import pytest

from assistant.data import Fields
from assistant.errors import IndexNotFound, SettingError, UnknownName
from assistant.records import Demonstration, Hit, Query
from assistant.retrieval.index import DemonstrationIndex, build_index
from assistant.retrieval.selectors import Pool, arrange, select
from assistant.settings import ORDERS, SELECTORS, GuardSettings, RetrievalSettings

LABELS = ("negative", "positive")
QUESTION = Query({"text": "a gorgeous film about a long journey"})
FIXED = tuple(Demonstration(f"f{n}", {"text": f"fixed text number {n}"}, LABELS[n % 2]) for n in range(6))
SHOWING = [name for name in SELECTORS if name != "none"]
SEARCHING = ["nearest", "diverse", "balanced", "bm25"]


@pytest.fixture
def pool(index):
    return Pool(index, FIXED)


def chosen(name, pool, query=QUESTION, seed=0, banned=(), pinned=(), **settings):
    return select(
        name, query, pool, RetrievalSettings(**settings), seed=seed, labels=LABELS, banned=banned, pinned=pinned
    )


def ids(selection):
    return [hit.demonstration.id for hit in selection.hits]


@pytest.mark.parametrize("name", SELECTORS)
@pytest.mark.parametrize("k", [0, 1, 4, 7, 64])
def test_hits_are_ranked_from_one_and_never_repeat(pool, name, k):
    selection = chosen(name, pool, k=k)
    available = {"none": 0, "fixed": len(FIXED)}.get(name, 32)
    assert len(selection.hits) == min(k, available)
    assert [hit.rank for hit in selection.hits] == list(range(1, len(selection.hits) + 1))
    assert len(set(ids(selection))) == len(selection.hits)


@pytest.mark.parametrize("name", SELECTORS)
def test_the_same_question_gets_the_same_hits(pool, name):
    assert chosen(name, pool, k=5, seed=3) == chosen(name, pool, k=5, seed=3)


@pytest.mark.parametrize("name", SELECTORS)
@pytest.mark.parametrize("text", ["", "!!!", "日本語", "x" * 20_000, "{text} %s {{ x }}", "<|user|>"])
def test_any_question_is_survived(pool, name, text):
    assert len(chosen(name, pool, Query({"text": text}), k=3).hits) == (0 if name == "none" else 3)


@pytest.mark.parametrize("name", SHOWING)
def test_a_planted_copy_is_never_shown(home, name, rows):
    question = "an unforgettable journey across the frozen sea with two old friends"
    copies = [question, question.upper() + "!", question + " .", question.replace("frozen", "frozn")]
    path = home / "planted.jsonl"
    planted = [{"id": f"copy{n}", "text": text, "label": n % 2, "film": ""} for n, text in enumerate(copies)]
    path.write_text("".join(json.dumps(row) + "\n" for row in planted + rows))
    build_index(
        str(path), "planted", Fields(("text",), "label"), encoder="toy", labels={"0": "negative", "1": "positive"}
    )
    fixed = tuple(Demonstration(f"copy{n}", {"text": text}, "positive") for n, text in enumerate(copies)) + FIXED
    pool = Pool(DemonstrationIndex.open("planted"), fixed)
    for seed in range(8):
        selection = chosen(name, pool, Query({"text": question}), seed=seed, k=10, candidates=10)
        assert not any(identity.startswith("copy") for identity in ids(selection))
        if name != "random":
            assert {one.demonstration.id for one in selection.excluded} == {"copy0", "copy1", "copy2", "copy3"}
            assert all("question" in one.reason for one in selection.excluded)


@pytest.mark.parametrize("name", SHOWING)
def test_banned_rows_are_kept_out_and_named_so(pool, name):
    first = ids(chosen(name, pool, k=3))
    selection = chosen(name, pool, k=3, banned=first[:2])
    assert not set(first[:2]) & set(ids(selection))
    assert len(selection.hits) == 3
    assert {one.demonstration.id: one.reason for one in selection.excluded} == dict.fromkeys(first[:2], "banned")


@pytest.mark.parametrize("name", SHOWING)
def test_pinned_rows_come_first_and_count(pool, name):
    selection = chosen(name, pool, k=3, pinned=["r17", "f2"])
    assert ids(selection)[:2] == ["r17", "f2"]
    assert len(selection.hits) == 3
    assert ids(chosen(name, pool, k=1, pinned=["r17", "f2"])) == ["r17"]


def test_a_pin_cannot_undo_the_guard(pool):
    question = Query(dict(pool.index.demonstration(5).inputs))
    selection = chosen("nearest", pool, question, pinned=["r5"])
    assert "r5" not in ids(selection)
    assert selection.excluded[0].reason == "the same text as the question"


def test_pinning_what_is_not_there_is_an_error(pool):
    with pytest.raises(SettingError, match="'r99'"):
        chosen("nearest", pool, pinned=["r99"])


@pytest.mark.parametrize("name", SEARCHING)
def test_what_the_task_cannot_use_is_excluded_with_its_reason(index, name):
    def adapt(shown):
        return "too long for the task" if "winter" in shown.text() else replace(shown, inputs={"review": shown.text()})

    query = Query({"text": "a gorgeous film on a long winter night"})
    selection = chosen(name, Pool(index, adapt=adapt), query, k=4)
    assert all(list(hit.demonstration.inputs) == ["review"] for hit in selection.hits)
    assert len(selection.hits) == 4
    assert "too long for the task" in {one.reason for one in selection.excluded}


def test_an_index_that_does_not_fit_the_task_at_all_gives_no_hits(index):
    selection = chosen("nearest", Pool(index, adapt=lambda shown: "no field 'question'"))
    assert selection.hits == ()
    assert len(selection.excluded) == 32


def test_nearest_equals_the_plain_search(pool):
    found = chosen("nearest", pool, k=6, guard=GuardSettings(enabled=False))
    plain = pool.index.search(QUESTION.text(), 6)
    assert found.hits == plain
    assert found.excluded == ()


def test_nearest_fetches_further_until_k_pass_the_guard(index):
    query = Query({"text": "a gorgeous film about love"}, group="m0")
    selection = chosen("nearest", Pool(index), query, k=28, candidates=1)
    assert len(selection.hits) == 28
    assert {one.demonstration.group for one in selection.excluded} == {"m0"}


def test_a_wider_search_that_orders_equal_rows_otherwise_loses_none(pool, index, monkeypatch):
    def nearest(embedding, n):
        rows = np.arange(min(n, len(index)))
        rows = rows if n <= 4 else np.roll(rows, 3)
        return np.zeros((1, len(rows)), dtype=np.float32), rows[None]

    monkeypatch.setattr(index, "nearest", nearest)
    selection = chosen("nearest", pool, k=2, candidates=4, banned=[f"r{n}" for n in range(30)])
    assert ids(selection) == ["r30", "r31"]
    excluded = [kept.demonstration.id for kept in selection.excluded]
    assert len(excluded) == len(set(excluded))


def test_only_what_would_have_been_shown_is_reported(pool):
    query = Query({"text": "a gorgeous film about love"}, id="r31")
    near = chosen("nearest", pool, query, k=2)
    assert "r31" not in {one.demonstration.id for one in near.excluded}
    assert "r31" in {one.demonstration.id for one in chosen("nearest", pool, query, k=31).excluded}


def test_random_depends_on_the_seed_and_not_on_the_question(pool):
    draws = [ids(chosen("random", pool, k=5, seed=seed)) for seed in range(5)]
    assert len({tuple(draw) for draw in draws}) == 5
    assert ids(chosen("random", pool, Query({"text": "quarterly tax returns"}), k=5, seed=2)) == draws[2]
    assert ids(chosen("random", pool, k=3, seed=2)) == draws[2][:3]


def test_random_is_fair(pool):
    counts = dict.fromkeys(range(32), 0)
    for seed in range(600):
        for identity in ids(chosen("random", pool, k=4, seed=seed, guard=GuardSettings(enabled=False))):
            counts[int(identity[1:])] += 1
    expected = 600 * 4 / 32
    chi_squared = sum((count - expected) ** 2 / expected for count in counts.values())
    assert chi_squared < 61.1  # 0.999 quantile with 31 degrees of freedom


def test_random_without_an_index_draws_from_the_fixed_ones():
    assert set(ids(chosen("random", Pool(fixed=FIXED), k=3))) <= {shown.id for shown in FIXED}


def test_fixed_ones_come_in_the_order_they_were_written(pool):
    assert ids(chosen("fixed", pool, k=3)) == ["f0", "f1", "f2"]


def mmr(relevance, alike, weight, k):
    picked = []
    while len(picked) < k:
        rest = [at for at in range(len(relevance)) if at not in picked]
        picked.append(
            max(
                rest,
                key=lambda at: weight * relevance[at] - (1 - weight) * max((alike[at][b] for b in picked), default=0),
            )
        )
    return picked


@pytest.mark.parametrize("diversity", [0.0, 0.3, 0.5, 0.9])
def test_diverse_equals_the_definition_of_mmr(pool, diversity):
    index = pool.index
    candidates = index.search(QUESTION.text(), 12)
    numbers = [index.row_of(hit.demonstration.id) for hit in candidates]
    vectors = index.vectors(numbers).astype(np.float64)
    expected = mmr([hit.similarity for hit in candidates], vectors @ vectors.T, 1 - diversity, 5)
    found = chosen("diverse", pool, k=5, candidates=12, diversity=diversity)
    assert ids(found) == [candidates[at].demonstration.id for at in expected]


def test_without_diversity_diverse_is_nearest(pool):
    assert ids(chosen("diverse", pool, k=5, diversity=0.0)) == ids(chosen("nearest", pool, k=5))


@pytest.mark.parametrize("k", [1, 2, 3, 4, 5, 8])
def test_balanced_shows_every_label_equally_often(pool, k):
    selection = chosen("balanced", pool, k=k)
    counts = [sum(hit.demonstration.output == label for hit in selection.hits) for label in LABELS]
    assert max(counts) - min(counts) <= k % 2
    similarities = [hit.similarity for hit in selection.hits]
    assert similarities == sorted(similarities, reverse=True)
    for label in LABELS:
        of_label = [hit.demonstration.id for hit in selection.hits if hit.demonstration.output == label]
        nearest = [
            hit.demonstration.id for hit in pool.index.search(QUESTION.text(), 32) if hit.demonstration.output == label
        ]
        assert of_label == nearest[: len(of_label)]


def test_balanced_fills_up_with_the_nearest_where_a_label_is_missing(pool):
    selection = select("balanced", QUESTION, pool, RetrievalSettings(k=4), labels=("positive", "neutral"))
    assert len(selection.hits) == 4
    assert sum(hit.demonstration.output == "positive" for hit in selection.hits) >= 2


def test_balanced_without_labels_is_an_error(pool):
    with pytest.raises(SettingError, match="labels"):
        select("balanced", QUESTION, pool, RetrievalSettings())


def test_bm25_shows_the_rows_that_share_the_questions_rare_words_first(pool):
    found = chosen("bm25", pool, Query({"text": "the CIRCUS, winter"}), k=8)
    subjects = [hit.demonstration.text() for hit in found.hits]
    assert all(("circus" in text) or ("winter" in text) for text in subjects)
    assert all(hit.similarity is not None for hit in found.hits)


def test_bm25_follows_the_scores_of_its_index(pool):
    order = [pool.index.demonstration(int(row)).id for row in pool.index.by_words(QUESTION.text())]
    found = chosen("bm25", pool, k=6, guard=GuardSettings(enabled=False))
    assert ids(found) == order[:6]
    assert sorted(order) == sorted(f"r{n}" for n in range(32))


@pytest.mark.parametrize("name", SEARCHING)
def test_a_selector_that_searches_needs_an_index(name):
    with pytest.raises(IndexNotFound) as caught:
        chosen(name, Pool(fixed=FIXED))
    assert "--index" in caught.value.hint


def test_an_unknown_selector_names_those_there_are(pool):
    with pytest.raises(UnknownName, match="nearest"):
        chosen("nearst", pool)


def test_the_nearest_demonstration_is_shown_last_unless_told_otherwise():
    hits = tuple(Hit(shown, rank) for rank, shown in enumerate(FIXED, start=1))
    assert [hit.rank for hit in arrange(hits, RetrievalSettings().order, 0)] == [6, 5, 4, 3, 2, 1]
    assert [hit.rank for hit in arrange(hits, "nearest-first", 0)] == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("order", ORDERS)
def test_arranging_keeps_every_hit_and_ignores_their_order(order):
    hits = tuple(Hit(shown, rank) for rank, shown in enumerate(FIXED, start=1))
    arranged = arrange(hits, order, 7)
    assert sorted(hit.rank for hit in arranged) == [1, 2, 3, 4, 5, 6]
    assert arrange(hits[::-1], order, 7) == arranged
    assert arrange((), order, 7) == ()


def test_random_order_follows_the_seed():
    hits = tuple(Hit(shown, rank) for rank, shown in enumerate(FIXED, start=1))
    assert len({tuple(hit.rank for hit in arrange(hits, "random", seed)) for seed in range(10)}) > 5


def test_an_unknown_order_names_those_there_are():
    with pytest.raises(UnknownName, match="nearest-last"):
        arrange((), "backwards", 0)
