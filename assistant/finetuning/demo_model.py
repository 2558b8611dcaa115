"""Training the demo model: tokenizer, corpus, a small Llama, checkpoints, export.

Runs on two CPU cores in under an hour with the default settings; a kill loses at most the
steps since the last checkpoint, and the same command goes on from there.
"""

from __future__ import annotations

import json
import random
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assistant import __version__, paths
from assistant.errors import SettingError
from assistant.finetuning.demo_episodes import MIXTURE, Episode, Episodes
from assistant.finetuning.demo_sources import Sources, pieces, read_sources
from assistant.finetuning.demo_tokenizer import END, load_tokenizer, save_tokenizer, train_tokenizer

if TYPE_CHECKING:
    import numpy as np

Example = tuple[list[int], list[int]]
"""Token ids and, for each, 1 if it is learnt."""


@dataclass(frozen=True)
class DemoSettings:
    """Size of the model and length of its training."""

    vocabulary: int = 4096
    tokenizer_episodes: int = 30_000
    """Episodes from which the tokenizer learns its vocabulary."""
    width: int = 256
    layers: int = 4
    heads: int = 4
    feed_forward: int = 704
    context_tokens: int = 2048
    tokens: int = 4_500_000
    """Training tokens in all, padding not counted."""
    prose_share: float = 0.05
    """Share of tokens that are plain English."""
    batch_tokens: int = 2048
    longest: int = 640
    """Tokens of the longest episode that is used."""
    learning_rate: float = 1.5e-3
    seed: int = 0
    save_every: int = 250
    """Steps between checkpoints."""

    @classmethod
    def changed(cls, values: Mapping[str, Any]) -> DemoSettings:
        """Return the defaults with some of them replaced."""
        return replace(cls(), **values)


def train_demo_model(
    data: Path, out: Path | None = None, settings: DemoSettings | None = None, start: Path | None = None
) -> Path:
    """Train the demo model on the public sets under `data` and return the folder it is saved in.

    Checkpoints lie under `runs/demo-model` until the model is saved; if there are any, training goes
    on from the last.
    With `start`, a folder of such a model, its weights and tokenizer are trained further; the
    record of its training is kept.

    Raises:
        DataError: if a public set is missing.
        SettingError: if there are checkpoints of a training with other settings.
    """
    settings = settings or DemoSettings()
    out = out or paths.demo() / "model"
    work = _work_folder(settings, start)
    started = time.time()
    sources = read_sources(data)
    if start is None:
        texts = _tokenizer_texts(sources, settings)
        tokenizer = train_tokenizer(texts, settings.vocabulary, settings.context_tokens)
    else:
        tokenizer = load_tokenizer(start)
    batches = make_batches(tokenizer, sources, settings)
    trainer = _trainer(_network(tokenizer, settings, start), batches, settings, work)
    resume = any(work.glob("checkpoint-*"))
    trainer.train(resume_from_checkpoint=resume)
    earlier = [] if start is None else json.loads((start / "training.json").read_text("utf-8"))["stages"]
    record = _record(trainer, settings, sources, time.time() - started)
    _export(trainer, tokenizer, out, [*earlier, record])
    shutil.rmtree(work)
    return out


def _work_folder(settings: DemoSettings, start: Path | None) -> Path:
    work = paths.runs() / "demo-model"
    work.mkdir(parents=True, exist_ok=True)
    noted, wanted = work / "settings.json", json.dumps({**asdict(settings), "start": str(start)}, indent=1)
    if noted.is_file() and noted.read_text("utf-8") != wanted:
        raise SettingError(
            f"{work} holds checkpoints of a training with other settings.", "Go on with those, or remove the folder."
        )
    noted.write_text(wanted, encoding="utf-8")
    return work


def episode_ids(tokenizer: Any, episode: Episode) -> Example:
    """Return the ids of a conversation; what the assistant says, and its end token, is learnt."""
    text = tokenizer.apply_chat_template(list(episode), tokenize=False)
    encoded = tokenizer(tokenizer.bos_token + text, add_special_tokens=False, return_offsets_mapping=True)
    learnt = _reply_ranges(tokenizer.bos_token + text, episode)
    mask, at = [], 0
    for start, end in encoded["offset_mapping"]:
        while at < len(learnt) and start >= learnt[at][1]:
            at += 1
        mask.append(int(at < len(learnt) and learnt[at][0] <= start and end <= learnt[at][1]))
    return encoded["input_ids"], mask


def _reply_ranges(text: str, episode: Episode) -> list[tuple[int, int]]:
    ranges, at = [], 0
    for message in episode:
        header = f"<|{message['role']}|>\n"
        start = text.index(header, at) + len(header)
        at = start + len(message["content"]) + len(END)
        if message["role"] == "assistant":
            ranges.append((start, at))
    return ranges


def _tokenizer_texts(sources: Sources, settings: DemoSettings) -> Iterator[str]:
    rng = random.Random(settings.seed)
    episodes = Episodes(sources, settings.seed)
    count = settings.tokenizer_episodes
    for number in range(count):
        yield from (message["content"] for message in episodes.draw(number / count))
    yield from pieces(rng.sample(sources.prose, min(8_000, len(sources.prose))), 150, rng)


