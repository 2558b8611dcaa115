"""Training text is read from the public sets, without anything that is held out; recipes and meanings are checked."""

import json
import tomllib
from dataclasses import replace

import numpy as np
import pytest

from assistant.errors import DataError, SettingError
from assistant.finetuning.demo import meaning
from assistant.finetuning.demo.held_out import HeldOut
from assistant.finetuning.demo.labelled import Neighbours
from assistant.finetuning.demo.meaning import SPREAD, read_meanings, word_vectors
from assistant.finetuning.demo.mixture import Episodes
from assistant.finetuning.demo.recipe import DEFAULT, Stage, load_recipe
from assistant.finetuning.demo.sources import PUBLIC_SETS, QUESTION_TYPES, SENTIMENT, read_rows, read_sources
from assistant.retrieval.encoders import ToyEncoder, load_encoder

RECIPE = """
seed = 3
[size]
width = 128
[[stages]]
name = "first"
steps = 40
mixture = { alone = 1.0 }
[[stages]]
name = "second"
steps = 9
mixture = { copied = 2.0 }
"""


@pytest.fixture
def recipe(tmp_path):
    """Return a function that writes a recipe and loads it."""

    def load(text=RECIPE, **options):
        path = tmp_path / "own.toml"
        path.write_text(text, encoding="utf-8")
        return load_recipe(path, **options)

    return load


# Sources


def test_every_missing_set_is_named(tmp_path, public_sets):
    with pytest.raises(DataError) as raised:
        read_sources(tmp_path, HeldOut.of({}))
    assert all(name in str(raised.value) for name in PUBLIC_SETS)
    for name in PUBLIC_SETS[1:]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes((public_sets / name).read_bytes())
    with pytest.raises(DataError, match=rf"lacks {PUBLIC_SETS[0]}\.$"):
        read_sources(tmp_path, HeldOut.of({}))


def test_held_out_rows_are_left_out_of_every_task_and_counted(public_sets):
    review = next(read_rows(public_sets / "sst2/train.jsonl.gz"))["text"]
    question = next(read_rows(public_sets / "trec/train.jsonl.gz"))["text"]
    held = HeldOut.of({"films": [review.upper()], "asked": [question, "Repeat the number 4 once"]})
    free, kept = read_sources(public_sets, HeldOut.of({})), read_sources(public_sets, held)
    assert {review, question} <= set(free.texts)
    assert not {review, question} & set(kept.texts)
    assert "Repeat the number 4 once" not in {asked for asked, _ in kept.instructions}
    gone = {name: len(free.tasks[name].rows) - len(task.rows) for name, task in kept.tasks.items()}
    assert gone["sentiment"] == 1
    # Both tasks on questions lose it, and "Repeat the number 4 once" is an instruction twice and a kind once.
    assert gone["question-type"] == gone["fine-question-type"] == 1
    left_out = sum(gone.values()) + len(free.instructions) - len(kept.instructions)
    assert held.left_out.total() == left_out


def test_tasks_have_the_labels_that_are_served(public_sets):
    sources = read_sources(public_sets, HeldOut.of({}))
    assert set(sources.tasks["sentiment"].classes) == set(SENTIMENT)
    assert set(sources.tasks["question-type"].classes) <= set(QUESTION_TYPES.values())
    assert all(len(task.classes) >= 2 for task in sources.tasks.values())
    assert len(sources.texts) == len(set(sources.texts))


def test_products_are_either_a_domain_or_liked_and_never_both(public_sets):
    tasks = read_sources(public_sets, HeldOut.of({})).tasks
    assert not set(tasks["domain"].texts) & set(tasks["sentiment"].texts)


def test_stories_that_may_not_be_sold_are_not_read(public_sets):
    prose = read_sources(public_sets, HeldOut.of({})).prose
    assert "a story under CC BY 4.0" in prose
    assert not any("NC" in text for text in prose)
    assert "film 3 was\nlong and plain" in prose


def test_the_nearest_texts_come_nearest_first():
    texts = ["a", "b", "c", "d"]
    near = Neighbours(texts, np.array([[1, 0], [0.6, 0.8], [0.8, 0.6], [-1, 0]], dtype=np.float32))
    assert near.of("a", ["d", "b", "c"], 2) == ["c", "b"]
    assert near.of("a", ["b"], 5) == ["b"]
    assert near.of("a", ["b"], 0) == []


# Recipes


def test_a_recipe_is_read_with_its_seed_unless_another_is_given(recipe):
    read = recipe()
    assert (read.name, read.seed, read.size.width) == ("own", 3, 128)
    assert [(stage.name, stage.steps) for stage in read.stages] == [("first", 40), ("second", 9)]
    assert recipe(seed=0).seed == 0


def test_steps_limit_every_stage_that_has_more(recipe):
    assert [stage.steps for stage in recipe(steps=12).stages] == [12, 9]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (RECIPE.replace("steps = 9", "stepps = 9"), "stepps"),
        (RECIPE.replace("width", "girth"), "girth"),
        (RECIPE.replace("steps = 9", ""), "steps"),
        ("seed = 1", r"no \[\[stages\]\]"),
        ("seed = ", "cannot be read"),
        (RECIPE.replace("width = 128", "width = 100"), "width 100 does not divide among 4 heads"),
        (RECIPE.replace("width = 128", "width = 128\nlayers = 4"), "needs 5 layers"),
        (RECIPE.replace("width = 128", "width = 64"), "width 128"),
        (RECIPE.replace("steps = 9", "steps = 9\nlongest = 2000"), "'second' has batches of 1024 tokens"),
    ],
)
def test_a_recipe_that_cannot_be_followed_is_refused(recipe, text, told):
    with pytest.raises(SettingError, match=told) as raised:
        recipe(text)
    assert "own.toml" in str(raised.value)
    assert raised.value.hint


