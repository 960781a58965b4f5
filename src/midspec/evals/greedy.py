"""What the model says: greedy decoding of a batch of prompts behind the shared prefix."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from transformers import DynamicCache, PreTrainedModel, PreTrainedTokenizerBase

from midspec.evals.prefix import Prefix


def stop_tokens(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """Tokens that end a reply: the tokenizer's and the model's end markers."""
    config = getattr(model, "generation_config", None)
    ends = getattr(config, "eos_token_id", None)
    listed = ends if isinstance(ends, list) else [ends]
    return frozenset(t for t in (*listed, tokenizer.eos_token_id) if isinstance(t, int))


@torch.inference_mode()
def greedy_replies(
    model: PreTrainedModel,
    prompts: Sequence[tuple[int, ...]],
    prefix: Prefix,
    stops: frozenset[int],
    max_new_tokens: int,
) -> list[list[int]]:
    """Reply tokens of each prompt, without the end marker; the likeliest token at every step.

    Prompts are padded on the left; rows whose reply has ended leave the
    batch once they are half of it.
    """
    cache = prefix.cache(len(prompts))
    ids, mask, position = (t.to(model.device) for t in _padded(prompts, len(prefix.tokens)))
    replies: list[list[int]] = [[] for _ in prompts]
    rows, ended = list(range(len(prompts))), set[int]()
    for _ in range(max_new_tokens):
        token = _next_token(model, ids, mask, position, cache)
        for row, t in zip(rows, token.tolist(), strict=True):
            if t in stops:
                ended.add(row)
            elif row not in ended:
                replies[row].append(t)
        keep = [i for i, row in enumerate(rows) if row not in ended]
        if not keep:
            break
        ids, position = token[:, None], position[:, -1:] + 1
        mask = torch.cat([mask, torch.ones_like(ids)], dim=1)
        if 2 * len(keep) <= len(rows):  # not at every end: it copies the cache
            at = torch.tensor(keep, device=model.device)
            ids, position, mask = ids[at], position[at], mask[at]
            cache.batch_select_indices(at)
            rows = [rows[i] for i in keep]
    return replies


def _next_token(
    model: PreTrainedModel,
    ids: torch.Tensor,
    mask: torch.Tensor,
    position: torch.Tensor,
    cache: DynamicCache,
) -> torch.Tensor:
    """The likeliest next token of each row; the cache grows by ``ids``."""
    logits = model(
        input_ids=ids,
        attention_mask=mask,
        position_ids=position,
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=1,
    ).logits
    return logits[:, -1].argmax(-1)


def _padded(
    prompts: Sequence[tuple[int, ...]], n_prefix: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Ids, mask (over prefix and row) and positions, each ``(rows, ...)``."""
    rests = [prompt[n_prefix:] for prompt in prompts]
    width = max(map(len, rests))
    ids = torch.zeros(len(rests), width, dtype=torch.long)
    mask = torch.ones(len(rests), n_prefix + width, dtype=torch.long)
    positions = torch.full_like(ids, n_prefix)
    for i, rest in enumerate(rests):
        pad = width - len(rest)
        ids[i, pad:] = torch.tensor(rest)
        mask[i, n_prefix : n_prefix + pad] = 0
        positions[i, pad:] = torch.arange(n_prefix, n_prefix + len(rest))
    return ids, mask, positions
