"""The memory that a run will need, reckoned from the model and the run's options before it is allocated.

A step has two heights. Generating holds 16-bit weights, where they are copied, and the caches of the responses that are
drawn at once; updating holds gradients, and the activations of the piece of a micro-batch that is run at once. Weights,
Adam's moments, the KL anchor's reference and, on a CPU, the best weights so far are held all the time. As free memory
decides how many responses go together, an estimate is what a run takes at most, and the least that it can do with.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

SHARDINGS = ("none", "optimizer", "gradients", "weights")  # ZeRO's stages; FSDP2 is the last
# On a CPU larger pieces save little more time, once the products of a large model fill its caches; a small model's
# pieces hold many more tokens in as many bytes, which it needs, as its time is that of the calls.
CPU_BYTES = 3 << 29
WHILE_LEAVING = 1.5  # caches at once on a GPU, while responses that have ended leave
_LOGIT_BYTES = 16  # of a token of the vocabulary and a response, while one is drawn


@dataclass(frozen=True)
class ModelSize:
    """What of a model decides memory.

    Attributes:
        config: Of its text part.
        weights: Bytes.
        floats: How many of the weights are no quantised ones.
        itemsize: Bytes of most of those.
        trained: How many have a gradient.
        trained_itemsize: Bytes of one of those.
    """

    config: Any
    weights: int
    floats: int
    itemsize: int
    trained: int
    trained_itemsize: int = 4


@dataclass(frozen=True)
class MemoryPlan:
    """What of a run's options decides the memory of one of its processes.

    Attributes:
        rows_generated: Responses of a generation; 0 where another process or a budget of its own (vLLM) draws them.
        rows_updated: Responses of a micro-batch.
        prompt_tokens: Of the longest prompt.
        response_tokens: Longest response.
        optimizer: As transformers' `optim` names it.
        copies_weights: Generation takes a 16-bit copy of them.
        in_16_bits: The update computes in 16 bits.
        has_reference: The KL anchor's model is held beside the trained one.
        holds_best: The best trained weights are held, in the host's memory.
        checkpoints_layers: Activations are computed anew in the backward pass.
        num_processes: That train side by side.
        sharding: What they share out, one of `SHARDINGS`: each with those before it.
        device_type: "cpu", or an accelerator's.
        available: Bytes that the process may have in all; None where that is not known.
    """

    rows_generated: int
    rows_updated: int
    prompt_tokens: int
    response_tokens: int
    optimizer: str = "adamw_torch"
    copies_weights: bool = False
    in_16_bits: bool = False
    has_reference: bool = False
    holds_best: bool = False
    checkpoints_layers: bool = False
    num_processes: int = 1
    sharding: str = "none"
    device_type: str = "cpu"
    available: int | None = None


@dataclass(frozen=True)
class MemoryParts:
    """Bytes of one process, by what they are for.

    Attributes:
        weights: The model.
        reference: The KL anchor's.
        best_weights: Those kept so far; on an accelerator they take nothing of its memory.
        optimizer: Adam's two moments.
        generation_copy: 16-bit weights, while responses are drawn.
        caches: Keys, values and logits of the responses that are drawn at once.
        gradients: Of the trained weights; twice where processes exchange them whole.
        autocast_copy: 16-bit weights, while the update computes in 16 bits on 32-bit ones.
        activations: Of the tokens that are updated at once.
    """

    weights: int
    reference: int
    best_weights: int
    optimizer: int
    generation_copy: int
    caches: int
    gradients: int
    autocast_copy: int
    activations: int

    @property
    def standing(self) -> int:
        """Held all the time."""
        return self.weights + self.reference + self.best_weights + self.optimizer

    @property
    def generating(self) -> int:
        """While responses are drawn."""
        return self.standing + self.generation_copy + self.caches

    @property
    def updating(self) -> int:
        """In the backward pass."""
        return self.standing + self.gradients + self.autocast_copy + self.activations

    @property
    def peak(self) -> int:
        """The higher of both."""
        return max(self.generating, self.updating)


@dataclass(frozen=True)
class MemoryEstimate:
    """Of one process: `most` with all together that would go together, `least` with a response at a time.

    Where `available` is less than the most, a run takes what there is; less than the least, and it ends out of memory.
    """

    most: MemoryParts
    least: MemoryParts
    available: int | None = None

    @property
    def fits(self) -> bool:
        """Whether the least is available, as far as is known."""
        return self.available is None or self.least.peak <= self.available

    def advise(self) -> str | None:
        """What to do where it does not fit."""
        if self.fits:
            return None
        return (
            f"a process needs {self.least.peak / 2**30:.1f} GiB at least, and may have "
            f"{(self.available or 0) / 2**30:.1f}: train an adapter (--use_peft), load the base in 4 bits "
            "(--load_in_4bit), lower --max_completion_length, or shard over processes (docs/recipes.md)"
        )

    def list_parts(self) -> Mapping[str, tuple[float, float]]:
        """Most and least of each part that there is, in GiB, then of the heights they add up to."""
        names = [field.name for field in fields(MemoryParts) if getattr(self.most, field.name) > 0]
        return {
            name.replace("_", " "): (getattr(self.most, name) / 2**30, getattr(self.least, name) / 2**30)
            for name in (*names, "generating", "updating", "peak")
        }

    def describe(self) -> str:
        """`estimated memory: 1.2 to 5.2 GiB (weights 1.8, ...), 31.0 GiB available`."""
        heights = ("generating", "updating", "peak")
        parts = {name: most for name, (most, _) in self.list_parts().items() if name not in heights}
        named = ", ".join(f"{name} {size:.1f}" for name, size in parts.items() if size >= 0.05)
        available = "" if self.available is None else f", {self.available / 2**30:.1f} GiB available"
        between = f"{self.least.peak / 2**30:.1f} to {self.most.peak / 2**30:.1f} GiB"
        return f"estimated memory: {between}{f' ({named})' if named else ''}{available}"


def measure_size(model: Any) -> ModelSize:
    """Of a model of transformers, with an adapter or without; its weights may be without data (`meta`)."""
    weights = [*model.parameters()]
    trained = [weight for weight in weights if weight.requires_grad]
    sizes = Counter[int]()
    for weight in weights:
        if weight.is_floating_point():
            sizes[weight.element_size()] += weight.numel()
    return ModelSize(
        model.config.get_text_config(),
        sum(weight.nbytes for weight in weights),
        sum(sizes.values()),
        max(sizes, key=sizes.__getitem__, default=4),
        sum(weight.numel() for weight in trained),
        max((weight.element_size() for weight in trained), default=4),
    )


def estimate_memory(size: ModelSize, plan: MemoryPlan) -> MemoryEstimate:
    """Estimates, not measurements: activations and caches as of a dense transformer of the model's width and depth."""
    return MemoryEstimate(_add_up(size, plan, least=False), _add_up(size, plan, least=True), plan.available)