def test_a_recipe_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(SettingError, match=r"none\.toml cannot be read"):
        load_recipe(tmp_path / "none.toml")


def test_the_fingerprint_tells_what_decides_the_weights_and_not_what_comes_later(recipe):
    read = recipe()
    first, second = read.fingerprint(0), read.fingerprint(1)
    assert first != second
    later = recipe(RECIPE.replace("copied = 2.0", "copied = 3.0"))
    assert (later.fingerprint(0), later.fingerprint(1)) == (first, later.fingerprint(1))
    assert later.fingerprint(1) != second
    assert recipe(seed=4).fingerprint(0) != first
    assert replace(read, size=replace(read.size, layers=9)).fingerprint(0) != first
    assert replace(read, name="other").fingerprint(1) == second


@pytest.mark.parametrize("name", ["recipe.toml", "recipe-large.toml"])
def test_the_shipped_recipes_ask_for_kinds_of_episode_that_exist(material, words, name):
    kinds = Episodes(material, words, 0).kinds
    path = DEFAULT.parent / name
    read = load_recipe(path)
    assert read.settings == tomllib.loads(path.read_text("utf-8"))
    for stage in read.stages:
        assert set(stage.mixture) <= set(kinds)
        assert isinstance(stage, Stage)
        json.dumps(read.fingerprint(0))


# Meanings


@pytest.fixture
def toy(monkeypatch):
    """Return the batches that the toy encoder was given in place of the real one."""
    asked = []

    class Watched(ToyEncoder):
        def encode(self, texts):
            asked.append(list(texts))
            return super().encode(texts)

    monkeypatch.setattr(meaning, "load_encoder", Watched)
    return asked


def quiet(done, of):
    assert 0 < done <= of


def test_meanings_are_centred_unit_rows_in_the_order_of_the_texts(toy, tmp_path):
    texts = ["a longer text", "b", "some words", "yet more words here"]
    meanings = read_meanings(texts, tmp_path / "deep" / "kept.npz", quiet)
    rows = ToyEncoder().encode(texts)
    wanted = rows - rows.mean(axis=0)
    np.testing.assert_allclose(meanings, wanted / np.linalg.norm(wanted, axis=1, keepdims=True), atol=1e-6)
    assert [len(one) for one in toy[0]] == sorted(len(one) for one in texts)


def test_kept_meanings_are_used_again_for_the_same_texts_only(toy, tmp_path):
    kept = tmp_path / "kept.npz"
    first = read_meanings(["one", "two"], kept, quiet)
    again = read_meanings(["one", "two"], kept, quiet)
    assert len(toy) == 1
    np.testing.assert_array_equal(first, again)
    assert read_meanings(["one", "three", "four"], kept, quiet).shape == (3, 256)
    read_meanings(["one", "three", "four"], kept, quiet)
    assert len(toy) == 2


def test_a_token_starts_as_the_mean_of_its_word_pieces(tokenizer):
    import torch

    vectors, known = word_vectors(tokenizer, 400)
    assert vectors.shape == (len(tokenizer), 400)
    assert not known[tokenizer.all_special_ids].any()
    assert not vectors[~known].any()
    assert vectors[known].std().item() == pytest.approx(SPREAD * (384 / 400) ** 0.5, rel=0.02)
    vocabulary = tokenizer.get_vocab()
    pairs = [
        (at, vocabulary[f"Ġ{token}"])
        for token, at in vocabulary.items()
        if token.isalpha() and f"Ġ{token}" in vocabulary
    ]
    assert len(pairs) > 10
    for one, other in pairs:
        torch.testing.assert_close(vectors[one], vectors[other])
    # All 384 directions are kept, so that distances between tokens are those between the means of their pieces.
    found, wanted = _distances(tokenizer, vectors, known)
    assert np.corrcoef(found, wanted)[0, 1] > 0.9999


def _distances(tokenizer, vectors, known):
    from safetensors.torch import load_file
    from transformers import AutoTokenizer

    from assistant.retrieval.packaged import packaged_folder

    pieces = AutoTokenizer.from_pretrained(packaged_folder(), local_files_only=True)
    table = load_file(packaged_folder() / "model.safetensors")["embeddings.word_embeddings.weight"]
    some = [one for one in known.nonzero().flatten().tolist() if tokenizer.decode([one]).strip().isalpha()][-60:]
    means = [
        table[pieces(tokenizer.decode([one]).strip(), add_special_tokens=False)["input_ids"]].mean(0) for one in some
    ]
    pairs = [(a, b) for a in range(60) for b in range(a)]
    found = [(vectors[some[a]] - vectors[some[b]]).norm().item() for a, b in pairs]
    return found, [(means[a] - means[b]).norm().item() for a, b in pairs]


def test_fewer_directions_are_the_most_important_ones(tokenizer):
    wide, known = word_vectors(tokenizer, 384)
    narrow, _ = word_vectors(tokenizer, 8)
    spread = wide[known].var(dim=0)
    assert (spread[:-1] >= spread[1:] - 1e-6).all()
    alike = np.corrcoef(wide[known][:, 0], narrow[known][:, 0])[0, 1]
    assert abs(alike) > 0.999


def test_the_real_encoder_finds_texts_of_like_meaning(tmp_path):
    texts = ["The film was wonderful.", "I loved this movie.", "How many steps has the tower?", "Where is the bridge?"]
    meanings = read_meanings(texts, tmp_path / "kept.npz", quiet)
    assert meanings.shape == (4, load_encoder().width)
    assert Neighbours(texts, meanings).of(texts[0], texts[1:], 1) == [texts[1]]
