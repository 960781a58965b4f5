"""Models by name, and one for tests and dry runs that a function plays."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from midspec.errors import ConfigError

if TYPE_CHECKING:
    from inspect_ai.model import ChatMessage, GenerateConfig, Model, StopReason

Reply = str | tuple[str, "StopReason"]


def fake_model(script: Callable[[list[ChatMessage]], Reply], name: str = "fake") -> Model:
    """A model whose replies a function of the messages makes: a text, or (text, stop reason).

    Token usage is set, since the mock provider would otherwise download a tokenizer to count.

    Example:
        >>> import asyncio
        >>> model = fake_model(lambda messages: messages[-1].text.upper())
        >>> asyncio.run(model.generate("hi")).completion
        'HI'
    """
    from inspect_ai.model import ModelOutput, ModelUsage, get_model

    def output(messages: list[ChatMessage], *_: Any) -> ModelOutput:
        reply = script(messages)
        text, stop = (reply, "stop") if isinstance(reply, str) else reply
        found = ModelOutput.from_content(f"mockllm/{name}", text, stop_reason=stop)
        found.usage = ModelUsage(input_tokens=1, output_tokens=1, total_tokens=2)
        return found

    return get_model(f"mockllm/{name}", custom_outputs=output, memoize=False)


def count_without_network() -> None:
    """Let Inspect's mock models count words instead of tokens.

    Inspect counts with a tokenizer that it downloads, so that ``inspect eval --model mockllm/model``
    would need the network for a figure that means nothing.
    """
    from inspect_ai.model._providers.mockllm import MockLLM

    async def count_text_tokens(self: MockLLM, text: str) -> int:  # noqa: ARG001
        return len(text.split())

    MockLLM.count_text_tokens = count_text_tokens


def open_model(name: str, config: GenerateConfig) -> Model:
    """A model by its Inspect name; ``mockllm/...`` is a fake that answers a fixed sentence.

    Raises:
        ConfigError: there is no such provider, or its key or package is missing.
    """
    from inspect_ai._util.error import PrerequisiteError
    from inspect_ai.model import get_model

    if name.startswith("mockllm/"):
        return fake_model(lambda _: "This is a mock.", name.partition("/")[2])
    try:
        return get_model(name, config=config)
    except (PrerequisiteError, ValueError) as error:
        text = " ".join(str(error).split())
        raise ConfigError(f"{name!r} is no Inspect model that can be used: {text}") from error
