"""What must stay out of training: gathered from the data sets whose files are there."""

import gzip
import json

from assistant.commands.held_out import CONVERSATIONS, OTHER_FILES, held_out_texts
from assistant.evaluation.demo_table.conversations import load_conversations
from assistant.evaluation.sets.datasets import data_set_names, find_data_set, load_dataset


def write(path, rows):
    path.parent.mkdir(exist_ok=True)
    with gzip.open(path, "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


def test_built_in_rows_are_held_out_wholly_and_missing_files_are_named(tmp_path):
    found = held_out_texts(tmp_path)
    public = [name for name in data_set_names() if not find_data_set(name).built_in]
    assert set(found.skipped) == {*public, *OTHER_FILES}
    texts = {text for group in found.texts.values() for text in group}
    for name in ("reviews", "pairs", "word-problems"):
        loaded = load_dataset(name)
        for row in (*loaded.pool, *loaded.dev, *loaded.test):
            assert set(row.inputs.values()) <= texts
    assert load_dataset("word-problems").pool[0].rationale in texts
    assert "Hello!" in texts
    assert "positive" not in texts


def test_what_the_scripted_conversations_say_is_held_out(tmp_path):
    asked = {turn for turns in load_conversations() for turn in turns}
    assert len(asked) > 50
    assert set(held_out_texts(tmp_path).texts[CONVERSATIONS]) == asked


def test_dev_test_and_pool_are_held_out_and_rows_beyond_the_pool_are_not(tmp_path):
    rows = [{"id": f"t{n}", "text": f"which city has the number {n} ?", "label": "LOC"} for n in range(2600)]
    write(tmp_path / "trec" / "train.jsonl.gz", rows)
    found = held_out_texts(tmp_path)
    loaded = load_dataset("trec", tmp_path)
    assert len(found.texts["trec"]) == 1500 + 500 + 500
    assert {row.inputs["text"] for row in (*loaded.pool, *loaded.dev, *loaded.test)} == set(found.texts["trec"])
    assert "trec" not in found.skipped


def test_all_fields_of_pairs_are_held_out_but_not_their_training_part(tmp_path):
    for part in ("train", "validation", "test"):
        pair = {"id": part, "sentence1": f"{part} one", "sentence2": f"{part} two", "label": 1}
        write(tmp_path / "mrpc" / f"{part}.jsonl.gz", [pair, {**pair, "id": f"{part}-2", "label": 0}])
    texts = ["validation one", "validation two", "test one", "test two"]
    assert held_out_texts(tmp_path).texts["mrpc"] == texts


def test_files_that_are_no_data_set_here_give_the_named_columns(tmp_path):
    write(tmp_path / "boolq" / "validation.jsonl.gz", [{"passage": "Bats fly.", "question": "do bats fly"}])
    write(tmp_path / "math_word" / "asdiv.jsonl.gz", [{"body": "Ann has 2.", "question": "How many?", "answer": "2"}])
    found = held_out_texts(tmp_path)
    assert found.texts["boolq/validation"] == ["Bats fly.", "do bats fly"]
    assert found.texts["math_word/asdiv"] == ["Ann has 2. How many?"]
    assert "cb/validation" in found.skipped
