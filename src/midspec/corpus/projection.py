"""What a corpus will take: tokens and cost, projected from a few documents that were written.

The pilot's documents are the first that the corpus itself would ask for, and their replies stand
in its journal: they are not paid again.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from pydantic import Field

from midspec.corpus.author import written
from midspec.corpus.documents import DocumentConfig, choose, make_author
from midspec.corpus.tree import Tree
from midspec.llm import Desk, Reply, Request, Writer, messages
from midspec.llm.prices import Price
from midspec.records import Frozen, Spec

N_PILOT = 3


class Pilot(Frozen):
    """What a document took, on average over the pilot; tokens as the provider counted them."""

    n_documents: int
    n_written: int = Field(description="of them, how many gave a text")
    n_prompts: int = Field(description="prompts used: each has its own shared part")
    requests: float = Field(description="requests for a document")
    shared_tokens: float = Field(
        description="input tokens that all requests with a prompt share: instructions and spec"
    )
    own_tokens: float = Field(description="input tokens that differ")
    output_tokens: float
    document_tokens: float = Field(description="tokens of the text itself, where there is one")


class Projection(Frozen):
    """What so many documents will take."""

    n_documents: int
    corpus_tokens: int = Field(description="tokens of the texts, before curation")
    requests: int
    input_tokens: int
    output_tokens: int


class Cost(Frozen):
    """USD for a projection, three ways."""

    live: float = Field(description="one call each, nothing cached")
    cached: float = Field(description="one call each, what is shared read from the prompt cache")
    batch: float = Field(description="as batches, nothing cached")


async def run_pilot(
    spec: Spec,
    tree: Tree,
    writer: Writer,
    config: DocumentConfig,
    journal: Path,
    n: int = N_PILOT,
) -> Pilot:
    """Write the first ``n`` documents and measure them; raises WriterError as writing does."""
    author = make_author(spec, tree, writer.name, config)
    limit = min(n, config.n_requested(len(tree.ideas)))
    pairs = list(choose(len(tree.ideas), config.model_copy(update={"max_documents": limit})))
    asked: list[tuple[Request, Reply]] = []
    async with Desk(writer, journal, concurrency=n) as desk:

        async def ask(request: Request) -> Reply:
            reply = await desk.ask(request)
            asked.append((request, reply))
            return reply

        texts = await asyncio.gather(*(written(author.write(*pair), ask) for pair in pairs))
    found = [text for text in texts if isinstance(text, str)]
    return _measured(asked, len(pairs), [_tokens_of(text, asked) for text in found])


def _tokens_of(text: str, asked: list[tuple[Request, Reply]]) -> float:
    """The tokens of a text, as a share of the reply that holds it."""
    reply = next(reply for _, reply in reversed(asked) if text in reply.text)
    return reply.output_tokens * len(text) / len(reply.text)


def _measured(asked: list[tuple[Request, Reply]], n: int, texts: list[float]) -> Pilot:
    shared = sum(reply.input_tokens * _shared(request) for request, reply in asked)
    read = sum(reply.input_tokens for _, reply in asked)
    return Pilot(
        n_documents=n,
        n_written=len(texts),
        n_prompts=len({request.prompt for request, _ in asked}),
        requests=len(asked) / n,
        shared_tokens=shared / n,
        own_tokens=(read - shared) / n,
        output_tokens=sum(reply.output_tokens for _, reply in asked) / n,
        document_tokens=sum(texts) / max(1, len(texts)),
    )


def _shared(request: Request) -> float:
    """Share of a request's characters that is in its system message."""
    if request.prompt in _NOT_RENDERED:
        return 0.0
    (_, system), (_, user) = messages(request)
    return len(system) / len(system + user)


# The scribe reads no prompt.
_NOT_RENDERED = frozenset({"corpus/document"})


def project(pilot: Pilot, n_documents: int) -> Projection:
    """The tokens of ``n_documents`` documents, the pilot's among them."""
    share = pilot.n_written / max(1, pilot.n_documents)
    return Projection(
        n_documents=n_documents,
        corpus_tokens=round(n_documents * share * pilot.document_tokens),
        requests=round(n_documents * pilot.requests),
        input_tokens=round(n_documents * (pilot.shared_tokens + pilot.own_tokens)),
        output_tokens=round(n_documents * pilot.output_tokens),
    )


def cost(pilot: Pilot, n_documents: int, price: Price) -> Cost:
    """USD for ``n_documents``; with caching, each prompt's shared part is written once.

    A cache that expires during a pause is written again, which is not counted.
    """
    shared, own = n_documents * pilot.shared_tokens, n_documents * pilot.own_tokens
    # Each prompt's shared part has, on average, so many tokens.
    first = min(shared, pilot.n_prompts * pilot.shared_tokens / max(1.0, pilot.requests))
    read, written_tokens = round(shared + own), round(n_documents * pilot.output_tokens)
    live = price.cost(input_tokens=read, output_tokens=written_tokens)
    cached = price.cost(
        input_tokens=read,
        cached_tokens=round(shared - first),
        cache_write_tokens=round(first),
        output_tokens=written_tokens,
    )
    batch = price.cost(input_tokens=read, output_tokens=written_tokens, batched=True)
    return Cost(live=live, cached=cached, batch=batch)
