"""Training the demo model: stage after stage, resumable at any moment, then export.

Under `runs/demo-model` lie the tokenizer, the meanings of the texts, and a folder per stage: its
checkpoints while it runs, its weights when it is done. A kill loses at most the steps since the
last checkpoint; the same command goes on from there and ends with the weights it would have had.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from assistant import __version__, paths
from assistant.finetuning.demo.examples import Batches
from assistant.finetuning.demo.grounded import read_squad
from assistant.finetuning.demo.held_out import HeldOut
from assistant.finetuning.demo.labelled import Neighbours
from assistant.finetuning.demo.meaning import read_meanings
from assistant.finetuning.demo.mixture import Episodes, Material
from assistant.finetuning.demo.network import load_network, new_network, plain_llama
from assistant.finetuning.demo.recipe import Recipe, Stage
from assistant.finetuning.demo.sources import read_sources
from assistant.finetuning.demo.talk import load_talk
from assistant.finetuning.demo.tokenizer import load_tokenizer, save_tokenizer, train_tokenizer
from assistant.finetuning.demo.trainer import Pace, loss_curve, stage_trainer

DONE = "stage.json"
"""Written last into a stage's folder: it is finished."""
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Paused:
    """Training that stopped before its end because its time was up."""

    stage: str
    step: int
    steps: int


def train_demo_model(
    data: Path, held_out: HeldOut, recipe: Recipe, out: Path, pace: Pace, tell: Tell = print
) -> Paused | None:
    """Train the model of a recipe on the public sets under `data` and save it in `out`.

    What is held out is never trained on. Finished stages are used again if nothing that decides
    their weights has changed.

    Returns:
        None if it is done, else where it paused.

    Raises:
        DataError: if a public set is missing.
    """
    work = paths.runs() / "demo-model"
    tell("Reading the public sets …")
    material = _material(data, held_out, work, tell)
    tokenizer = _tokenizer(material, recipe, work)
    folder: Path | None = None
    for number, stage in enumerate(recipe.stages):
        before, folder = folder, _stage_folder(work, recipe, number)
        if not (folder / DONE).is_file():
            paused = _train_stage(tokenizer, material, recipe, stage, before, folder, pace, tell)
            if paused is not None:
                return paused
    assert folder is not None
    _export(work, folder, tokenizer, recipe, held_out, out)
    return None


def _material(data: Path, held_out: HeldOut, work: Path, tell: Tell) -> Material:
    sources = read_sources(data, held_out)
    tell(f"{len(sources.texts):,} texts in {len(sources.tasks)} tasks; {held_out.left_out.total():,} rows left out.")
    meanings = read_meanings(
        sources.texts, work / "meanings.npz", lambda done, of: tell(f"Meanings: {done:,} of {of:,} texts")
    )
    passages = held_out.keep(read_squad(data), lambda one: (one.passage, one.question))
    return Material(sources, Neighbours(sources.texts, meanings), load_talk(), passages)


def _tokenizer(material: Material, recipe: Recipe, work: Path) -> Any:
    folder = work / f"tokenizer-{recipe.fingerprint(-1)}"
    if not folder.is_dir():
        new = folder.with_name(folder.name + ".new")
        save_tokenizer(
            train_tokenizer(_tokenizer_texts(material, recipe), recipe.size.vocabulary, recipe.size.context_tokens), new
        )
        new.rename(folder)
    return load_tokenizer(folder)


def _tokenizer_texts(material: Material, recipe: Recipe) -> Iterator[str]:
    episodes = Episodes(material, material.words(), recipe.seed)
    # Every kind alike, so that the stages can be changed without another vocabulary.
    weights = dict.fromkeys(episodes.kinds, 1.0)
    for _ in range(recipe.size.tokenizer_episodes):
        yield from (message["content"] for message in episodes.draw(weights).messages)
    for text in material.sources.prose[:: max(1, len(material.sources.prose) // 6000)]:
        yield text[:800]


def _stage_folder(work: Path, recipe: Recipe, number: int) -> Path:
    return work / f"{number + 1}-{recipe.stages[number].name}-{recipe.fingerprint(number)}"


def _train_stage(
    tokenizer: Any,
    material: Material,
    recipe: Recipe,
    stage: Stage,
    before: Path | None,
    folder: Path,
    pace: Pace,
    tell: Tell,
) -> Paused | None:
    width = material.near.meanings.shape[1]
    network = load_network(before) if before else new_network(tokenizer, recipe.size, recipe.seed, width)
    batches = Batches(tokenizer, material, stage, recipe.seed)
    trainer = stage_trainer(network, batches, stage, recipe.seed, folder, pace, tell)
    trainer.train(resume_from_checkpoint=any(folder.glob("checkpoint-*")) or None)
    if trainer.state.global_step < stage.steps:
        return Paused(stage.name, trainer.state.global_step, stage.steps)
    trainer.model.save_pretrained(folder)
    (folder / DONE).write_text(json.dumps(_record(trainer, stage)), encoding="utf-8")
    for left in folder.glob("checkpoint-*"):
        shutil.rmtree(left)
    return None


def _record(trainer: Any, stage: Stage) -> dict[str, Any]:
    import torch
    import transformers

    return {
        "stage": asdict(stage),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "device": str(trainer.args.device.type),
        "tokens": trainer.state.num_input_tokens_seen,
        "loss": loss_curve(trainer),
    }


def _export(work: Path, folder: Path, tokenizer: Any, recipe: Recipe, held_out: HeldOut, out: Path) -> None:
    import torch

    out.mkdir(parents=True, exist_ok=True)
    model = plain_llama(load_network(folder))
    model.to(torch.bfloat16).save_pretrained(out)
    save_tokenizer(tokenizer, out)
    folders = [_stage_folder(work, recipe, number) for number in range(len(recipe.stages))]
    record = {
        "shotwise": __version__,
        "recipe": recipe.name,
        "seed": recipe.seed,
        "size": asdict(recipe.size),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "rows_left_out": held_out.counts(),
        "stages": [json.loads((one / DONE).read_text("utf-8")) for one in folders],
    }
    (out / "training.json").write_text(json.dumps(record) + "\n", encoding="utf-8")
