"""What fine-tuning and adapters cost, against the libraries alone on the same weights in the same run.

    python benchmarks/bench_training.py [--model demo] [--rounds 5] [--steps 10] [--batch-size 8]
    python benchmarks/bench_training.py --random-llama --device cuda [--steps 20] [--width 2048] [--layers 24]

First table: LoRA steps of `shotwise adapter train` against a bare trl script with the same rows as token ids, the
same settings and the same seed; progress told and written at every step is in ours. That both come to the same
loss is checked. Second table: label scores of one question by the base, with the adapter beside its weights, and
with the adapter merged into them. CPU seconds in interleaved rounds; 1.00 means as fast as the baseline.

With --random-llama there is one table, for a machine with a GPU: tokens/s and the most memory of LoRA and QLoRA on a
Llama of random weights that is made for it, by us and by the bare script, each in a process of its own.
"""

from __future__ import annotations

import argparse
import copy
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchlib import interleaved, one_thread, table

one_thread()


def our_trainer(base: Any, network: Any, settings: Any, examples: Sequence[Any], folder: Path) -> Any:
    """Return the trainer of `adapter train`, its progress told and written down."""
    from assistant.finetuning.generators.adapting import adapted
    from assistant.finetuning.generators.progress import Teller
    from assistant.finetuning.generators.trainers import Work, new_trainer

    model = adapted(network, settings, encoder_decoder=False, first_ids=examples[0].ids)
    work = Work(model, copy.deepcopy(base.renderer.tokenizer), examples, (), False, folder)
    teller = Teller(folder, lambda progress: None, cuda=base.network.device.type == "cuda")
    trainer = new_trainer(work, settings, teller, threading.Event())
    trainer.args.save_strategy = "no"
    return trainer


def bare_trainer(network: Any, tokenizer: Any, settings: Any, examples: Sequence[Any], folder: Path) -> Any:
    """Return the trainer of a script as in trl's documentation."""
    import datasets
    import peft
    from trl import SFTConfig, SFTTrainer

    from assistant.finetuning.generators.adapting import attention_layers

    cuda = network.device.type == "cuda"
    rows = datasets.Dataset.from_list([one.columns(encoder_decoder=False) for one in examples])
    config = peft.LoraConfig(
        task_type="CAUSAL_LM", r=settings.rank, lora_alpha=settings.scaled_by, target_modules=attention_layers(network)
    )
    arguments = SFTConfig(
        output_dir=str(folder), max_steps=settings.steps, learning_rate=settings.highest_rate,
        per_device_train_batch_size=settings.batch_size, lr_scheduler_type="linear", seed=settings.seed,
        max_length=None, gradient_checkpointing=False, bf16=cuda, use_cpu=not cuda, save_strategy="no",
        logging_steps=settings.steps, report_to="none", disable_tqdm=True,
        dataset_kwargs={"skip_prepare_dataset": True}, dataloader_pin_memory=cuda,
    )  # fmt: skip
    return SFTTrainer(model=network, args=arguments, train_dataset=rows, processing_class=tokenizer, peft_config=config)


def mean_loss(trainer: Any) -> float:
    """Return the mean loss of a run."""
    return float(trainer.state.log_history[-1]["train_loss"])


