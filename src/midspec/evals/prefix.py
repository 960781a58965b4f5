"""The keys and values of the tokens that all prompts start with, computed once.

The system prompt and the frame of the question are most of a short evaluation prompt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from transformers import DynamicCache, PreTrainedModel

from midspec.errors import EvalError
from midspec.evals.ask import common_prefix

_FULL_ATTENTION = {"full_attention", "sliding_attention"}


@dataclass(frozen=True)
class Prefix:
    """Shared tokens, and per layer their keys and values, each ``(1, heads, tokens, width)``."""

    tokens: tuple[int, ...]
    layers: tuple[tuple[torch.Tensor, torch.Tensor], ...]

    def cache(self, rows: int) -> DynamicCache:
        """A cache that begins with the prefix in each of ``rows`` rows."""
        if not self.tokens:
            return DynamicCache()
        shape = (rows, -1, -1, -1)
        return DynamicCache([(k.expand(shape), v.expand(shape)) for k, v in self.layers])


@torch.inference_mode()
def shared_prefix(model: PreTrainedModel, prompts: Sequence[tuple[int, ...]]) -> Prefix:
    """The prefix of all prompts, so long that each prompt keeps one token at least."""
    check_attention(model)
    tokens = common_prefix([prompt[:-1] for prompt in prompts])
    if not tokens:
        return Prefix((), ())
    cache = DynamicCache()
    ids = torch.tensor([tokens], device=model.device)
    model(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
    layers = tuple((layer.keys, layer.values) for layer in cast(list[Any], cache.layers))
    return Prefix(tokens, layers)


def check_attention(model: PreTrainedModel) -> None:
    """``EvalError`` if the model cannot read a row in which two answers do not see each other."""
    kinds = set(getattr(model.config, "layer_types", None) or ()) - _FULL_ATTENTION
    if kinds:
        raise EvalError(
            f"a model with {', '.join(sorted(kinds))} layers cannot be scored; "
            "use a decoder with full or sliding attention"
        )
    attention = model.config._attn_implementation
    if attention not in ("sdpa", "eager"):
        raise EvalError(
            f"attention {attention!r} takes no custom mask; load the model with "
            "attn_implementation='sdpa'"
        )


def can_share(model: PreTrainedModel) -> bool:
    """Whether rows of such a model can be padded and begin with a shared prefix."""
    try:
        check_attention(model)
    except EvalError:
        return False
    return True
