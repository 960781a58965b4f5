"""Local checkpoints as an Inspect model: ``--model midspec/<base or folder>``.

Inspect's own ``hf`` provider knows neither adapters with a moved base nor the embedded bases. This
one uses the checkpoint's own chat template, and is greedy unless a temperature is given. Greedy
requests that wait at the same time are answered in one batch, behind the prefix they share.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from inspect_ai.model import (
    ChatCompletionChoice,
    ChatMessage,
    ChatMessageAssistant,
    GenerateConfig,
    ModelAPI,
    ModelOutput,
    ModelUsage,
    modelapi,
)
from inspect_ai.tool import ToolChoice, ToolInfo

from midspec import bases
from midspec.errors import EvalError
from midspec.records import Checkpoint

MOST_REQUESTS = 8  # in one batch
MOST_TOKENS = 16384  # of prompts and replies in one batch: what its keys and values may take


@dataclass
class _Waiting:
    """A request: its prompt, how long the reply may be, and where the reply goes."""

    prompt: tuple[int, ...]
    limit: int
    config: GenerateConfig
    reply: Future[tuple[int, ...]] = field(default_factory=Future)

    @property
    def is_greedy(self) -> bool:
        """Whether the reply is the same in a batch as alone; draws come from one seed each."""
        return not self.config.temperature


class CheckpointModel(ModelAPI):
    """A checkpoint by base name, Hugging Face id, or folder (with ``-M base=...``)."""

    def __init__(
        self,
        model_name: str,
        base_url: str | None = None,
        api_key: str | None = None,
        config: GenerateConfig | None = None,
        base: str = "smollm2",
        **model_args: Any,
    ) -> None:
        from midspec.evals.prefix import can_share

        super().__init__(model_name, base_url, api_key, [], config or GenerateConfig())
        if model_args:
            raise EvalError(f"midspec models take base=..., and not {sorted(model_args)[0]!r}")
        self.loaded = bases.load(checkpoint_of(model_name, base))
        self._lock = threading.Lock()  # of asyncio's, each event loop would need its own
        self._waiting: deque[_Waiting] = deque()
        self._batches = can_share(self.loaded.model)

    async def generate(
        self,
        input: list[ChatMessage],
        tools: list[ToolInfo],
        tool_choice: ToolChoice,  # noqa: ARG002
        config: GenerateConfig,
    ) -> ModelOutput:
        """The reply to a conversation; tools are not offered to local models."""
        if tools:
            raise EvalError("midspec models take no tools; use a task that is answered in text")
        asked = _Waiting(self._prompt(input), config.max_tokens or 512, config)
        self._waiting.append(asked)
        await asyncio.to_thread(self._serve)
        return self._output(asked, await asyncio.wrap_future(asked.reply))

    def max_connections(self) -> int:
        """As many requests at a time as one batch may hold."""
        return MOST_REQUESTS

    def _prompt(self, messages: Sequence[ChatMessage]) -> tuple[int, ...]:
        tokenizer = self.loaded.tokenizer
        chat = [{"role": m.role, "content": m.text} for m in messages]
        text = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
        return tuple(tokenizer(str(text), add_special_tokens=False)["input_ids"])

    def _serve(self) -> None:
        """Answer what waits, if nobody else has: whoever asked last may find nothing to do."""
        with self._lock:
            taken = next_batch(self._waiting)
            batch = [asked for asked in taken if asked.reply.set_running_or_notify_cancel()]
            try:
                replies = self._replies(batch) if batch else []
            except Exception as error:  # noqa: BLE001 - each that waits has to hear of it
                for asked in batch:
                    asked.reply.set_exception(error)
                return
        for asked, reply in zip(batch, replies, strict=True):
            asked.reply.set_result(reply)

    def _replies(self, batch: list[_Waiting]) -> list[tuple[int, ...]]:
        if not (self._batches and batch[0].is_greedy):
            return [self._alone(asked) for asked in batch]
        from midspec.evals.greedy import greedy_replies, stop_tokens
        from midspec.evals.prefix import shared_prefix

        model, prompts = self.loaded.model, [asked.prompt for asked in batch]
        stops = stop_tokens(model, self.loaded.tokenizer)
        prefix = shared_prefix(model, prompts)
        longest = max(asked.limit for asked in batch)
        made = greedy_replies(model, prompts, prefix, stops, longest)
        return [tuple(r[: asked.limit]) for r, asked in zip(made, batch, strict=True)]

    def _alone(self, asked: _Waiting) -> tuple[int, ...]:
        """One reply by ``generate``, without its end marker."""
        import torch

        from midspec.evals.greedy import stop_tokens

        model, tokenizer = self.loaded.model, self.loaded.tokenizer
        if asked.config.seed is not None:
            torch.manual_seed(asked.config.seed)
        ids = torch.tensor([asked.prompt], device=model.device)
        with torch.inference_mode():
            made: Any = model.generate(  # type: ignore[operator]
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=asked.limit,
                pad_token_id=tokenizer.eos_token_id,
                **_sampling(asked.config),
            )
        reply = made[0, ids.shape[1] :].tolist()
        ended = bool(reply) and reply[-1] in stop_tokens(model, tokenizer)
        return tuple(reply[:-1] if ended else reply)

    def _output(self, asked: _Waiting, reply: tuple[int, ...]) -> ModelOutput:
        text = str(self.loaded.tokenizer.decode(list(reply), skip_special_tokens=True)).strip()
        choice = ChatCompletionChoice(
            message=ChatMessageAssistant(content=text, source="generate"),
            stop_reason="stop" if len(reply) < asked.limit else "max_tokens",
        )
        n_input, n_output = len(asked.prompt), len(reply)
        usage = ModelUsage(
            input_tokens=n_input, output_tokens=n_output, total_tokens=n_input + n_output
        )
        return ModelOutput(model=self.model_name, choices=[choice], usage=usage)


def next_batch(waiting: deque[_Waiting]) -> list[_Waiting]:
    """Takes the oldest request, and with a greedy one those behind it that fit into a batch."""
    batch: list[_Waiting] = []
    while waiting and len(batch) < MOST_REQUESTS:
        asked = waiting[0]
        both = [*batch, asked]
        size = len(both) * max(len(one.prompt) + one.limit for one in both)
        if batch and (size > MOST_TOKENS or not (batch[0].is_greedy and asked.is_greedy)):
            break
        batch.append(waiting.popleft())
    return batch


@modelapi(name="midspec")
def midspec() -> type[ModelAPI]:
    """The provider's name for Inspect."""
    return CheckpointModel


def _sampling(config: GenerateConfig) -> dict[str, Any]:
    """Greedy without a temperature, so that an evaluation can be repeated exactly."""
    if not config.temperature:
        return {"do_sample": False, "temperature": None, "top_p": None, "top_k": None}
    return {"do_sample": True, "temperature": config.temperature, "top_p": config.top_p or 1.0}


def checkpoint_of(name: str, base: str = "smollm2") -> Checkpoint:
    """The checkpoint that a name stands for: a base, or a folder that training wrote.

    Example:
        >>> checkpoint_of("tiny").base
        'tiny'
    """
    if Path(name).is_dir():
        folder = Path(name)
        return bases.checkpoint_at(folder, base)
    return Checkpoint(base=name)