class Training:
    """The same LoRA steps by us and by a bare trl script."""

    def __init__(self, model: str, steps: int, batch_size: int, device: str) -> None:
        from assistant.evaluation.tuning.source import Place, training_data
        from assistant.finetuning.generators.examples import ExampleWriter
        from assistant.finetuning.generators.settings import GeneratorSettings
        from assistant.generation.loading import load_base
        from assistant.settings import ModelSettings

        self.settings = GeneratorSettings(
            steps=steps, batch_size=batch_size, validation=0.0, dropout=0.0, warmup=0.0, device=device, dtype="float32"
        )
        self.base = load_base(ModelSettings(model=model, dtype="float32", device=device))
        writer = ExampleWriter(self.base.renderer, self.base.context_tokens, self.settings, "sentiment")
        self.examples = writer.encode(training_data(Place("reviews")).rows).examples
        self.losses: dict[str, float] = {}

    def ours(self) -> None:
        """Train as `adapter train` does, without loading and saving."""
        from assistant.finetuning.generators.adapting import quiet_libraries
        from assistant.finetuning.generators.learnt_tokens import logits_of_learnt_tokens

        with tempfile.TemporaryDirectory() as folder, quiet_libraries(), logits_of_learnt_tokens():
            network = copy.deepcopy(self.base.network)
            trainer = our_trainer(self.base, network, self.settings, self.examples, Path(folder))
            trainer.train()
            self.losses["ours"] = mean_loss(trainer)

    def bare(self) -> None:
        """Train as a script of trl's documentation does."""
        from transformers.trainer_callback import PrinterCallback

        from assistant.finetuning.generators.adapting import quiet_libraries

        with tempfile.TemporaryDirectory() as folder, quiet_libraries():
            tokenizer = copy.deepcopy(self.base.renderer.tokenizer)
            network = copy.deepcopy(self.base.network)
            trainer = bare_trainer(network, tokenizer, self.settings, self.examples, Path(folder))
            trainer.remove_callback(PrinterCallback)
            trainer.train()
            self.losses["bare"] = mean_loss(trainer)


def serving(model: str, folder: Path, device: str) -> dict[str, Any]:
    """Return one question's label scores by base, adapter and merged model, each as a function."""
    from assistant import paths
    from assistant.answering import Assistant, Request
    from assistant.evaluation.tuning.source import Place, training_data
    from assistant.finetuning.generators.settings import GeneratorSettings
    from assistant.finetuning.generators.shelf import find_tuned, merge
    from assistant.finetuning.generators.training import Order, train_generator
    from assistant.generation.loading import load_chat_model
    from assistant.settings import ModelSettings

    assert paths.home() == folder
    data = training_data(Place("reviews"), rows=16)
    settings = GeneratorSettings(steps=2, batch_size=2, validation=0.0, device=device)
    train_generator(Order("bench", model, data, settings), threading.Event(), lambda text: None)
    merged = merge(find_tuned("bench"), "merged", model)
    request = Request("A gorgeous, witty film.", task="sentiment", strategy="static-few-shot", reading="labels")

    def asks(settings: ModelSettings) -> Any:
        assistant = Assistant(load_chat_model(settings))
        return lambda: [assistant.answer(request) for _ in range(10)]

    return {
        "base": asks(ModelSettings(model=model, device=device, dtype="float32")),
        "adapter beside the weights": asks(ModelSettings(model=model, adapter="bench", device=device, dtype="float32")),
        "adapter merged": asks(ModelSettings(model=str(merged), device=device, dtype="float32")),
    }


def main() -> None:
    """Measure and print both tables."""
    import os

    from assistant.environment import prepare_environment

    prepare_environment()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="demo")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--random-llama", action="store_true", help="a Llama made here, LoRA and QLoRA")
    parser.add_argument("--width", type=int, default=2048, help="of that Llama; 24 layers of 2,048: 1.1 billion")
    parser.add_argument("--layers", type=int, default=24)
    parser.add_argument("--tokens", type=int, default=512, help="of each of its rows")
    given = parser.parse_args()
    if given.random_llama:
        from random_llama import random_llama_table

        print(random_llama_table(given))
        return
    training = Training(given.model, given.steps, given.batch_size, given.device)
    measured = interleaved({"bare trl": training.bare, "shotwise": training.ours}, "bare trl", given.rounds)
    assert abs(training.losses["ours"] - training.losses["bare"]) < 1e-4, training.losses
    print(table(f"{given.steps} LoRA steps of {given.batch_size} rows", "steps/s", given.steps, measured))
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SHOTWISE_HOME"] = folder
        variants = serving(given.model, Path(folder), given.device)
        measured = interleaved(variants, "base", 3 * given.rounds)
    print(table("10 questions, labels scored", "questions/s", 10, measured))


if __name__ == "__main__":
    main()
