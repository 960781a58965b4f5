"""Any language model that Inspect AI reaches, as a writer.

Inspect finds the provider, its key and its URL, and makes the requests. Those of the Anthropic
and OpenAI APIs are then sent from here (see ``wire``), the others by Inspect. Retries and the
number of calls at once are ours for both (see ``attempts``). Inspect keeps a transcript of every
call (16 KB a call), so each call gets a transcript of its own, dropped with the call.

The first call with a shared text goes alone: a provider's cache can be read only after one
answer began, so 64 calls at once would all pay for writing the same spec to it.
"""

from __future__ import annotations

import asyncio
import re
from collections import defaultdict
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from midspec.errors import ConfigError, WriterError
from midspec.llm.attempts import Failure, Limiter, Patience, persist
from midspec.llm.door import Reply, Request, Stop
from midspec.llm.prompts import messages, shared_text
from midspec.llm.sender import Lead, Sender
from midspec.llm.wire import Wire, chat, learn

if TYPE_CHECKING:
    from inspect_ai.model import GenerateConfig, Model, ModelOutput

_STOPS: dict[str, Stop] = {
    "stop": "stop",
    "max_tokens": "length",
    "model_length": "length",
    "content_filter": "refusal",
}
# 401, 403: the key; 404: the model's name. No other request can succeed either.
FATAL = {
    401: "check the API key in {key}",
    403: "check what the API key in {key} allows",
    404: "check the model's name, and the base URL in {url}",
}
_KEY = re.compile(r"\bsk-[\w*.-]{6,}|\bBearer \S+")
_EXAMPLES = "'scribe', 'anthropic/claude-opus-4-6', 'openai-api/<service>/<model>', 'mockllm/model'"
_MARKUP = re.compile(r"\[/?\w+\]")
_SHORT = 4_000  # characters: providers cache nothing below about 1,024 tokens


class InspectWriter:
    """A language model by its Inspect name, e.g. ``"openai-api/local/my-model"``.

    ``patience`` bounds retries. ``model_args`` go to ``inspect_ai.model.get_model``
    (``base_url``, ``api_key``, and what the provider takes). Raises ConfigError if the provider
    is unknown, its package is not installed, or its environment variables are not set. Call
    ``close`` when done.

    Example:
        >>> InspectWriter("mockllm/model").name
        'mockllm/model'
    """

    def __init__(
        self,
        name: str,
        *,
        temperature: float | None = None,
        patience: Patience | None = None,
        **model_args: Any,
    ) -> None:
        self.name = name
        self.patience = patience or Patience()
        self._temperature = temperature
        self._model_args = {**self._fixed_args(), **model_args}
        self._model: Model | None = self._open()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._fresh()

    def _fresh(self) -> None:
        """Forget what belongs to one event loop."""
        self._sender = Sender(self.patience.attempt_timeout_s)
        self._wires: dict[int, Wire | None] = {}
        self._lock = asyncio.Lock()
        self._leads: defaultdict[str, Lead] = defaultdict(Lead)
        self._limiter = Limiter()

    def _fixed_args(self) -> dict[str, Any]:
        """Whole replies and chat completions, so that live calls and batches are the same."""
        if self.name.startswith("anthropic/"):
            # a timeout: without one the client refuses long replies that are not streamed
            return {"streaming": False, "timeout": self.patience.attempt_timeout_s}
        return {"responses_api": False} if self.name.startswith("openai/") else {}

    async def reply(self, request: Request) -> Reply:
        """Answer a request; failures after the retries are a reply with stop ``"error"``.

        Raises WriterError if the key or the model's name is not accepted, or if no server was
        ever reached.
        """
        model, wire = self.model(), await self.wire(request.max_tokens)
        if wire is None:
            attempt = lambda: self._by_inspect(model, request)  # noqa: E731
            return await self._persist(attempt, request, model)
        attempt = lambda: self._sender.send(wire, request, self.name)  # noqa: E731
        if len(system := shared_text(request)) < _SHORT:
            return await self._persist(attempt, request, model)
        lead = self._leads[system]
        async with nullcontext() if lead.warm() else lead.turn():
            return await self._persist(attempt, request, model)

    async def close(self) -> None:
        """Close the connections; a later reply opens new ones."""
        await self._sender.close()
        if self._model:
            await self._model.api.aclose()
        self._model = self._loop = None
        self._fresh()

    def model(self) -> Model:
        """The model for the running event loop: connections do not outlive their loop."""
        loop = asyncio.get_running_loop()
        if self._model is None or self._loop not in (None, loop):
            self._model = self._open()
            self._fresh()
        self._loop = loop
        return self._model

    async def wire(self, max_tokens: int) -> Wire | None:
        """How requests with this limit go over HTTP, or None if only Inspect can send them."""
        if max_tokens in self._wires:
            return self._wires[max_tokens]
        async with self._lock:
            if max_tokens not in self._wires:
                config = {"max_tokens": max_tokens, **self._settings()}
                self._wires[max_tokens] = await learn(self.name, self._model_args, config)
        return self._wires[max_tokens]

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

    def _settings(self) -> dict[str, Any]:
        """Settings of every call: one attempt, no limit of Inspect's own on calls at once."""
        return {
            "temperature": self._temperature,
            "max_retries": 0,
            "attempt_timeout": int(self.patience.attempt_timeout_s) or 1,
            "max_connections": 100_000,
            "cache_prompt": True,
        }

    async def _persist(self, attempt: Any, request: Request, model: Model) -> Reply:
        try:
            return await persist(attempt, self._limiter, self.patience, request.id)
        except Failure as last:
            return self._failed(request, last, model.api.api_key)

    # -- by Inspect ------------------------------------------------------------------------

    async def _by_inspect(self, model: Model, request: Request) -> Reply:
        """One attempt by Inspect."""
        from inspect_ai.model import GenerateConfig

        config = GenerateConfig(
            max_tokens=request.max_tokens, seed=request.seed, **self._settings()
        )
        # A task has a context of its own, so the transcript set in it goes away with it.
        task = asyncio.create_task(_generate(model, request, config))
        try:
            output = await task
        except Exception as error:
            # Each provider raises the types of its own SDK; they have no common root.
            cause = _cause(error)
            if not _is_from_provider(cause):
                raise
            raise _failure(model, cause) from error
        return self._read(request, output)

    def _read(self, request: Request, output: ModelOutput) -> Reply:
        """Map an output to a reply."""
        found = "unknown" if output.empty else output.stop_reason
        stop, error = _STOPS.get(found, "error"), ""
        if stop == "error":
            error = f"the model stopped for the reason {found!r}: neither a whole text nor a cut"
        if stop == "stop" and not output.completion.strip():
            stop = "refusal"
        return Reply(
            request=request.id,
            text=output.completion,
            stop=stop,
            model=self.name,
            error=error,
        ).model_copy(update=_tokens(output))

    def _failed(self, request: Request, last: Failure, key: str | None) -> Reply:
        """A reply that records a failure, or WriterError if all others would fail as well."""
        if last.refused:
            return Reply(request=request.id, text="", stop="refusal", model=self.name)
        if last.status in FATAL:
            # The provider's own text may quote the key.
            raise WriterError(
                f"writer {self.name!r} was turned away (HTTP {last.status}); "
                f"{advice(last.status, self.name)}, then run again to go on"
            ) from None
        line = without_key(str(last), key)
        if last.unreachable and not self._limiter.heard:
            raise WriterError(
                f"writer {self.name!r}: no server answers ({line}); check the network and the base "
                f"URL in {variables(self.name)['url']}, then run again to go on"
            ) from None
        return Reply(request=request.id, text="", stop="error", model=self.name, error=line)


