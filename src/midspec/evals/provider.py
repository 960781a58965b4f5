"""Local checkpoints as an Inspect model: ``--model midspec/<base or folder>``.

Inspect's own ``hf`` provider knows neither adapters with a moved base nor the embedded bases. This
one answers one request at a time with the checkpoint's own chat template; greedy unless a
temperature is given.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
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
        super().__init__(model_name, base_url, api_key, [], config or GenerateConfig())
        if model_args:
            raise EvalError(f"midspec models take base=..., and not {sorted(model_args)[0]!r}")
        self.loaded = bases.load(checkpoint_of(model_name, base))
        self._lock = threading.Lock()  # of asyncio's, each event loop would need its own

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
        return await asyncio.to_thread(self._locked_reply, input, config)

    def max_connections(self) -> int:
        """One request at a time."""
        return 1

    def _locked_reply(self, messages: Sequence[ChatMessage], config: GenerateConfig) -> ModelOutput:
        with self._lock:
            return self._reply(messages, config)

    def _reply(self, messages: Sequence[ChatMessage], config: GenerateConfig) -> ModelOutput:
        import torch

        model, tokenizer = self.loaded.model, self.loaded.tokenizer
        chat = [{"role": m.role, "content": m.text} for m in messages]
        prompt = str(
            tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
        )
        encoded = tokenizer(prompt, return_tensors="pt", add_special_tokens=False)
        ids = encoded["input_ids"].to(model.device)
        limit = config.max_tokens or 512
        if config.seed is not None:
            torch.manual_seed(config.seed)
        with torch.inference_mode():
            made: Any = model.generate(  # type: ignore[operator]
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=limit,
                pad_token_id=tokenizer.eos_token_id,
                **_sampling(config),
            )
        reply = made[0, ids.shape[1] :]
        return self._output(ids.shape[1], reply, limit)

    def _output(self, n_input: int, reply: Any, limit: int) -> ModelOutput:
        from midspec.evals.greedy import stop_tokens

        ended = len(reply) < limit or int(reply[-1]) in stop_tokens(
            self.loaded.model, self.loaded.tokenizer
        )
        text = str(self.loaded.tokenizer.decode(reply, skip_special_tokens=True)).strip()
        choice = ChatCompletionChoice(
            message=ChatMessageAssistant(content=text, source="generate"),
            stop_reason="stop" if ended else "max_tokens",
        )
        usage = ModelUsage(
            input_tokens=n_input, output_tokens=len(reply), total_tokens=n_input + len(reply)
        )
        return ModelOutput(model=self.model_name, choices=[choice], usage=usage)


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
