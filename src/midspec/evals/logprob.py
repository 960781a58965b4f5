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
        for i, (row, prompt) in enumerate(zip(rows, prompts, strict=True)):
            self._fill(i, prompt, row.answers, n_prefix, n_prompt)

    def _fill(
        self,
        i: int,
        prompt: tuple[int, ...],
        answers: tuple[tuple[int, ...], ...],
        n_prefix: int,
        n_prompt: int,
    ) -> None:
        start = n_prompt - len(prompt)
        self._segment(i, start, prompt, n_prefix)
        at = n_prompt
        for answer, size in zip(answers, self.inputs, strict=True):
            self._segment(i, at, answer[:-1], n_prefix + len(prompt))
            at += size
        keys = self.mask[i, 0]
        keys[:, :n_prefix] = True
        ours = keys[:, n_prefix:]
        ours[n_prompt:, start:n_prompt] = True
        for begin, size in ((start, len(prompt)), (n_prompt, self.inputs[0]), (at - size, size)):
            block = slice(begin, begin + size)
            ours[block, block] = torch.ones(size, size, dtype=torch.bool).tril()
        ours.fill_diagonal_(True)  # padding looks at itself: an empty row of the mask gives NaN

    def _segment(self, i: int, at: int, tokens: tuple[int, ...], position: int) -> None:
        n = len(tokens)
        self.ids[i, at : at + n] = torch.tensor(tokens, dtype=torch.long)
        self.positions[i, at : at + n] = torch.arange(position, position + n)
