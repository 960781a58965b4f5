"""Local checkpoints as Inspect models: requests that wait together are answered in one batch."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

import pytest
import torch
from inspect_ai.model import ChatMessageUser, GenerateConfig, ModelOutput

from midspec.evals import greedy
from midspec.evals.provider import (
    MOST_REQUESTS,
    MOST_TOKENS,
    CheckpointModel,
    _Waiting,
    next_batch,
)

# Inspect leaves its event loops and sockets to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")
QUESTIONS = ["Which?", "Who goes there, friend or foe?", "Why", "What is the name of the ship?"]


@pytest.fixture
def model() -> CheckpointModel:
    """A random model that says different things (tied embeddings repeat the last token)."""
    made = CheckpointModel("tiny")
    inner: Any = made.loaded.model
    head = torch.nn.Linear(64, inner.config.vocab_size, bias=False)
    torch.nn.init.normal_(head.weight, generator=torch.Generator().manual_seed(0))
    inner.lm_head = head
    return made


def ask(model: CheckpointModel, questions: list[str], **config: Any) -> list[ModelOutput]:
    """All questions at once."""

    async def all_of_them() -> list[ModelOutput]:
        wanted = GenerateConfig(max_tokens=config.pop("max_tokens", 8), **config)
        return await asyncio.gather(
            *(model.generate([ChatMessageUser(content=q)], [], "none", wanted) for q in questions)
        )

    return asyncio.run(all_of_them())


def test_replies_in_a_batch_are_those_of_generate(
    model: CheckpointModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    inner = greedy.greedy_replies

    def counting(loaded: Any, prompts: Any, *rest: Any) -> Any:
        sizes.append(len(prompts))
        return inner(loaded, prompts, *rest)

    monkeypatch.setattr(greedy, "greedy_replies", counting)
    together = ask(model, QUESTIONS * 3)
    assert sum(sizes) == 12
    assert 1 < max(sizes) <= MOST_REQUESTS
    model._batches = False  # one by one, by transformers' own generate
    alone = ask(model, QUESTIONS * 3)
    assert [m.completion for m in together] == [m.completion for m in alone]
    assert [m.usage for m in together] == [m.usage for m in alone]
    assert len({m.completion for m in alone}) == 4
    assert {m.stop_reason for m in alone} == {"max_tokens"}


def test_an_error_reaches_all_that_wait_and_none_stays(
    model: CheckpointModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_: Any) -> Any:
        raise RuntimeError("no memory")

    monkeypatch.setattr(model, "_replies", fails)

    async def outcomes() -> list[Any]:
        config = GenerateConfig(max_tokens=4)
        asked = [model.generate([ChatMessageUser(content=q)], [], "none", config) for q in "ab"]
        return await asyncio.gather(*asked, return_exceptions=True)

    assert [str(error) for error in asyncio.run(outcomes())] == ["no memory"] * 2
    monkeypatch.undo()
    assert len(ask(model, ["Which?"])) == 1


def test_draws_are_repeated_by_their_seed(model: CheckpointModel) -> None:
    first = ask(model, QUESTIONS, temperature=1.0, seed=3)
    assert [m.completion for m in first] == [
        m.completion for m in ask(model, QUESTIONS, temperature=1.0, seed=3)
    ]


def waiting(n_prompt: int, limit: int = 10, temperature: float = 0.0) -> _Waiting:
    return _Waiting((0,) * n_prompt, limit, GenerateConfig(temperature=temperature))


def test_a_batch_keeps_to_its_size_and_draws_stay_alone() -> None:
    def sizes(*asked: _Waiting) -> list[int]:
        queue = deque(asked)
        return [len(next_batch(queue)) for _ in range(len(asked)) if queue]

    assert sizes(*[waiting(5) for _ in range(MOST_REQUESTS + 2)]) == [MOST_REQUESTS, 2]
    half = MOST_TOKENS // 2 - 10
    assert sizes(waiting(half), waiting(half), waiting(half)) == [2, 1]
    assert sizes(waiting(2 * MOST_TOKENS), waiting(5)) == [1, 1]
    assert sizes(waiting(5), waiting(5, temperature=1.0), waiting(5)) == [1, 1, 1]
    assert next_batch(deque()) == []
