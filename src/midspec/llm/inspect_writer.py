"""Any language model that Inspect AI reaches, as a writer.

Inspect outside an evaluation retries for ever, so retries and both timeouts are always set
here: ``timeout_s`` bounds a request with its retries (checked between attempts),
``attempt_timeout_s`` one attempt. It also keeps a transcript of every call (16 KB a call), so
each call gets a transcript of its own, dropped with the call (2,000 ``mockllm`` calls: 98 MB and
flat, against 124 MB and growing).
"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any

from midspec.errors import ConfigError, WriterError
from midspec.llm.door import Reply, Request, Stop
from midspec.llm.prompts import messages

if TYPE_CHECKING:
    from inspect_ai.model import ChatMessage, GenerateConfig, Model, ModelOutput

_STOPS: dict[str, Stop] = {
    "stop": "stop",
    "max_tokens": "length",
    "model_length": "length",
    "content_filter": "refusal",
}
# 401, 403: the key; 404: the model's name. No other request can succeed either.
_FATAL = {
    401: "check the API key",
    403: "check what the API key allows",
    404: "check the model's name and the base URL",
}
_KEY = re.compile(r"\bsk-[\w*.-]{6,}|\bBearer \S+")
_EXAMPLES = "'scribe', 'anthropic/claude-opus-4-6', 'openai-api/<service>/<model>', 'mockllm/model'"
_MARKUP = re.compile(r"\[/?\w+\]")


class InspectWriter:
    """A language model by its Inspect name, e.g. ``"openai-api/local/my-model"``.

    ``model_args`` go to ``inspect_ai.model.get_model`` (``base_url``, ``api_key``, and what the
    provider takes). Raises ConfigError if the provider is unknown, its package is not installed,
    or its environment variables are not set. Call ``close`` when done.

    Example:
        >>> InspectWriter("mockllm/model").name
        'mockllm/model'
    """

    def __init__(
        self,
        name: str,
        *,
        temperature: float | None = None,
        max_retries: int = 5,
        timeout_s: int = 1800,
        attempt_timeout_s: int = 600,
        **model_args: Any,
    ) -> None:
        self.name = name
        self._settings: dict[str, Any] = {
            "temperature": temperature,
            "max_retries": max_retries,
            "timeout": timeout_s,
            "attempt_timeout": attempt_timeout_s,
            "cache_prompt": True,
        }
        self._model_args = model_args
        self._model: Model | None = self._open()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def reply(self, request: Request) -> Reply:
        """Answer a request; failures after the retries are a reply with stop ``"error"``.

        Raises WriterError if the key or the model's name is not accepted.
        """
        model = self._model_here()
        # A task has a context of its own, so the transcript set in it goes away with it.
        task = asyncio.create_task(_generate(model, _chat(request), self._config(request)))
        try:
            output = await task
        except Exception as error:
            # Each provider raises the types of its own SDK; they have no common root.
            cause = _cause(error)
            if not _is_from_provider(cause):
                raise
            return self._failed(request, cause, model.api.api_key)
        return self._read(request, output)

    async def close(self) -> None:
        """Close the connections; a later reply opens new ones."""
        if self._model:
            await self._model.api.aclose()
        self._model = self._loop = None

    def _open(self) -> Model:
        """The model, not shared with anybody else."""
        from inspect_ai._util.error import PrerequisiteError
        from inspect_ai.model import get_model

        try:
            return get_model(self.name, memoize=False, **self._model_args)
        except (PrerequisiteError, ValueError) as error:
            text = " ".join(_MARKUP.sub("", str(error)).split())
            raise ConfigError(
                f"writer {self.name!r}: {text} Set what is missing, "
                f"or name another writer, such as {_EXAMPLES}"
            ) from error

    def _model_here(self) -> Model:
        """The model for the running event loop: connections do not outlive their loop."""
        loop = asyncio.get_running_loop()
        if self._model is None or self._loop not in (None, loop):
            self._model = self._open()
        self._loop = loop
        return self._model

    def _config(self, request: Request) -> GenerateConfig:
        """Settings of one call."""
        from inspect_ai.model import GenerateConfig

        return GenerateConfig(max_tokens=request.max_tokens, seed=request.seed, **self._settings)

    def _read(self, request: Request, output: ModelOutput) -> Reply:
        """Map an output to a reply."""
        found = "unknown" if output.empty else output.stop_reason
        stop, error = _STOPS.get(found, "error"), ""
        if stop == "error":
            error = f"the model stopped for the reason {found!r}: neither a whole text nor a cut"
        if stop == "stop" and not output.completion.strip():
            stop = "refusal"
        usage = output.usage
        return Reply(
            request=request.id,
            text=output.completion,
            stop=stop,
            model=self.name,
            input_tokens=_input_tokens(output),
            output_tokens=usage.output_tokens if usage else 0,
            error=error,
        )

    def _failed(self, request: Request, cause: BaseException, key: str | None) -> Reply:
        """A reply that records a failure, or WriterError if all others would fail as well."""
        status = _status(cause)
        if status in _FATAL:
            # The provider's own text may quote the key.
            raise WriterError(
                f"writer {self.name!r} was turned away (HTTP {status}); {_FATAL[status]}, "
                "then run again to go on"
            ) from None
        line = _line(cause, key)
        return Reply(request=request.id, text="", stop="error", model=self.name, error=line)


async def _generate(model: Model, chat: list[ChatMessage], config: GenerateConfig) -> ModelOutput:
    """Generate with a transcript of one call."""
    from inspect_ai.log._transcript import Transcript, init_transcript

    init_transcript(Transcript())
    return await model.generate(chat, config=config)


def _chat(request: Request) -> list[ChatMessage]:
    """The rendered request in Inspect's types."""
    from inspect_ai.model import ChatMessageSystem, ChatMessageUser

    (_, system), (_, user) = messages(request)
    return [ChatMessageSystem(content=system), ChatMessageUser(content=user)]


def _input_tokens(output: ModelOutput) -> int:
    """All tokens read, cached or not."""
    if not (usage := output.usage):
        return 0
    cached = (usage.input_tokens_cache_read or 0) + (usage.input_tokens_cache_write or 0)
    return usage.input_tokens + cached


def _cause(error: Exception) -> BaseException:
    """The last attempt's error inside what the retries raise."""
    from tenacity import RetryError

    if isinstance(error, RetryError):
        return error.last_attempt.exception() or error
    return error


def _status(error: BaseException) -> int | None:
    """HTTP status of a provider's error, if it has one."""
    values = (getattr(error, name, None) for name in ("status_code", "code"))
    return next((value for value in values if isinstance(value, int)), None)


def _line(cause: BaseException, key: str | None) -> str:
    """One line about a failure, without keys."""
    message = getattr(cause, "provider_message", None) or str(cause)
    text = " ".join(f"{type(cause).__name__}: {message}".split())
    return _KEY.sub("***", text.replace(key, "***") if key else text)[:300]


def _is_from_provider(error: BaseException) -> bool:
    """Whether an error came from outside, rather than from a mistake in a program."""
    return type(error).__module__ != "builtins" or isinstance(error, RuntimeError | OSError)
