"""Memory and time of a training before it is run, from formulas.

What a GPU holds: weights, gradients, optimizer states, activations of one forward pass, logits,
and what a framework takes. The activations are counted for the Llama and Qwen family (RMSNorm,
gated MLP, sdpa or flash attention) as PyTorch keeps them; ``tests/test_train_memory.py`` compares
the formulas with measured runs on CPU (within 15%).
"""

from __future__ import annotations

from pydantic import Field

from midspec.records import Frozen
from midspec.train.config import LOSS_CELLS, TrainConfig
from midspec.train.sizes import GIB, Gpus, Shape

# What saves memory, in the order in which it is tried (each costs more time than the one before).
CHANGES = {"micro_rows": 1, "activation_checkpointing": True, "parallel": "fsdp"}
FRAMEWORK = 1.5 * GIB  # CUDA context, kernels and communication buffers
FRAGMENTS = 1.05  # what the allocator cannot use
DEFAULT_MFU = (
    0.35  # share of the peak that such trainings reach; measure yours: deploy/gpu_check.py
)


class Needs(Frozen):
    """Bytes that one GPU needs at the peak of a step, by what they are for."""

    weights: float
    gradients: float = Field(description="those that are there beside the activations")
    optimizer: float
    activations: float
    masks: float = Field(description="what keeps documents apart: sdpa keeps one for each layer")
    logits: float
    gathered: float = Field(description="fsdp: layers that are whole for a moment")
    framework: float

    @property
    def total(self) -> float:
        """All of it."""
        return sum(self.model_dump().values())


def trainable(shape: Shape, config: TrainConfig) -> int:
    """Weights that are trained."""
    if config.method == "lora":
        return config.lora_rank * shape.lora_width
    frozen = shape.vocabulary * shape.hidden if config.freeze_embeddings else 0
    return shape.parameters - frozen