def _add_up(size: ModelSize, plan: MemoryPlan, *, least: bool) -> MemoryParts:
    stage = SHARDINGS.index(plan.sharding)
    of_weights, of_gradients, of_states = (plan.num_processes if stage >= part else 1 for part in (3, 2, 1))
    exchanged = 2 if plan.num_processes > 1 and stage < 2 else 1
    trained = size.trained * size.trained_itemsize
    is_whole = of_weights == 1  # of sharded weights 16-bit ones are made layer by layer
    length = plan.prompt_tokens + plan.response_tokens
    rows_generated, tokens = plan.rows_generated, plan.rows_updated * length
    if least:
        rows_generated, tokens = min(1, rows_generated), length
    elif plan.device_type == "cpu":
        tokens = min(tokens, max(CPU_BYTES // estimate_bytes_per_token(size.config), length))
    return MemoryParts(
        weights=size.weights // of_weights,
        reference=size.weights // of_weights if plan.has_reference else 0,
        best_weights=trained if plan.holds_best and plan.device_type == "cpu" else 0,
        optimizer=_count_state_bytes(plan.optimizer, size) // of_states,
        generation_copy=2 * size.floats if plan.copies_weights and is_whole else 0,
        caches=rows_generated * _count_row_bytes(size, plan, length),
        gradients=exchanged * trained // of_gradients,
        autocast_copy=2 * size.trained if plan.in_16_bits and is_whole and size.trained_itemsize > 2 else 0,
        activations=tokens * _count_activation_bytes(size.config, plan.checkpoints_layers),
    )


def _count_state_bytes(optimizer: str, size: ModelSize) -> int:
    """Of what an optimiser keeps of each trained weight."""
    if "sgd" in optimizer or "adafactor" in optimizer:
        return 0
    itemsize = 1 if "8bit" in optimizer else 0.5 if "4bit" in optimizer else size.trained_itemsize
    return int(2 * size.trained * itemsize)


def _count_row_bytes(size: ModelSize, plan: MemoryPlan, length: int) -> int:
    """Of a response that is drawn: its cache, and its next token's logits."""
    config = size.config
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    is_narrow = plan.copies_weights or plan.in_16_bits or size.itemsize <= 2
    cache = 2 * config.num_hidden_layers * heads * width * length * (2 if is_narrow else 4)
    leaving = 1 if plan.device_type == "cpu" else WHILE_LEAVING
    return int(leaving * cache) + _LOGIT_BYTES * config.vocab_size


def _count_activation_bytes(config: Any, checkpoints_layers: bool) -> int:
    """A token's; where layers are computed anew, what goes into each is kept, and one layer's own at a time."""
    whole = estimate_bytes_per_token(config)
    if not checkpoints_layers:
        return whole
    return whole // config.num_hidden_layers + 4 * config.num_hidden_layers * config.hidden_size


def estimate_bytes_per_token(config: Any) -> int:
    """Bytes of a token's activations that the backward pass reads, in 32 bits; a little more than there are.

    Args:
        config: Of a text model. Of a mixture of experts those count that a token goes through.
    """
    hidden, width = config.hidden_size, getattr(config, "intermediate_size", None) or 4 * config.hidden_size
    experts = getattr(config, "num_experts_per_tok", None)
    if experts:
        width = max(width, experts * (getattr(config, "moe_intermediate_size", None) or width))
    return 4 * config.num_hidden_layers * (14 * hidden + 4 * width)
