"""What fine-tuning and adapters cost, against the libraries alone on the same weights in the same run.

    python benchmarks/bench_training.py [--model demo] [--rounds 5] [--steps 10] [--batch-size 8]

First table: LoRA steps of `shotwise adapter train` against a bare trl script with the same rows as token ids, the
same settings and the same seed; progress told and written at every step is in ours. That both come to the same
loss is checked. Second table: label scores of one question by the base, with the adapter beside its weights, and
with the adapter merged into them. CPU seconds in interleaved rounds; 1.00 means as fast as the baseline.
"""

from __future__ import annotations

import argparse
import copy
import tempfile
import threading
from pathlib import Path
from typing import Any

from benchlib import interleaved, one_thread, table

one_thread()


class Training:
    """The same LoRA steps by us and by a bare trl script."""

    def __init__(self, model: str, steps: int, batch_size: int) -> None:
        from assistant.evaluation.tuning.source import Place, training_data
        from assistant.finetuning.generators.examples import ExampleWriter
        from assistant.finetuning.generators.settings import GeneratorSettings
        from assistant.generation.loading import load_base
        from assistant.settings import ModelSettings

        self.settings = GeneratorSettings(
            steps=steps, batch_size=batch_size, validation=0.0, dropout=0.0, warmup=0.0, device="cpu", dtype="float32"
        )
        self.base = load_base(ModelSettings(model=model, dtype="float32", device="cpu"))
        writer = ExampleWriter(self.base.renderer, self.base.context_tokens, self.settings, "sentiment")
        self.examples = writer.encode(training_data(Place("reviews")).rows).examples
        self.losses: dict[str, float] = {}

    def ours(self) -> None:
        """Train as `adapter train` does, without loading and saving."""
        from assistant.finetuning.generators.adapting import adapted, quiet_libraries
        from assistant.finetuning.generators.learnt_tokens import logits_of_learnt_tokens
        from assistant.finetuning.generators.progress import Teller
        from assistant.finetuning.generators.trainers import Work, new_trainer

        with tempfile.TemporaryDirectory() as folder:
            network = copy.deepcopy(self.base.network)
            model = adapted(network, self.settings, encoder_decoder=False, first_ids=self.examples[0].ids)
            tokenizer = copy.deepcopy(self.base.renderer.tokenizer)
            work = Work(model, tokenizer, self.examples, (), False, Path(folder))
            teller = Teller(Path(folder), lambda progress: None, cuda=False)
            trainer = new_trainer(work, self.settings, teller, threading.Event())
            trainer.args.save_strategy = "no"
            with quiet_libraries(), logits_of_learnt_tokens():
                trainer.train()
            self.losses["ours"] = _last_loss(trainer)

    def bare(self) -> None:
        """Train as a script of trl's documentation does."""
        import datasets
        import peft
        from trl import SFTConfig, SFTTrainer

        from assistant.finetuning.generators.adapting import attention_layers, quiet_libraries

        with tempfile.TemporaryDirectory() as folder, quiet_libraries():
            network = copy.deepcopy(self.base.network)
            rows = datasets.Dataset.from_list([one.columns(encoder_decoder=False) for one in self.examples])
            config = peft.LoraConfig(
                task_type="CAUSAL_LM", r=self.settings.rank, lora_alpha=self.settings.scaled_by,
                target_modules=attention_layers(network),
            )  # fmt: skip
            arguments = SFTConfig(
                output_dir=folder, max_steps=self.settings.steps, learning_rate=self.settings.highest_rate,
                per_device_train_batch_size=self.settings.batch_size, lr_scheduler_type="linear",
                seed=self.settings.seed, max_length=None, gradient_checkpointing=False, bf16=False, use_cpu=True,
                save_strategy="no", logging_steps=self.settings.steps, report_to="none", disable_tqdm=True,
                dataset_kwargs={"skip_prepare_dataset": True}, dataloader_pin_memory=False,
            )  # fmt: skip
            tokenizer = copy.deepcopy(self.base.renderer.tokenizer)
            trainer = SFTTrainer(
                model=network, args=arguments, train_dataset=rows, processing_class=tokenizer, peft_config=config
            )
            trainer.train()
            self.losses["bare"] = trainer.state.log_history[-1]["train_loss"]


def _last_loss(trainer: Any) -> float:
    return float(trainer.state.log_history[-1]["train_loss"])


def serving(model: str, folder: Path) -> dict[str, Any]:
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
    settings = GeneratorSettings(steps=2, batch_size=2, validation=0.0, device="cpu")
    train_generator(Order("bench", model, data, settings), threading.Event(), lambda text: None)
    merged = merge(find_tuned("bench"), "merged", model)
    request = Request("A gorgeous, witty film.", task="sentiment", strategy="static-few-shot", reading="labels")

    def asks(settings: ModelSettings) -> Any:
        assistant = Assistant(load_chat_model(settings))
        return lambda: [assistant.answer(request) for _ in range(10)]

    return {
        "base": asks(ModelSettings(model=model, device="cpu", dtype="float32")),
        "adapter beside the weights": asks(ModelSettings(model=model, adapter="bench", device="cpu", dtype="float32")),
        "adapter merged": asks(ModelSettings(model=str(merged), device="cpu", dtype="float32")),
    }


def main() -> None:
    """Measure and print both tables."""
    import os

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="demo")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--batch-size", type=int, default=8)
    given = parser.parse_args()
    training = Training(given.model, given.steps, given.batch_size)
    measured = interleaved({"bare trl": training.bare, "shotwise": training.ours}, "bare trl", given.rounds)
    assert abs(training.losses["ours"] - training.losses["bare"]) < 1e-4, training.losses
    print(table(f"{given.steps} LoRA steps of {given.batch_size} rows", "steps/s", given.steps, measured))
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SHOTWISE_HOME"] = folder
        variants = serving(given.model, Path(folder))
        measured = interleaved(variants, "base", 3 * given.rounds)
    print(table("10 questions, labels scored", "questions/s", 10, measured))


if __name__ == "__main__":
    main()