def memory_needs(
    shape: Shape,
    config: TrainConfig,
    *,
    processes: int = 1,
    bf16: bool = True,
    supervised_share: float = 1.0,
    framework: float = FRAMEWORK,
) -> Needs:
    """Peak bytes of one process in a step.

    ``supervised_share`` is the share of places with a label: there are no logits elsewhere.
    """
    fsdp = config.parallel == "fsdp" and processes > 1
    part = processes if fsdp else 1
    n = trainable(shape, config)
    rows = config.micro_rows or max(1, config.batch_rows // processes)
    tokens = rows * config.row_tokens
    forward = {
        "activations": _activations(shape, config, tokens, bf16=bf16),
        "masks": rows * config.row_tokens**2 * _mask_bytes(shape, config, bf16=bf16),
        "logits": _logits(shape, tokens * supervised_share, bf16=bf16),
    }
    passes = max(1, config.batch_rows // (rows * processes))
    buckets = processes > 1 and not fsdp  # DDP has the gradients a second time, all the while
    held = 4 * n * ((passes > 1) + buckets) / part
    whole = 4 * n * (1 + buckets) / part
    return Needs(
        weights=_weight_bytes(shape, config, n, bf16=bf16, fsdp=fsdp) / part,
        # A step of one pass has all gradients only when its activations are gone.
        gradients=max(held, whole - sum(forward.values())),
        optimizer=8 * n / part,
        gathered=_gathered(shape, n, config, bf16=bf16) if fsdp else 0,
        framework=framework,
        **forward,
    )


def _weight_bytes(
    shape: Shape, config: TrainConfig, n_trained: int, *, bf16: bool, fsdp: bool
) -> float:
    if config.method == "lora":
        return (2 if bf16 else 4) * shape.parameters + 4 * n_trained
    copies = 2 if bf16 and not fsdp else 0  # autocast keeps a bf16 copy for the step
    return (4 + copies) * shape.parameters


def _logits(shape: Shape, n_labels: float, *, bf16: bool) -> float:
    """Logits and their gradient; a few rows of both in float32 while the loss is computed."""
    unit = 2 if bf16 else 4
    cells = n_labels * shape.vocabulary
    return 2 * unit * cells + 8 * min(LOSS_CELLS, cells)


def _mask_bytes(shape: Shape, config: TrainConfig, *, bf16: bool) -> int:
    """Bytes for each pair of places in a row; each layer makes its own mask of numbers."""
    if config.attention.startswith("fl"):  # flash and flex know the documents by other means
        return 0
    unit = 2 if bf16 else 4
    return 1 + unit if config.activation_checkpointing else unit * shape.layers


def _activations(shape: Shape, config: TrainConfig, tokens: int, *, bf16: bool) -> float:
    """What autograd keeps of one forward pass, in bytes."""
    unit = 2 if bf16 else 4
    lora = config.method == "lora"
    # Two norms keep their float32 input; queries, repeated keys and values, the output;
    # gate, its activation, up.
    layer = 8 * shape.hidden + unit * (4 * shape.heads_width + 3 * shape.intermediate)
    # What goes into the projections: attention's output, the gated product, the normalized input.
    layer += unit * (shape.heads_width + shape.intermediate)
    if lora or not bf16:
        layer += 2 * unit * shape.hidden
    else:  # autocast makes a copy of a float32 norm for each of five projections
        layer += (4 + 5 * unit) * shape.hidden
    if lora:
        layer += 7 * unit * config.lora_rank
    head = (4 + 2 * unit) * shape.hidden
    if not config.activation_checkpointing:
        return tokens * (shape.layers * layer + head)
    residual = unit if lora else 4
    return tokens * (shape.layers * residual * shape.hidden + layer + head)


def _gathered(shape: Shape, n_trained: int, config: TrainConfig, *, bf16: bool) -> float:
    """Two layers (the next is fetched early) and the root whole; one layer's whole gradients."""
    unit = 2 if bf16 else 4
    one = (shape.parameters - shape.root_parameters) / shape.layers
    grads = 4 * n_trained / shape.layers
    root_grads = 0 if config.method == "lora" else 4 * shape.root_parameters
    return unit * (2 * one + shape.root_parameters) + grads + root_grads


def flops_per_token(shape: Shape, config: TrainConfig) -> float:
    """Operations a token: 2 a weight forward, 2 backward, 2 for a trained weight's gradient.

    Attention adds its (causal) products; checkpointing a second forward pass.
    """
    n_matrix = shape.parameters - shape.vocabulary * shape.hidden  # looking up costs nothing
    attention = 2 * shape.layers * shape.heads_width * config.row_tokens
    forward = 2 * n_matrix + attention
    n = min(trainable(shape, config), n_matrix)
    again = forward if config.activation_checkpointing else 0
    return 3 * forward - 2 * (n_matrix - n) + again


def estimated_seconds(
    shape: Shape, config: TrainConfig, gpus: Gpus, tokens: int, mfu: float = DEFAULT_MFU
) -> float:
    """Seconds for ``tokens`` at a share ``mfu`` of the GPUs' peak."""
    return tokens * flops_per_token(shape, config) / (gpus.flops * gpus.count * mfu)


def fits(needs: Needs, gpus: Gpus) -> bool:
    """Whether it fits, with room for fragments."""
    return needs.total * FRAGMENTS <= gpus.memory


def advise(
    shape: Shape, config: TrainConfig, gpus: Gpus, *, supervised_share: float = 1.0
) -> TrainConfig | None:
    """The settings with the fewest changes that fit; None if none does.

    Tried in this order: as asked, one row a pass, activation checkpointing, fsdp.
    """
    n = len(CHANGES) if gpus.count > 1 else len(CHANGES) - 1
    for count in range(n + 1):
        tried = config.model_copy(update=dict(list(CHANGES.items())[:count]))
        needs = memory_needs(shape, tried, processes=gpus.count, supervised_share=supervised_share)
        if fits(needs, gpus):
            return tried
    return None
