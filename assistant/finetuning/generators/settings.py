"""Settings of a fine-tuning; they check themselves, each mistake in one sentence."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from assistant.errors import SettingError, UnknownName
from assistant.finetuning.generators.methods import Method, find_method
from assistant.generation.adapters import MAX_RANK
from assistant.settings import DEFAULT_STRATEGY, DTYPES, RetrievalSettings

TARGETS = ("attention", "all-linear")
ROWS = 1_000
"""Learnt from, unless told otherwise: source document 003 names 500 to 1,000 for one task."""
_RETRIEVED = "dynamic-few-shot"
_EVALUATIONS = 10
"""In a run, where their distance is not given."""


@dataclass(frozen=True)
class GeneratorSettings:
    """How a language model is fine-tuned."""

    method: str = "lora"
    """One of the table of methods."""
    rank: int = 8
    """Of low-rank matrices."""
    alpha: int | None = None
    """Their product is multiplied by alpha/rank; None: twice the rank."""
    dropout: float = 0.05
    """Share of a low-rank branch's inputs that is left out at each step."""
    targets: str = "attention"
    """Which weight matrices low-rank ones stand beside: `attention` or `all-linear`."""
    virtual_tokens: int = 20
    """Vectors of a soft prompt."""
    epochs: float = 3.0
    """Times that every row is learnt from, unless `steps` are given."""
    steps: int | None = None
    """Steps of the optimizer."""
    batch_size: int = 8
    """Rows that are learnt from at once."""
    accumulation: int = 1
    """Batches whose gradients are summed up for one step."""
    learning_rate: float | None = None
    """The highest; None: the method's own, in inverse proportion to the network's width."""
    warmup: float = 0.05
    """Share of the steps in which the learning rate rises; then it falls in a straight line."""
    weight_decay: float = 0.0
    max_tokens: int = 1024
    """Longest row, prompt and reply together; longer ones are left out and counted. The context may be shorter."""
    validation: float = 0.1
    """Share of the rows that is never learnt from, whole groups; 0: none."""
    evaluate_every: int | None = None
    """Steps between validations, each with a checkpoint; None: a tenth of the run."""
    patience: int = 4
    """Validations without a better loss after which training ends; 0: never."""
    packing: bool = False
    """Whether several rows share one line of a batch, apart from each other."""
    gradient_checkpointing: bool = False
    """Whether activations are computed twice rather than kept: less memory, more time."""
    strategy: str = DEFAULT_STRATEGY
    """Under whose prompts the rows are learnt."""
    k: int = 0
    """Demonstrations retrieved into each training prompt; more than 0 makes zero-shot dynamic-few-shot, and a strategy
    that retrieves has some."""
    wording: str = "default"
    """Of the task's instruction."""
    seed: int = 0
    """Of new weights, of the split, of order and dropout."""
    device: str = "auto"
    """`auto`: the first GPU if there is one, else the CPU."""
    dtype: str = "auto"
    """Of the base's weights. `auto`: fp32 on a CPU and in full fine-tuning, else bf16 where it exists."""

    def __post_init__(self) -> None:
        """Check ranges, names, and what contradicts each other."""
        if self.k and self.strategy == DEFAULT_STRATEGY:
            object.__setattr__(self, "strategy", _RETRIEVED)
        if not self.k and self._retrieves:
            object.__setattr__(self, "k", RetrievalSettings.k)
        method = find_method(self.method)
        _named("choice of targets", self.targets, TARGETS)
        _named("dtype", self.dtype, DTYPES)
        self._check_numbers()
        self._check_shares()
        self._check_together(method)

    @property
    def _retrieves(self) -> bool:
        if self.strategy == DEFAULT_STRATEGY:
            return False
        # It brings jinja2, which nobody needs who only asks for help.
        from assistant.prompting.strategies import find_strategy

        return find_strategy(self.strategy).needs_index

    @property
    def table_row(self) -> Method:
        """Return the method's row of the table."""
        return find_method(self.method)

    @property
    def scaled_by(self) -> int:
        """Return alpha."""
        return 2 * self.rank if self.alpha is None else self.alpha

    @property
    def highest_rate(self) -> float:
        """Return the learning rate that is given, or the method's own for the width of its table."""
        return self.table_row.learning_rate if self.learning_rate is None else self.learning_rate

    def at_width(self, width: int | None) -> GeneratorSettings:
        """Return the settings with the learning rate that a network of that width is trained with."""
        return self if self.learning_rate is not None else replace(self, learning_rate=self.table_row.rate_at(width))

    def distance(self, steps: int) -> int:
        """Return the steps between two validations of a run of so many steps."""
        return min(steps, self.evaluate_every or max(1, round(steps / _EVALUATIONS)))

    def to_json(self) -> dict[str, Any]:
        """Return the settings as plain data, with what was left to the method filled in."""
        return {**asdict(self), "alpha": self.scaled_by, "learning_rate": self.highest_rate}

    def _check_numbers(self) -> None:
        for name, value, most in (
            ("rank", self.rank, MAX_RANK),
            ("alpha", self.scaled_by, 65_536),
            ("number of virtual tokens", self.virtual_tokens, 4096),
            ("batch size", self.batch_size, 4096),
            ("accumulation", self.accumulation, 4096),
            ("number of steps", 1 if self.steps is None else self.steps, 10_000_000),
            ("distance of validations", 1 if self.evaluate_every is None else self.evaluate_every, 10_000_000),
            ("longest row", self.max_tokens, 1_000_000),
        ):
            _require(1 <= value <= most, f"The {name} must be from 1 to {most:,}, not {value:,}.")
        _require(
            0 <= self.patience <= 10_000, f"The patience must be 0 or a number of validations, not {self.patience}."
        )
        _require(0 <= self.k <= 64, f"k must be between 0 and 64, not {self.k}.")
        _require(
            not self.k or self._retrieves,
            f"The strategy '{self.strategy}' retrieves no demonstrations.",
            f"Leave out -k, or choose --strategy {_RETRIEVED}.",
        )
        _require(0 <= self.seed < 2**31, f"The seed must be 0 or a positive whole number, not {self.seed}.")

    def _check_shares(self) -> None:
        _require(0 <= self.dropout < 1, f"The dropout must be from 0 to less than 1, not {self.dropout}.")
        _require(0 <= self.warmup <= 1, f"The warmup is a share of the steps, 0 to 1, not {self.warmup}.")
        _require(0 <= self.validation <= 0.5, f"The validation share must be from 0 to 0.5, not {self.validation}.")
        _require(0 < self.epochs <= 1000, f"The number of epochs must be above 0 and at most 1000, not {self.epochs}.")
        _require(0 < self.highest_rate <= 10, f"The learning rate must be above 0, not {self.learning_rate}.")
        _require(0 <= self.weight_decay <= 1, f"The weight decay must be from 0 to 1, not {self.weight_decay}.")

    def _check_together(self, method: Method) -> None:
        soft = method.form == "soft prompt"
        _require(
            not (self.packing and soft),
            "Packed rows would share one soft prompt.",
            "Leave out --packing, or choose a method without virtual tokens.",
        )
        _require(
            not (self.gradient_checkpointing and method.name == "prefix-tuning"),
            "Prefix tuning keeps its keys and values in the cache, which gradient checkpointing does without.",
            "Leave out --gradient-checkpointing, or choose prompt-tuning.",
        )


def _require(condition: bool, message: str, hint: str = "") -> None:
    if not condition:
        raise SettingError(message, hint)


def _named(kind: str, name: str, known: tuple[str, ...]) -> None:
    if name not in known:
        raise UnknownName(kind, name, known)
