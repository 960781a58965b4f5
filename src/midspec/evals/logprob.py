"""Log-probabilities of two answers to one prompt, both in one row of one forward pass.

A row is ``[padding | prompt | answer a | answer b]`` behind the shared prefix: b does not see a
and takes up its positions, so that both continue the prompt. The last token of an answer is never
an input, so answers of one token cost nothing. Logits are taken at answer positions only.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from transformers import PreTrainedModel

from midspec.evals.ask import Tokens
from midspec.evals.prefix import Prefix

Logprobs = tuple[list[float], list[float]]


@torch.inference_mode()
def answer_logprobs(
    model: PreTrainedModel, rows: Sequence[Tokens], prefix: Prefix
) -> list[Logprobs]:
    """For each row the log-probabilities (nats) of the tokens of both answers, given the prompt."""
    layout = _Layout(rows, len(prefix.tokens))
    device = model.device
    mask = layout.mask.to(device)
    if model.config._attn_implementation == "eager":  # adds the mask instead of selecting by it
        mask = torch.zeros(mask.shape, dtype=model.dtype, device=device).masked_fill_(
            ~mask, torch.finfo(model.dtype).min
        )
    logits = model(
        input_ids=layout.ids.to(device),
        attention_mask=mask,
        position_ids=layout.positions.to(device),
        past_key_values=prefix.cache(len(rows)),
        use_cache=True,
        logits_to_keep=torch.arange(layout.last_prompt, layout.width, device=device),
    ).logits.float()
    normal = logits.logsumexp(-1)
    return [
        (
            _picked(logits[i], normal[i], row.answers[0], 0),
            _picked(logits[i], normal[i], row.answers[1], layout.inputs[0]),
        )
        for i, row in enumerate(rows)
    ]


def _picked(
    logits_TV: torch.Tensor, normal_T: torch.Tensor, answer: tuple[int, ...], skip: int
) -> list[float]:
    """Log-probabilities of an answer: first token after the prompt, the others ``skip`` later."""
    at = torch.tensor([0, *(skip + j for j in range(1, len(answer)))], device=logits_TV.device)
    tokens = torch.tensor(answer, device=logits_TV.device)
    return (logits_TV[at, tokens] - normal_T[at]).tolist()


class _Layout:
    """Token ids, positions and attention mask of a batch.

    ``ids``, ``positions``: ``(rows, width)``; ``mask``: ``(rows, 1, width, n_prefix + width)``,
    True where a query may look.
    """

    def __init__(self, rows: Sequence[Tokens], n_prefix: int) -> None:
        prompts = [row.prompt[n_prefix:] for row in rows]
        n_prompt = max(map(len, prompts))
        self.last_prompt = n_prompt - 1
        self.inputs = [max(len(row.answers[side]) - 1 for row in rows) for side in (0, 1)]
        self.width = n_prompt + sum(self.inputs)
        self.ids = torch.zeros(len(rows), self.width, dtype=torch.long)
        self.positions = torch.zeros_like(self.ids)
        self.mask = torch.zeros(len(rows), 1, self.width, n_prefix + self.width, dtype=torch.bool)
        self.mask[..., :n_prefix] = True
        for i, (row, prompt) in enumerate(zip(rows, prompts, strict=True)):
            start = n_prompt - len(prompt)
            self._segment(i, start, prompt, n_prefix)
            self._sees_itself(i, start, n_prompt)
            self._sees(i, slice(n_prompt, self.width), slice(start, n_prompt))
            at = n_prompt
            for answer, size in zip(row.answers, self.inputs, strict=True):
                self._segment(i, at, answer[:-1], n_prefix + len(prompt))
                self._sees_itself(i, at, at + size)
                at += size
            # Padding looks at itself: a row of the mask without a True gives NaN.
            self._sees(i, slice(0, start), slice(0, start))

    def _segment(self, i: int, at: int, tokens: tuple[int, ...], position: int) -> None:
        n = len(tokens)
        self.ids[i, at : at + n] = torch.tensor(tokens, dtype=torch.long)
        self.positions[i, at : at + n] = torch.arange(position, position + n)

    def _sees(self, i: int, queries: slice, keys: slice) -> None:
        self.mask[i, 0, :, -self.width :][queries, keys] = True

    def _sees_itself(self, i: int, start: int, stop: int) -> None:
        block = torch.ones(stop - start, stop - start, dtype=torch.bool).tril()
        self.mask[i, 0, :, -self.width :][start:stop, start:stop] = block