def make_batches(tokenizer: Any, sources: Sources, settings: DemoSettings) -> list[dict[str, np.ndarray]]:
    """Return padded batches in training order: `input_ids`, `attention_mask`, `labels`, each (b, T)."""
    rng = random.Random(settings.seed + 1)
    episodes = Episodes(sources, settings.seed + 1)
    prose = list(sources.prose)
    rng.shuffle(prose)
    stretches = pieces(prose, 260, rng)
    batches: list[dict[str, np.ndarray]] = []
    done = 0
    while done < settings.tokens:
        portion: list[Example] = []
        goal = min(settings.batch_tokens * 40, settings.tokens - done)
        while goal > 0:
            example = _next_example(tokenizer, episodes, stretches, rng, settings, done / settings.tokens)
            if len(example[0]) <= settings.longest:
                portion.append(example)
                goal -= len(example[0])
                done += len(example[0])
        bucketed = list(_buckets(portion, settings.batch_tokens))
        rng.shuffle(bucketed)
        batches += [_padded(bucket, tokenizer.pad_token_id) for bucket in bucketed]
    return batches


def _next_example(
    tokenizer: Any,
    episodes: Episodes,
    stretches: Iterator[str],
    rng: random.Random,
    settings: DemoSettings,
    progress: float,
) -> Example:
    # A stretch of prose is about twice as long as an episode.
    if rng.random() < settings.prose_share / 2:
        stretch = next(stretches, "")
        ids = tokenizer(tokenizer.bos_token + stretch, add_special_tokens=False)["input_ids"][: settings.longest]
        return ids, [0] + [1] * (len(ids) - 1)
    return episode_ids(tokenizer, episodes.draw(progress))


def _buckets(portion: list[Example], batch_tokens: int) -> Iterator[list[Example]]:
    bucket: list[Example] = []
    for example in sorted(portion, key=lambda one: len(one[0])):
        if bucket and len(example[0]) * (len(bucket) + 1) > batch_tokens:
            yield bucket
            bucket = []
        bucket.append(example)
    if bucket:
        yield bucket


def _padded(bucket: Sequence[Example], pad: int) -> dict[str, np.ndarray]:
    import numpy as np

    width = max(len(ids) for ids, _ in bucket)
    ids = np.full((len(bucket), width), pad, dtype=np.int64)
    labels = np.full((len(bucket), width), -100, dtype=np.int64)
    attention = np.zeros((len(bucket), width), dtype=np.int64)
    for row, (tokens, mask) in enumerate(bucket):
        ids[row, : len(tokens)] = tokens
        attention[row, : len(tokens)] = 1
        labels[row, : len(tokens)] = [token if one else -100 for token, one in zip(tokens, mask, strict=True)]
    return {"input_ids": ids, "attention_mask": attention, "labels": labels}


def _network(tokenizer: Any, settings: DemoSettings, start: Path | None) -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM, set_seed

    set_seed(settings.seed)
    if start is not None:
        return LlamaForCausalLM.from_pretrained(start, dtype="float32", use_safetensors=True, local_files_only=True)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=settings.width,
        intermediate_size=settings.feed_forward,
        num_hidden_layers=settings.layers,
        num_attention_heads=settings.heads,
        max_position_embeddings=settings.context_tokens,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return LlamaForCausalLM(config)


def _trainer(network: Any, batches: list[dict[str, np.ndarray]], settings: DemoSettings, work: Path) -> Any:
    import torch
    from transformers import TrainingArguments

    def collate(one: list[dict[str, np.ndarray]]) -> dict[str, torch.Tensor]:
        return {name: torch.from_numpy(values) for name, values in one[0].items()}

    arguments = TrainingArguments(
        output_dir=str(work),
        per_device_train_batch_size=1,
        num_train_epochs=1,
        learning_rate=settings.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=100,
        weight_decay=0.05,
        adam_beta2=0.95,
        max_grad_norm=1.0,
        bf16=torch.cuda.is_available(),
        use_cpu=not torch.cuda.is_available(),
        logging_steps=20,
        save_steps=settings.save_every,
        save_total_limit=2,
        train_sampling_strategy="sequential",
        report_to="none",
        seed=settings.seed,
        dataloader_pin_memory=False,
        remove_unused_columns=False,
        include_num_input_tokens_seen="non_padding",
    )
    return _learnt_only_trainer()(network, arguments, train_dataset=batches, data_collator=collate)


def _learnt_only_trainer() -> Any:
    import torch
    from transformers import Trainer

    class LearntOnlyTrainer(Trainer):  # type: ignore[misc]
        """A Trainer whose output layer sees only the positions that are learnt.

        Three of four tokens are prompt; without them in the (T, vocabulary) matrix a step on a CPU
        takes half the time and the loss is the same.
        """

        def compute_loss(
            self,
            model: Any,
            inputs: dict[str, torch.Tensor],
            return_outputs: bool = False,
            **_: object,
        ) -> torch.Tensor:
            labels = inputs["labels"][:, 1:]
            learnt = labels != -100
            hidden = model.model(
                input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"], use_cache=False
            ).last_hidden_state[:, :-1]
            return torch.nn.functional.cross_entropy(model.lm_head(hidden[learnt]).float(), labels[learnt])

    return LearntOnlyTrainer


def _record(trainer: Any, settings: DemoSettings, sources: Sources, seconds: float) -> dict[str, Any]:
    import torch
    import transformers

    curve = [(entry["step"], round(entry["loss"], 4)) for entry in trainer.state.log_history if "loss" in entry]
    return {
        "shotwise": __version__,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "settings": asdict(settings),
        "mixture": [asdict(share) for share in MIXTURE],
        "parameters": sum(parameter.numel() for parameter in trainer.model.parameters()),
        "steps": trainer.state.global_step,
        "seconds_of_last_start": round(seconds),
        "rows_left_out": sources.left_out,
        "loss": curve,
    }


def _export(trainer: Any, tokenizer: Any, out: Path, stages: list[dict[str, Any]]) -> None:
    import torch

    out.mkdir(parents=True, exist_ok=True)
    trainer.model.to(torch.bfloat16).save_pretrained(out)
    save_tokenizer(tokenizer, out)
    (out / "training.json").write_text(json.dumps({"stages": stages}) + "\n", encoding="utf-8")
