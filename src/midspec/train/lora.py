"""LoRA with fewer passes over memory: what PEFT's layer computes, in one product and in place.

PEFT writes ``result + B(A(x)) * scaling``, which makes three tensors as large as the result for a
product of rank 64. On a CPU these passes cost as much as the product.
"""

from __future__ import annotations

from typing import Any

import torch
from peft.tuners.lora import Linear


class _AddProduct(torch.autograd.Function):
    """``result + scaling * x a^T b^T``, written into ``result`` [..., out]; x is [..., in]."""

    @staticmethod
    def forward(ctx: Any, *given: Any) -> torch.Tensor:
        result, x, a, b, scaling = given
        low = x.reshape(-1, x.shape[-1]) @ a.t()  # [tokens, rank]
        result.view(-1, result.shape[-1]).addmm_(low, b.t(), alpha=scaling)
        ctx.mark_dirty(result)
        ctx.save_for_backward(x, a, b, low)
        ctx.scaling = scaling
        return result

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> Any:
        x, a, b, low = ctx.saved_tensors
        grad = grads[0].reshape(-1, b.shape[0])
        grad_low = (grad @ b).mul_(ctx.scaling)
        grad_x = (grad_low @ a).view_as(x) if ctx.needs_input_grad[1] else None
        grad_a = grad_low.t() @ x.reshape(-1, x.shape[-1])
        grad_b = (grad.t() @ low).mul_(ctx.scaling)
        return grads[0], grad_x, grad_a, grad_b, None


class InPlaceLinear(Linear):
    """PEFT's layer for one plain adapter; everything but its forward pass is PEFT's."""

    def forward(self, x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Base layer and adapter, [..., in] to [..., out]."""
        if args or kwargs or self.disable_adapters or self.merged or not self.training:
            return super().forward(x, *args, **kwargs)
        result = self.base_layer(x)
        (name,) = self.active_adapters
        a, b = self.lora_A[name].weight, self.lora_B[name].weight
        like = result.dtype  # autocast's, where it is on
        return _AddProduct.apply(result, x.to(like), a.to(like), b.to(like), self.scaling[name])  # type: ignore[return-value]


def add_in_place(model: torch.nn.Module) -> None:
    """Make the plain LoRA layers of a model ``InPlaceLinear``; others stay as they are."""
    for layer in model.modules():
        if type(layer) is Linear and _is_plain(layer):
            layer.__class__ = InPlaceLinear


def _is_plain(layer: Linear) -> bool:
    """One adapter without dropout, bias or variant (DoRA), on an ordinary linear layer."""
    names = list(layer.lora_A)
    return (
        type(layer.base_layer) is torch.nn.Linear
        and len(names) == 1
        and not layer.lora_variant
        and not layer.lora_bias[names[0]]
        and isinstance(layer.lora_dropout[names[0]], torch.nn.Identity)
    )
