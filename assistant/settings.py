"""Settings: small frozen dataclasses that check themselves. A default exists once, here."""

from __future__ import annotations

from dataclasses import dataclass

from assistant.errors import SettingError, UnknownName

ORDERS = ("nearest-last", "nearest-first", "random")
SELECTORS = ("none", "fixed", "random", "nearest", "diverse", "balanced", "bm25")
READINGS = ("generate", "labels")
DTYPES = ("auto", "float32", "bfloat16", "float16")
LOAD_IN = ("4bit", "8bit")
DEFAULT_STRATEGY = "zero-shot"
DEFAULT_TASK = "chat"
NO_ADAPTER = "none"
"""Says in the place of an adapter's name: the base model alone."""


def _require(condition: bool, message: str, hint: str = "") -> None:
    if not condition:
        raise SettingError(message, hint)


def _member(kind: str, name: str, known: tuple[str, ...]) -> None:
    if name not in known:
        raise UnknownName(kind, name, known)


@dataclass(frozen=True)
class GuardSettings:
    """When a row counts as a copy of the question and is kept out of the demonstrations."""

    enabled: bool = True
    """Off only when asked for; reports then say so."""
    jaccard: float = 0.8
    """Least share of common character 5-grams of the normalised texts, 0…1."""
    cosine: float = 0.95
    """Least cosine of the embedded inputs, −1…1."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        _require(0 < self.jaccard <= 1, f"The guard's Jaccard limit must be in (0, 1], not {self.jaccard}.")
        _require(-1 <= self.cosine <= 1, f"The guard's cosine limit must be in [-1, 1], not {self.cosine}.")


@dataclass(frozen=True)
class RetrievalSettings:
    """Which demonstrations are shown, how many, and in which order."""

    k: int = 4
    """Demonstrations shown."""
    selector: str | None = None
    """Overrides the strategy's own selector where that one searches the index."""
    order: str = "nearest-last"
    """Order in the prompt."""
    diversity: float = 0.5
    """Of `diverse` (maximal marginal relevance): 0 looks only at similarity, 1 only at novelty."""
    candidates: int = 20
    """Nearest rows among which `diverse` and `balanced` choose."""
    guard: GuardSettings = GuardSettings()
    """The leak guard."""

    def __post_init__(self) -> None:
        """Check ranges and names."""
        _require(0 <= self.k <= 64, f"k must be between 0 and 64, not {self.k}.")
        _require(0 <= self.diversity <= 1, f"The diversity must be between 0 and 1, not {self.diversity}.")
        _require(self.candidates >= 1, f"There must be at least 1 candidate, not {self.candidates}.")
        _member("order", self.order, ORDERS)
        if self.selector is not None:
            _member("selector", self.selector, SELECTORS)


@dataclass(frozen=True)
class SamplingSettings:
    """How tokens are drawn."""

    temperature: float = 0.0
    """0 is greedy."""
    top_p: float = 1.0
    """Nucleus: the least set of tokens with this much probability, (0, 1]."""
    max_new_tokens: int = 256
    """Tokens after which the reply is cut."""
    seed: int = 0
    """Of sampling, of random demonstrations and of random order."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        _require(0 <= self.temperature <= 5, f"The temperature must be between 0 and 5, not {self.temperature}.")
        _require(0 < self.top_p <= 1, f"top-p must be in (0, 1], not {self.top_p}.")
        _require(1 <= self.max_new_tokens <= 8192, f"Max new tokens must be 1 to 8192, not {self.max_new_tokens}.")
        _require(0 <= self.seed < 2**63, f"The seed must be 0 or a positive whole number, not {self.seed}.")


@dataclass(frozen=True)
class ModelSettings:
    """Which chat model is loaded, and how."""

    model: str = "demo"
    """`demo`, `scripted`, a local folder or a hub id."""
    adapter: str | None = None
    """PEFT adapter: a folder, a name under adapters/, or `question-types`, the built-in one; `none` is none."""
    dtype: str = "auto"
    """`auto`: bf16 on a GPU that has it, fp32 on CPU while the model fits into memory."""
    device: str = "auto"
    """`auto`: the first GPU if there is one, else the CPU."""
    load_in: str | None = None
    """`4bit` or `8bit` through bitsandbytes, or None."""

    def __post_init__(self) -> None:
        """Check the names."""
        _member("dtype", self.dtype, DTYPES)
        if self.load_in is not None:
            _member("quantisation", self.load_in, LOAD_IN)


@dataclass(frozen=True)
class EncoderSettings:
    """Which encoder embeds, and in which portions."""

    encoder: str = "default"
    """`default` (the packaged all-MiniLM-L6-v2), `toy`, a local folder or a hub id."""
    batch_size: int = 32
    """Texts embedded at once; on a CPU larger batches are slower."""
    portion: int = 4096
    """Rows that are read, sorted by length and embedded before the next are read."""


@dataclass(frozen=True)
class EvaluationSettings:
    """How much is evaluated, and in which portions."""

    limit: int = 200
    """Samples answered by every arm."""
    seeds: int = 5
    """Seeds of whatever is drawn by chance; everything else is answered once."""
    block_size: int = 64
    """Samples that one arm answers together; a block is finished or was never begun."""
    check_size: int = 3
    """Samples that every arm answers once more, to see whether a seed means the same twice; 0: none."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        _require(self.limit >= 1, f"At least 1 sample must be answered, not {self.limit}.", "Raise --limit.")
        _require(1 <= self.seeds <= 100, f"There must be 1 to 100 seeds, not {self.seeds}.")
        _require(self.block_size >= 1, f"A block has at least 1 sample, not {self.block_size}.")
        _require(self.check_size >= 0, f"The number of samples checked cannot be {self.check_size}.")


@dataclass(frozen=True)
class AdviceSettings:
    """What an advice may spend, and on what; the defaults are some minutes on a CPU with the built-in model."""

    budget: int = 3_000
    """Model calls in all."""
    seconds: float | None = None
    """Time after which no block begins; None: the budget alone decides, and the same seed gives the same advice."""
    strategies: tuple[str, ...] = ()
    """Empty: all that fit the task, but for controls."""
    baseline: str = ""
    """The strategy that is always tested; empty: the first."""
    reading: str = ""
    """`labels` or `generate`; empty: labels where they can be scored."""
    wording: str = "default"
    """Of the instruction."""
    pool: int = 1_000
    """Rows that become demonstrations, where an index has to be built."""
    encoder: str = EncoderSettings.encoder
    """Of that index."""
    seed: int = 0
    """Of cuts, draws and sampling."""
    retrieval: RetrievalSettings = RetrievalSettings()
    """How demonstrations are chosen."""
    sampling: SamplingSettings = SamplingSettings()
    """How tokens are drawn."""

    def __post_init__(self) -> None:
        """Check ranges and names."""
        _require(self.budget >= 1, f"A budget of {self.budget} model calls is none.")
        _require(self.pool >= 1, f"There must be at least 1 demonstration to choose from, not {self.pool}.")
        _require(self.seconds is None or self.seconds > 0, f"{self.seconds} seconds are no time.", "Give more.")
        _require(0 <= self.seed < 2**31, f"The seed must be 0 or a positive number, not {self.seed}.")
        if self.reading:
            _member("reading", self.reading, READINGS)


@dataclass(frozen=True)
class ServerSettings:
    """Where the page is served: this machine only."""

    host: str = "127.0.0.1"
    """Loopback; nothing else is offered."""
    port: int = 7860
    """TCP port."""

    def __post_init__(self) -> None:
        """Check the port."""
        _require(0 < self.port < 65536, f"A port is a number from 1 to 65535, not {self.port}.")
