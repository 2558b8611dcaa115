"""Known data sets: every entry is complete, missing files are one sentence, and splits share nothing."""

import json
from collections import Counter
from pathlib import Path

import pytest

from assistant.errors import DataError, UnknownName
from assistant.evaluation.sets.datasets import PARTS, data_set_names, find_data_set, load_dataset
from assistant.evaluation.sets.pools import pool_index
from assistant.evaluation.sets.preparations import PREPARATIONS, PreparedSource
from assistant.prompting.tasks import load_task
from assistant.retrieval.builtin import BUILT_IN
from assistant.tables import JsonLines

SHARED = Path(__file__).resolve().parents[4] / "shared" / "data"
BUILT = [name for name in data_set_names() if find_data_set(name).built_in]
PUBLIC = [name for name in data_set_names() if not find_data_set(name).built_in]
shared = pytest.mark.shared


@pytest.fixture(scope="module")
def data_dir():
    if not SHARED.is_dir():
        pytest.skip("the shared data sets are not there")
    return SHARED


def write(path, rows):
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.mark.parametrize("name", data_set_names())
def test_an_entry_says_everything_a_stranger_needs(name):
    data = find_data_set(name)
    assert all((data.title, data.where, data.terms, data.contamination))
    assert data.prepare in PREPARATIONS
    assert len(data.fields.inputs) == len(load_task(data.task).fields)
    assert data.built_in in BUILT_IN or "train" in data.files
    assert {"dev", "test"} <= set(data.files) | set(data.cut)
    assert not set(data.files) & set(data.cut)


@pytest.mark.parametrize("name", BUILT)
def test_built_in_sets_load_for_everybody(name):
    loaded = load_dataset(name)
    assert len(loaded.test) >= 50 - 1
    assert loaded.pool
    assert loaded.dev
    assert not loaded.bad_rows
    parts = [{sample.id for sample in loaded.part(part)} for part in PARTS]
    assert sum(map(len, parts)) == len(set().union(*parts))
    assert any("Cut from train with seed 13" in note for note in loaded.notes)


def test_pairs_on_one_sentence_stay_in_one_part():
    loaded = load_dataset("pairs")
    firsts = [{sample.inputs["sentence1"] for sample in loaded.part(part)} for part in PARTS]
    assert not (firsts[0] & firsts[1])
    assert not (firsts[0] & firsts[2])
    assert not (firsts[1] & firsts[2])


@pytest.mark.parametrize("name", PUBLIC)
def test_a_missing_file_is_one_sentence_that_says_where_the_set_is_found(name, tmp_path):
    for folder in (None, tmp_path):
        with pytest.raises(DataError) as caught:
            load_dataset(name, folder)
        sentence = caught.value.sentence()
        assert find_data_set(name).where in sentence
        assert f"{find_data_set(name).files['train']}.jsonl" in sentence
        assert ("--data DIR" in sentence) is (folder is None)


def test_an_unknown_set_names_those_there_are():
    with pytest.raises(UnknownName, match="Did you mean sst2"):
        find_data_set("sst-2")
    with pytest.raises(UnknownName, match="train"):
        load_dataset("reviews").part("validation")


def test_any_kind_of_table_will_do_and_rows_without_an_id_get_one(tmp_path):
    (tmp_path / "sst2").mkdir()
    lines = "".join(f"film {n},{n % 2}\n" for n in range(1100))
    for name in ("train_sentences", "test"):
        (tmp_path / "sst2" / f"{name}.csv").write_text(f"text,label\n{lines}")
    loaded = load_dataset("sst2", tmp_path, pool=100)
    assert (len(loaded.pool), len(loaded.dev), len(loaded.test)) == (100, 500, 1100)
    assert not {sample.id for sample in loaded.test} & {row.id for row in loaded.pool}
    assert Counter(sample.targets for sample in loaded.test[:20]) == {("negative",): 10, ("positive",): 10}


def test_bad_rows_are_counted_in_the_notes(tmp_path):
    rows = [{"id": f"t{n}", "text": f"question {n}?", "label": "NUM" if n else "?"} for n in range(1200)]
    write(tmp_path / "trec" / "train.jsonl", rows)
    loaded = load_dataset("trec", tmp_path)
    assert any("1 rows of train.jsonl were skipped; the first: line 1" in note for note in loaded.notes)
    assert [row.line for row in loaded.bad_rows["train.jsonl"]] == [1]


def prepared(folder, preparation, row):
    write(folder / "x" / "rows.jsonl", [row])
    source = PreparedSource(JsonLines(str(folder / "x" / "rows.jsonl")), preparation, "test", "id")
    ((_, made),) = source.rows()
    return made, source


