import json

import pytest

from assistant.answering import Assistant
from assistant.data import Fields
from assistant.errors import SettingError
from assistant.evaluation.outcomes import Arm, Outcome, Sample
from assistant.evaluation.statistics.intervals import wilson
from assistant.evaluation.studies.leakage import (
    CEILINGS,
    VOTE,
    corrected,
    examine,
    guard_at,
    kind_of,
    near_copies,
    owed_to_copies,
    plain,
    similarity_bands,
    verdict,
    xray,
)
from assistant.evaluation.studies.study import Study
from assistant.generation.chat_model import ScriptedModel
from assistant.prompting.tasks import load_task
from assistant.records import Demonstration, Query
from assistant.retrieval.guard import LeakGuard
from assistant.retrieval.index import DemonstrationIndex, build_index
from assistant.settings import GuardSettings, RetrievalSettings

TASK = load_task("sentiment")
ARM = Arm("dynamic-few-shot", "generate")
WORDS = (
    *("amber", "birch", "cedar", "delta", "ember", "fjord", "grove", "heron"),
    *("inlet", "jetty", "knoll", "larch", "maple", "north", "ocean", "pearl"),
)
COPIED, N = 6, 16


def planted(home, copied=COPIED):
    """Return samples and an index: copies of some samples, and one similar row of the wrong label for each."""
    texts = [f"{word} {word[::-1]} the film of {word * 2} number {at}" for at, word in enumerate(WORDS)]
    samples = [Sample(f"s{at}", {"text": text}, ("positive",)) for at, text in enumerate(texts[:N])]
    rows = [(f"copy{at}", text, "positive") for at, text in enumerate(texts[:copied])]
    rows += [(f"other{at}", f"{word} {word[::-1]} {word * 2} unseen", "negative") for at, word in enumerate(WORDS)]
    path = home / "pool.jsonl"
    keys = ("id", "text", "label")
    path.write_text("\n".join(json.dumps(dict(zip(keys, row, strict=True))) for row in rows), encoding="utf-8")
    build_index(str(path), "pool", Fields(("text",), "label", id="id"), task="sentiment", encoder="toy")
    return samples, DemonstrationIndex.open("pool")


@pytest.fixture
def leaky(home):
    samples, _ = planted(home)
    # The scripted model repeats the label of the nearest demonstration, which is shown last.
    return Study(Assistant(ScriptedModel()), TASK, samples, "pool", RetrievalSettings(k=1))


def outcome(sample="s", correct=True, nearest=0.5, excluded=(), group=""):
    return Outcome(
        sample, "dynamic-few-shot", "generate", 0, ("positive",), "positive" if correct else "negative", correct,
        float(correct), excluded=excluded, nearest_similarity=nearest, group=group,
    )  # fmt: skip


def test_planted_copies_inflate_the_accuracy_by_exactly_what_is_found(leaky):
    found = xray(leaky, ARM)
    for name in (ARM.name, VOTE):
        seen = examine(name, found[name], 0.95)
        assert (seen.share.unguarded, seen.share.adjusted) == (COPIED / N, 0)
        assert seen.share.owed == COPIED / N
        assert (seen.share.lost, seen.share.gained) == (COPIED, 0)
        assert seen.share.interval.low > 0
        assert "are owed to near-copies" in verdict(seen)
        assert [one.tau for one in seen.ceilings] == list(CEILINGS)
        assert [one.accuracy for one in seen.ceilings] == [COPIED / N, 0, 0, 0]
        assert [one.samples_touched for one in seen.ceilings][:2] == [0, COPIED]
        assert seen.ceilings[1].reasons == {"same text": COPIED}


def test_without_copies_nothing_is_owed_to_them(home):
    samples, _ = planted(home, copied=0)
    study = Study(Assistant(ScriptedModel()), TASK, samples, "pool", RetrievalSettings(k=1))
    seen = examine(ARM.name, xray(study, ARM)[ARM.name], 0.95)
    assert (seen.share.owed, seen.share.p_value) == (0, 1)
    assert "no share owed to near-copies can be measured with n = 16" in verdict(seen)


def test_every_planted_copy_is_listed_with_both_texts_and_labels(leaky):
    guarded = xray(leaky, ARM)[ARM.name][0.95]
    index = leaky.open_index()
    rows = {index.demonstration(row).id: index.demonstration(row) for row in range(len(index))}
    listed = near_copies(leaky.samples, guarded, rows.get)
    assert sorted((one.sample, one.row) for one in listed) == [(f"s{at}", f"copy{at}") for at in range(COPIED)]
    assert all(one.sample_text == one.row_text and one.similarity == pytest.approx(1) for one in listed)
    assert {(one.sample_label, one.row_label) for one in listed} == {("positive", "positive")}


def test_the_worst_copies_fill_the_last_band(leaky):
    bands = examine(ARM.name, xray(leaky, ARM)[ARM.name], 0.95).bands
    assert (bands[-1].low, bands[-1].n, bands[-1].accuracy) == (0.95, COPIED, 1)
    assert sum(band.n for band in bands) == N
    assert all(band.accuracy == 0 for band in bands[:-1])