def variables(name: str) -> dict[str, str]:
    """The environment variables of a model's provider: of its ``key`` and of its ``url``.

    Example:
        >>> variables("openai-api/my-server/some-model")["key"]
        'MY_SERVER_API_KEY'
    """
    provider, service = name.split("/")[:2]
    prefix = (service if provider == "openai-api" else provider).upper().replace("-", "_")
    return {"key": f"{prefix}_API_KEY", "url": f"{prefix}_BASE_URL"}


def advice(status: int, name: str) -> str:
    """What to look at after an answer that no other request can escape; a key of ``FATAL``."""
    return FATAL[status].format(**variables(name))


async def _generate(model: Model, request: Request, config: GenerateConfig) -> ModelOutput:
    """Generate with a transcript of one call."""
    from inspect_ai.log._transcript import Transcript, init_transcript

    init_transcript(Transcript())
    (_, system), (_, user) = messages(request)
    return await model.generate(chat(system, user), config=config)


def _tokens(output: ModelOutput) -> dict[str, int]:
    if not (usage := output.usage):
        return {}
    cached, written = usage.input_tokens_cache_read or 0, usage.input_tokens_cache_write or 0
    return {
        "input_tokens": usage.input_tokens + cached + written,
        "cached_tokens": cached,
        "cache_write_tokens": written,
        "output_tokens": usage.output_tokens,
    }


def _cause(error: Exception) -> BaseException:
    """The last attempt's error inside what the retries raise."""
    from tenacity import RetryError

    if isinstance(error, RetryError):
        return error.last_attempt.exception() or error
    return error


def _failure(model: Model, cause: BaseException) -> Failure:
    """What a provider's error means; Inspect knows which may be retried."""
    from inspect_ai.model._model import AttemptTimeoutError, RetryDecision

    status = _status(cause)
    timed_out = isinstance(cause, AttemptTimeoutError | TimeoutError)
    decision = model.api.should_retry(cause) if isinstance(cause, Exception) else False
    limited = isinstance(decision, RetryDecision) and decision.kind == "rate_limit"
    message = getattr(cause, "provider_message", None) or str(cause)
    return Failure(
        f"{type(cause).__name__}: {message}",
        status=status,
        retry=bool(decision) or timed_out,
        overload=limited or timed_out or status in (429, 503, 529),
        wait_s=(decision.retry_after or 0.0) if isinstance(decision, RetryDecision) else 0.0,
        unreachable=type(cause).__name__ in ("APIConnectionError", "ConnectError"),
    )


def _status(error: BaseException) -> int | None:
    """HTTP status of a provider's error, if it has one."""
    values = (getattr(error, name, None) for name in ("status_code", "code"))
    return next((value for value in values if isinstance(value, int)), None)


def without_key(text: str, key: str | None) -> str:
    """One line of at most 300 characters, without keys."""
    line = " ".join(text.split())
    return _KEY.sub("***", line.replace(key, "***") if key else line)[:300]


def _is_from_provider(error: BaseException) -> bool:
    """Whether an error came from outside, rather than from a mistake in a program."""
    return type(error).__module__ != "builtins" or isinstance(error, RuntimeError | OSError)