def test_solutions_of_gsm8k_lose_their_marks(tmp_path):
    answer = "He sold 48/2 = <<48/2=24>>24 clips.\nIn all 48+24 = <<48+24=72>>72.\n#### 72"
    made, _ = prepared(tmp_path, "without-calculator", {"question": "?", "answer": answer, "final_answer": "72"})
    assert made["rationale"] == "He sold 48/2 = 24 clips. In all 48+24 = 72."
    assert made["id"] == "test/1"


def test_choices_become_lettered_lines(tmp_path):
    made, _ = prepared(tmp_path, "lettered-choices", {"question": "2 + 2?", "choices": list("3456"), "answer": 1})
    assert made["question"] == "2 + 2?\nA. 3\nB. 4\nC. 5\nD. 6"
    made, _ = prepared(tmp_path, "lettered-choices", {"question": "2 + 2?", "choices": ["4"], "answer": 0})
    assert made.reason == "it has 1 choices, not 4"


def test_all_answers_of_squad_are_targets(tmp_path):
    row = {"id": "q", "context": "In 1973.", "question": "When?", "answers": {"text": ["1973", "1973", "In 1973"]}}
    made, source = prepared(tmp_path, "spans", row)
    assert (made["passage"], made["answer"]) == ("In 1973.", "1973")
    assert source.targets == {"q": ("1973", "In 1973")}


@pytest.mark.parametrize(
    ("preparation", "row", "reason"),
    [
        ("spans", {"context": "c", "answers": {"text": []}}, "not as they were published"),
        ("spans", {"context": "c"}, "the field 'answers' is missing"),
        ("lettered-choices", {"question": None, "choices": list("abcd")}, "not as they were published"),
    ],
)
def test_rows_of_another_make_are_bad_not_fatal(tmp_path, preparation, row, reason):
    assert reason in prepared(tmp_path, preparation, row)[0].reason


def test_the_pools_index_holds_training_rows_only_and_is_built_once():
    loaded = load_dataset("word-problems")
    steps = []
    index = pool_index(loaded, "toy", steps.append)
    assert {index.demonstration(row).id for row in range(len(index))} == {row.id for row in loaded.pool}
    assert index.row_of(loaded.test[0].id) is None
    assert index.demonstration(0) == loaded.pool[0]
    assert steps
    steps.clear()
    assert pool_index(loaded, "toy", steps.append).name == index.name
    assert not steps
    assert pool_index(load_dataset("word-problems", seed=14), "toy").name != index.name


@shared
@pytest.mark.parametrize(
    ("name", "pool", "dev", "test"),
    [
        ("sst2", 1500, 500, 1821),
        ("trec", 1500, 500, 500),
        ("mrpc", 3668, 408, 1725),
        ("rte", 2240, 250, 277),
        ("stsb", 2000, 1500, 1379),
        ("gsm8k", 2000, 500, 659),
        ("mmlu", 285, 1531, 14042),
        ("bbh", 1000, 500, 4000),
        ("ag_news", 1500, 600, 1000),
        ("dialogsum", 1000, 500, 500),
        ("squad", 1000, 994, 3952),
        ("multiarith", 140, 60, 400),
        ("svamp", 300, 100, 600),
    ],
)
def test_published_sets_load_whole(name, pool, dev, test, data_dir):
    loaded = load_dataset(name, data_dir)
    assert (len(loaded.pool), len(loaded.dev), len(loaded.test)) == (pool, dev, test)
    assert not loaded.bad_rows
    ids = [{sample.id for sample in loaded.part(part)} for part in PARTS]
    assert sum(map(len, ids)) == pool + dev + test == len(set().union(*ids))
    for part in ("dev", "test"):
        grouped = {sample.group for sample in loaded.part(part) if sample.group}
        if part not in loaded.data.files:
            assert not grouped & {row.group for row in loaded.pool}
    if loaded.task.labels:
        assert {sample.targets[0] for sample in loaded.test[:200]} == set(loaded.task.labels)


@shared
@pytest.mark.slow
def test_imdb_is_drawn_evenly_from_sorted_files_and_cut_by_film(data_dir):
    loaded = load_dataset("imdb", data_dir)
    assert (len(loaded.pool), len(loaded.dev), len(loaded.test)) == (1000, 500, 12500)
    assert Counter(sample.targets[0] for sample in loaded.test[:100]) == {"negative": 50, "positive": 50}
    assert not {sample.group for sample in loaded.dev} & {row.group for row in loaded.pool}
    assert len({sample.group for sample in loaded.test[:100]}) > 80
