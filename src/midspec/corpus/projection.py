"""What a corpus will take: tokens and cost, projected from a few documents that were written.

The pilot's documents are a random draw of those that the corpus itself would ask for, and their
replies stand in its journal: they are not paid again. What differs most between documents is
whether a critique is followed by a rewrite, so the cost comes with the range that the pilot allows.
"""

from __future__ import annotations

import asyncio
import math
import statistics
from pathlib import Path

from pydantic import Field

from midspec.corpus.author import Writing, written
from midspec.corpus.documents import DocumentConfig, choose, make_author
from midspec.corpus.tree import Tree
from midspec.llm import Desk, Reply, Request, Unusable, Writer
from midspec.llm.prices import Price
from midspec.records import Frozen, Spec

# A loopback run of 360 documents, 70% of them revised: projected from 3 documents 25% off what
# they cost, from 24 9%.
_FEWEST, _MOST, _SHARE = 3, 24, 8
_CONFIDENCE = 0.95


class Took(Frozen):
    """What one document took; tokens as the provider counted them."""

    requests: int
    shared_tokens: int = Field(
        description="input tokens that the provider's cache holds for all requests with a prompt: "
        "0 below its least size (1,024 to 4,096 tokens, by the model)"
    )
    own_tokens: int = Field(description="the other input tokens")
    output_tokens: int


class Pilot(Frozen):
    """What the pilot's documents took."""

    documents: tuple[Took, ...] = Field(min_length=1)
    n_written: int = Field(description="of them, how many gave a text")
    n_prompts: int = Field(description="prompts used: each has its own shared part")
    document_tokens: float = Field(description="tokens of a text itself, on average")

    @property
    def n_documents(self) -> int:
        """How many were asked for."""
        return len(self.documents)

    @property
    def requests(self) -> float:
        """Requests for a document, on average, as the next three are."""
        return statistics.fmean(one.requests for one in self.documents)

    @property
    def shared_tokens(self) -> float:
        """Input tokens that the provider's cache holds."""
        return statistics.fmean(one.shared_tokens for one in self.documents)

    @property
    def own_tokens(self) -> float:
        """The other input tokens."""
        return statistics.fmean(one.own_tokens for one in self.documents)

    @property
    def output_tokens(self) -> float:
        """Tokens written."""
        return statistics.fmean(one.output_tokens for one in self.documents)


class Projection(Frozen):
    """What so many documents will take."""

    n_documents: int
    corpus_tokens: int = Field(description="tokens of the texts, before curation")
    requests: int
    input_tokens: int
    output_tokens: int


class Cost(Frozen):
    """USD for a projection, three ways; the plan's own requests are not in it."""

    live: float = Field(description="one call each, nothing cached")
    cached: float = Field(description="one call each, what is shared read from the prompt cache")
    batch: float = Field(description="as batches, nothing cached")
    margin: float | None = Field(
        description="half of the 95% interval of ``cached``; None: one document tells nothing"
    )


def n_pilot(n_documents: int) -> int:
    """Documents of a pilot for a corpus: an eighth of it, at least 3, at most 24.

    Example:
        >>> [n_pilot(n) for n in (1, 9, 80, 400)]
        [1, 3, 10, 24]
    """
    return min(n_documents, _MOST, max(_FEWEST, n_documents // _SHARE))


async def run_pilot(
    spec: Spec,
    tree: Tree,
    writer: Writer,
    config: DocumentConfig,
    journal: Path,
    *,
    concurrency: int = 16,
) -> Pilot:
    """Write the pilot's documents and measure them; raises WriterError as writing does."""
    author = make_author(spec, tree, writer.name, config)
    limit = n_pilot(config.n_requested(len(tree.ideas)))
    pairs = choose(len(tree.ideas), config.model_copy(update={"max_documents": limit}))
    async with Desk(writer, journal, concurrency=concurrency) as desk:
        found = await asyncio.gather(*(_one(author.write(*pair), desk) for pair in pairs))
    texts = [_tokens_of(text, asked) for text, asked in found if isinstance(text, str)]
    cacheable = _cacheable([pair for _, asked in found for pair in asked])
    return Pilot(
        documents=tuple(_took(asked, cacheable) for _, asked in found),
        n_written=len(texts),
        n_prompts=len(cacheable),
        document_tokens=sum(texts) / max(1, len(texts)),
    )


async def _one(steps: Writing, desk: Desk) -> tuple[str | Unusable, list[tuple[Request, Reply]]]:
    """A document, and all that was asked for it."""
    asked: list[tuple[Request, Reply]] = []

    async def ask(request: Request) -> Reply:
        reply = await desk.ask(request)
        asked.append((request, reply))
        return reply

    return await written(steps, ask), asked


def _tokens_of(text: str, asked: list[tuple[Request, Reply]]) -> float:
    """The tokens of a text, as a share of the reply that holds it."""
    reply = next(reply for _, reply in reversed(asked) if text in reply.text)
    return reply.output_tokens * len(text) / len(reply.text)


def _cacheable(asked: list[tuple[Request, Reply]]) -> dict[str, int]:
    """Tokens of each prompt that the provider's cache took or gave; 0 if it never did."""
    sizes: dict[str, int] = {}
    for request, reply in asked:
        size = reply.cached_tokens + reply.cache_write_tokens
        sizes[request.prompt] = max(size, sizes.get(request.prompt, 0))
    return sizes


def _took(asked: list[tuple[Request, Reply]], cacheable: dict[str, int]) -> Took:
    shared = sum(min(cacheable[one.prompt], reply.input_tokens) for one, reply in asked)
    return Took(
        requests=len(asked),
        shared_tokens=shared,
        own_tokens=sum(reply.input_tokens for _, reply in asked) - shared,
        output_tokens=sum(reply.output_tokens for _, reply in asked),
    )


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
    return Cost(live=live, cached=cached, batch=batch, margin=_margin(pilot, n_documents, price))


def _margin(pilot: Pilot, n_documents: int, price: Price) -> float | None:
    """Half of the t interval for the sum over all documents, of which the pilot is a part."""
    from scipy.special import stdtrit

    each = [_of_one(took, price) for took in pilot.documents]
    others = max(0, n_documents - len(each))
    if not others:
        return 0.0
    if len(each) < 2:
        return None
    error = statistics.stdev(each) * math.sqrt(n_documents * others / len(each))
    return float(stdtrit(len(each) - 1, (1 + _CONFIDENCE) / 2)) * error


def _of_one(took: Took, price: Price) -> float:
    """USD for one document, what is shared read from the cache."""
    return price.cost(
        input_tokens=took.shared_tokens + took.own_tokens,
        cached_tokens=took.shared_tokens,
        output_tokens=took.output_tokens,
    )