def test_a_band_includes_its_lower_end_and_the_last_one_everything_above():
    near = (0.1, 0.5, 0.9, 0.95, 1.0, 1.0000001)
    bands = similarity_bands([outcome(f"s{at}", at % 2 == 0, one) for at, one in enumerate(near)], (-1, 0.5, 0.95, 1))
    assert [(band.low, band.high, band.n) for band in bands] == [(-1, 0.5, 1), (0.5, 0.95, 2), (0.95, 1, 3)]
    assert [band.accuracy for band in bands] == [1, 0.5, pytest.approx(1 / 3)]
    assert bands[1].interval == wilson(1, 2)


def test_a_sample_for_which_nothing_was_searched_is_in_no_band():
    assert similarity_bands([outcome(nearest=None)]) == ()


def test_bands_of_grouped_samples_resample_the_groups():
    outcomes = [outcome(f"s{at}", at < 10, 0.5, group=f"film {at // 10}") for at in range(20)]
    (grouped,) = similarity_bands(outcomes)
    assert (grouped.interval.low, grouped.interval.high) == (0, 1)


def test_the_share_is_paired_by_sample():
    free = [outcome(f"s{at}", at < 7) for at in range(10)]
    guarded = [outcome(f"s{at}", at in (0, 1, 2, 3, 9)) for at in range(10)]
    share = owed_to_copies(free, guarded, 0.9)
    assert (share.lost, share.gained) == (3, 1)
    assert share.owed == pytest.approx(0.2)
    assert share.p_value == pytest.approx(0.625)


def test_the_share_of_one_group_is_no_proof():
    free = [outcome(f"s{at}", True, group="film" if at < 12 else f"other {at}") for at in range(30)]
    guarded = [outcome(f"s{at}", at >= 12, group=one.group) for at, one in enumerate(free)]
    assert owed_to_copies(free, guarded, 0.9).p_value == 1  # twelve samples, but one group


def test_shares_examined_together_are_corrected_together():
    free = [outcome(f"s{at}") for at in range(40)]
    few = [outcome(f"s{at}", at >= 6) for at in range(40)]
    one = examine("one", {1.0: free, 0.9: few}, 0.9)
    assert "are owed to near-copies" in verdict(one)
    both = corrected([one, examine("vote", {1.0: free, 0.9: few}, 0.9)])
    assert [seen.share.p_holm for seen in both] == [2 * one.share.p_value] * 2
    assert all("no share owed" in verdict(seen) for seen in both)


@pytest.mark.parametrize(
    ("query", "row", "cosine", "kind"),
    [
        (Query({"text": "a"}, id="1"), Demonstration("1", {"text": "b"}, "x"), 0, "same id"),
        (Query({"text": "a"}, group="g"), Demonstration("1", {"text": "b"}, "x", group="g"), 0, "same group"),
        (Query({"text": "A film!"}), Demonstration("1", {"text": "a film"}, "x"), 0, "same text"),
        (Query({"text": "a film"}), Demonstration("1", {"text": "other"}, "x"), 0.97, "cosine"),
        (Query({"text": "one long film about us"}), Demonstration("1", {"text": "one long film about u"}, "x"), 0,
         "near letters"),
        (Query({"a": "same", "b": "this"}), Demonstration("1", {"a": "same", "b": "that"}, "x"), 0, "half of a pair"),
        (Query({"a": "one long film about us", "b": "x"}),
         Demonstration("1", {"a": "one long film about u", "b": "completely different"}, "x"), 0, "half of a pair"),
    ],
)  # fmt: skip
def test_every_reason_of_the_guard_has_its_kind(query, row, cosine, kind):
    assert kind_of(LeakGuard(GuardSettings()).check(query, row, cosine)) == kind


@pytest.mark.parametrize("reason", ["banned", "it has no rationale", ""])
def test_what_is_no_copy_has_no_kind(reason):
    assert kind_of(reason) == ""
    seen = examine("a", {0.95: [outcome(excluded=(("1", reason, 0.99),))]}, 0.95)
    assert (seen.ceilings[0].reasons, seen.ceilings[0].samples_touched) == ({}, 0)


def test_a_ceiling_of_one_is_no_guard_at_all():
    assert not guard_at(1.0).enabled
    assert (guard_at(0.9).enabled, guard_at(0.9).cosine) == (True, 0.9)


def test_a_strategy_that_does_not_search_cannot_leak(leaky):
    with pytest.raises(SettingError, match="no copy can leak"):
        xray(leaky, Arm("static-few-shot", "generate"))


def test_a_task_without_right_and_wrong_has_no_accuracy_to_explain(home):
    study = Study(Assistant(ScriptedModel()), load_task("summary"), [Sample("1", {"dialogue": "A: hi"}, ("hi",))])
    with pytest.raises(SettingError, match="no right and wrong"):
        xray(study, ARM)


def test_an_xray_is_plain_data(leaky):
    record = json.loads(json.dumps(plain(examine(ARM.name, xray(leaky, ARM)[ARM.name], 0.95))))
    assert record["share"]["owed"] == COPIED / N
    told = "dynamic-few-shot (generate): 37.5 % without a guard, 0.0 % with it (ceiling 0.95), so +37.5 points"
    assert record["verdict"].startswith(told)
