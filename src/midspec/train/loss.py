"""The loss: cross entropy over the labelled tokens, with logits only where it looks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch.nn import functional

from midspec.train.config import LOSS_CELLS
from midspec.train.examples import IGNORE


class LabelledLogits:
    """Compute logits only where a label is: less work and memory with a large vocabulary.

    A hook cuts the hidden states [rows, tokens, width] to [labelled, width] on their way into the
    output layer. It works inside PEFT, DDP and FSDP wrappers, whatever the architecture.
    """

    def __init__(self, model: Any) -> None:
        head: torch.nn.Module = model.get_output_embeddings()
        self._chosen: torch.Tensor | None = None
        head.register_forward_pre_hook(self._select)

    def _select(self, _module: torch.nn.Module, args: tuple[torch.Tensor]) -> tuple | None:
        if self._chosen is None:
            return None
        return (args[0][:, :-1][self._chosen].unsqueeze(0),)

    def loss(self, model: torch.nn.Module, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        """Summed cross entropy in nats over the labelled tokens, in float32."""
        targets = inputs["labels"][:, 1:]
        self._chosen = targets != IGNORE
        try:
            output: Any = model(
                input_ids=inputs["input_ids"],
                position_ids=inputs["position_ids"],
                use_cache=False,
            )
        finally:
            chosen, self._chosen = self._chosen, None
        found: Any = _SummedLoss.apply(output.logits.squeeze(0), targets[chosen])
        return found


class _SummedLoss(torch.autograd.Function):
    """Summed cross entropy in float32, a few rows at a time, so that only gradients are as large.

    ``functional.cross_entropy`` makes three more tensors as large as the logits [n, vocabulary].
    """

    @staticmethod
    def forward(ctx: Any, *given: torch.Tensor) -> torch.Tensor:
        logits, targets = given
        ctx.save_for_backward(logits, targets)
        losses = [
            functional.cross_entropy(some.float(), of, reduction="sum")
            for some, of in _parts(logits, targets)
        ]
        return torch.stack(losses).sum()

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> Any:
        logits, targets = ctx.saved_tensors
        found = torch.empty_like(logits)
        for grad, some, of in _parts(found, logits, targets):
            chances = torch.softmax(some.float(), -1)
            chances[torch.arange(len(of), device=of.device), of] -= 1
            grad.copy_(chances.mul_(grads[0]))
        return found, None


def _parts(*tensors: torch.Tensor) -> Iterator[tuple[torch.Tensor, ...]]:
    """A few rows of each tensor at a time; the first is [n, vocabulary]."""
    rows = max(1, LOSS_CELLS // tensors[0].shape[1])
    return zip(*(tensor.split(rows) for tensor in tensors), strict=True)
