"""The demo model's training on miniature stand-ins for the public sets."""

import gzip
import json
import random
from dataclasses import replace

import pytest

from assistant import paths
from assistant.errors import DataError, SettingError
from assistant.finetuning.demo_episodes import MIXTURE, Episodes
from assistant.finetuning.demo_model import (
    DemoSettings,
    _tokenizer_texts,
    _work_folder,
    episode_ids,
    make_batches,
    train_demo_model,
)
from assistant.finetuning.demo_sources import PUBLIC_SETS, TEST_SETS, read_sources, spoken, text_key
from assistant.finetuning.demo_tokenizer import train_tokenizer
from assistant.generation.rendering import PromptRenderer
from assistant.prompting.building import build_prompt
from assistant.prompting.strategies import find_strategy
from assistant.prompting.tasks import load_task
from assistant.records import Prompt

TINY = DemoSettings(
    vocabulary=400,
    tokenizer_episodes=300,
    width=16,
    layers=1,
    heads=2,
    feed_forward=32,
    tokens=6000,
    batch_tokens=2000,
    save_every=2,
    longest=900,
)


def write_rows(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(path, "wt", encoding="utf-8") as lines:
        lines.writelines(json.dumps(row) + "\n" for row in rows)


@pytest.fixture(scope="module")
def public_sets(tmp_path_factory):
    """Return a folder with a few made-up rows in the layout of each public set."""
    folder, rng = tmp_path_factory.mktemp("public"), random.Random(0)
    nouns = ["plot", "cast", "music", "ending", "camera", "script", "hero", "costume"]
    reviews = [
        {
            "text": f"the {rng.choice(nouns)} of film {n} is {'dull and flat' if n % 2 else 'bright and fresh'}",
            "label": 1 - n % 2,
        }
        for n in range(60)
    ]
    for name in PUBLIC_SETS + TEST_SETS:
        write_rows(
            folder / name,
            [{"text": f"an ordinary paragraph number {n} of plain words", "licence": "CC BY"} for n in range(9)],
        )
    for name in ("sst2/train", "review_sentences/yelp", "review_sentences/amazon"):
        write_rows(folder / f"{name}.jsonl.gz", reviews)
    write_rows(folder / TEST_SETS[0], [{"text": reviews[0]["text"].upper() + "!", "label": 1}])
    write_rows(folder / "trec/train.jsonl.gz", [{"text": f"Who made thing {n} ?", "label": "HUM"} for n in range(12)])
    turns = [{"category": "ai", "turns": [f"Say word {n}", f"Word {n} it is"]} for n in range(9)]
    write_rows(folder / "chatterbot_corpus/english.jsonl.gz", turns)
    tasks = [{"instruction": f"Repeat {n}", "context": "", "response": f"{n}"} for n in range(9)]
    write_rows(folder / "instructions_small/lfs_1100.jsonl.gz", tasks)
    return folder


@pytest.fixture(scope="module")
def sources(public_sets):
    return read_sources(public_sets)


@pytest.fixture(scope="module")
def tokenizer(sources):
    return train_tokenizer((row.text for row in sources.reviews), 400, 512)


def test_a_missing_set_is_named(tmp_path):
    with pytest.raises(DataError, match=r"sst2/train\.jsonl\.gz"):
        read_sources(tmp_path)


def test_rows_that_also_stand_in_the_test_set_are_left_out(sources):
    assert sources.left_out == 3
    assert not {text_key(row.text) for row in sources.reviews} & sources.held_out


def test_no_built_in_row_is_ever_an_episode(sources):
    built_in = {
        text_key(value)
        for path in (paths.demo() / "data").glob("*.jsonl")
        for line in path.read_text("utf-8").splitlines()
        for name, value in json.loads(line).items()
        if name in ("text", "question", "sentence1", "sentence2")
    }
    episodes = Episodes(sources, 3)
    said = {text_key(m["content"]) for n in range(1500) for m in episodes.draw(n / 1500) if m["role"] == "user"}
    assert len(built_in) > 400
    assert not said & built_in


@pytest.mark.parametrize("share", [share.name for share in MIXTURE])
def test_every_kind_of_episode_alternates_and_ends_with_the_assistant(sources, share):
    episodes = Episodes(sources, 1)
    for _ in range(20):
        roles = [message["role"] for message in getattr(episodes, share)()]
        turns = roles[1:] if roles[0] == "system" else roles
        assert turns == ["user", "assistant"] * (len(turns) // 2)


def test_the_same_seed_draws_the_same_episodes(sources):
    first, second = Episodes(sources, 5), Episodes(sources, 5)
    assert [first.draw(0.5) for _ in range(30)] == [second.draw(0.5) for _ in range(30)]


def test_an_episode_is_trained_on_exactly_the_ids_that_are_served(tokenizer):
    task = load_task("sentiment")
    prompt = build_prompt(task, find_strategy("static-few-shot"), {"text": "a fine film"}, task.demonstrations)
    reply = {"role": "assistant", "content": "positive"}
    ids, mask = episode_ids(tokenizer, (*prompt.messages, reply))
    served = PromptRenderer(tokenizer).render(Prompt(prompt.messages, prompt.origins))
    assert tuple(ids[: len(served.token_ids)]) == served.token_ids
    learnt = [i for i, one in zip(ids[len(served.token_ids) :], mask[len(served.token_ids) :], strict=True) if one]
    assert tokenizer.decode(learnt) == "positive</s>"


def test_only_what_the_assistant_says_is_learnt(tokenizer):
    episode = ({"role": "user", "content": "one"}, {"role": "assistant", "content": "two"}) * 2
    ids, mask = episode_ids(tokenizer, episode)
    assert tokenizer.decode([i for i, one in zip(ids, mask, strict=True) if one]) == "two</s>two</s>"


def test_batches_keep_to_the_token_budget_and_hide_the_padding(tokenizer, sources):
    batches = make_batches(tokenizer, sources, TINY)
    assert sum(int(batch["attention_mask"].sum()) for batch in batches) >= TINY.tokens
    for batch in batches:
        assert batch["input_ids"].size <= TINY.batch_tokens or len(batch["input_ids"]) == 1
        assert (batch["labels"][batch["attention_mask"] == 0] == -100).all()


def test_alternatives_in_brackets_are_read_out():
    heard = {spoken("[hi|hello][!|]", random.Random(n)) for n in range(60)}
    assert heard == {"hi", "hello", "hi!", "hello!"}


@pytest.mark.slow
def test_the_trained_model_loads_and_speaks(public_sets, tmp_path, monkeypatch):
    from assistant.answering import Assistant, Request
    from assistant.generation.loading import load_chat_model
    from assistant.settings import ModelSettings, SamplingSettings

    monkeypatch.setenv("SHOTWISE_HOME", str(tmp_path))
    folder = train_demo_model(public_sets, tmp_path / "model", TINY)
    (record,) = json.loads((folder / "training.json").read_text("utf-8"))["stages"]
    assert record["steps"] == len(make_batches(_tokenizer(public_sets), read_sources(public_sets), TINY))
    model = load_chat_model(ModelSettings(model=str(folder)))
    answer = Assistant(model).answer(Request("Hello!", sampling=SamplingSettings(max_new_tokens=4)))
    assert answer.calls[0].new_tokens >= 1
    assert answer.calls[0].prompt.endswith("<|assistant|>\n")
    assert not (tmp_path / "runs/demo-model").exists()
    train_demo_model(public_sets, tmp_path / "further", replace(TINY, tokens=2000), folder)
    stages = json.loads((tmp_path / "further/training.json").read_text("utf-8"))["stages"]
    assert [stage["settings"]["tokens"] for stage in stages] == [TINY.tokens, 2000]
    assert (tmp_path / "further/tokenizer.json").read_text("utf-8") == (folder / "tokenizer.json").read_text("utf-8")


def test_checkpoints_of_other_settings_are_not_gone_on_with(tmp_path, monkeypatch):
    monkeypatch.setenv("SHOTWISE_HOME", str(tmp_path))
    _work_folder(TINY, None)
    _work_folder(TINY, None)
    with pytest.raises(SettingError, match="other settings"):
        _work_folder(replace(TINY, seed=5), None)


def _tokenizer(folder):
    return train_tokenizer(_tokenizer_texts(read_sources(folder), TINY), TINY.vocabulary, TINY.context_tokens)
