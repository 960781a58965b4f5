"""The one door to language models that write: a request goes in, a reply comes out."""

from __future__ import annotations

from functools import cached_property
from typing import Literal, Protocol, runtime_checkable

from pydantic import Field, InstanceOf

from midspec.records import Frozen, Spec, digest

Stop = Literal["stop", "length", "refusal", "error"]


class Request(Frozen):
    """What a writer is asked: a prompt file, the spec, and the variables that differ.

    Example:
        >>> spec = Spec(name="s", text="Be kind.", model_name="Iris", provider_name="Wren Labs")
        >>> a = Request(prompt="corpus/domains", spec=spec)
        >>> a.id == Request(prompt="corpus/domains", spec=spec).id
        True
        >>> a.id == Request(prompt="corpus/domains", spec=spec, seed=1).id
        False
    """

    prompt: str = Field(description="'<room>/<name>', the file <room>/prompts/<name>.md")
    # An instance: validating it again would digest the whole spec for each request (1 ms at
    # 40,000 tokens).
    spec: InstanceOf[Spec]
    variables: dict[str, str] = Field(default_factory=dict)
    seed: int = Field(
        default=0, description="tells samples of one prompt apart; writers sample with it"
    )
    max_tokens: int = Field(
        default=2048, gt=0, description="limit of the reply, in the writer's tokens"
    )

    @cached_property
    def id(self) -> str:
        """Digest of everything above: the prompt by its text, so that an edit asks anew."""
        from midspec.llm.prompts import prompt_hash  # prompts are rendered from requests

        return digest(self.place, prompt_hash(self.prompt))

    @cached_property
    def place(self) -> str:
        """The same without the prompt's text: what the scribe, which reads none, draws from."""
        return digest(
            "Request", self.prompt, self.spec.id, self.variables, self.seed, self.max_tokens
        )


class Reply(Frozen):
    """What a writer answered, and why it stopped; only ``stop == "stop"`` is a whole text."""

    request: str = Field(description="id of the request")
    text: str
    stop: Stop
    model: str = Field(description="name of the writer that answered")
    input_tokens: int = Field(default=0, description="all tokens read, cached or not")
    output_tokens: int = 0
    cached_tokens: int = Field(default=0, description="of those read, the ones from the cache")
    cache_write_tokens: int = Field(default=0, description="of those read, the ones cached anew")
    batched: bool = Field(default=False, description="whether it came in a batch, at its price")
    error: str = Field(default="", description="one line, if stop is 'error'")


@runtime_checkable
class Writer(Protocol):
    """Anything that answers requests: a language model, the scribe, a fake."""

    @property
    def name(self) -> str:
        """What reports and records call it."""
        ...

    async def reply(self, request: Request) -> Reply:
        """Answer one request; a failure of one request is a reply with stop 'error'.

        Raises WriterError only if no other request can succeed either.
        """
        ...
