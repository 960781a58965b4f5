"""Documents from ideas: one text, or one reason, for each idea and draft (paper, B.1)."""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing
from pathlib import Path

from pydantic import Field

from midspec.corpus.author import Author, already_written, document_text, written
from midspec.corpus.decks import Decks
from midspec.corpus.kinds import SCRIBE, GivenKind, prompts_for
from midspec.corpus.spec_text import claim_finder
from midspec.corpus.tree import Tree
from midspec.errors import ConfigError
from midspec.llm import Desk, Unusable, Writer
from midspec.progress import Progress, silent
from midspec.records import Document, Drop, Frozen, Plan, Spec

__all__ = ["DocumentConfig", "document_text", "make_author", "write_documents"]


class DocumentConfig(Frozen):
    """How many documents are written, how, and how long they may be."""

    max_documents: int = Field(
        default=0, ge=0, description="stop after so many, spread over the tree; 0: all"
    )
    drafts: int = Field(default=1, ge=1, le=1000, description="documents from one idea")
    max_tokens: int = Field(
        default=4096, ge=1, description="limit of one reply; a reply cut by it is dropped"
    )
    kind: GivenKind = Field(
        default="auto", description="prompts for a spec of values or of rules; auto: by the spec"
    )
    critique: bool | None = Field(
        default=None,
        description="examine and revise each draft (two more requests); None: unless the scribe writes",
    )
    avoid: tuple[str, ...] = Field(
        default=(), description="over-used phrases and names that a language model is told to avoid"
    )
    seed: int = Field(
        default=0, ge=0, description="another seed asks for other documents from a plan"
    )

    def n_requested(self, n_ideas: int) -> int:
        """How many documents a plan with so many ideas is asked for."""
        n = n_ideas * self.drafts
        return min(n, self.max_documents) if self.max_documents else n


def choose(n_ideas: int, config: DocumentConfig) -> Iterator[tuple[int, int]]:
    """The (place of the idea, draft) pairs to write, in order; a larger limit adds to a smaller."""
    order: Sequence[int] = range(n_ideas * config.drafts)
    if config.max_documents:
        drawn = list(order)
        random.Random(f"{config.seed}/documents").shuffle(drawn)
        order = sorted(drawn[: config.max_documents])
    return ((number % n_ideas, number // n_ideas) for number in order)


def make_author(spec: Spec, tree: Tree, writer: str, config: DocumentConfig) -> Author:
    """Who writes; raises ConfigError if the scribe is asked for a critique."""
    if writer == SCRIBE and config.critique:
        raise ConfigError("the scribe cannot examine a draft; leave critique off, or use a model")
    return Author(
        spec=spec,
        tree=tree,
        prompts=prompts_for(spec, writer, config.kind),
        writer=writer,
        critique=config.critique if config.critique is not None else writer != SCRIBE,
        avoid=config.avoid,
        max_tokens=config.max_tokens,
        seed=config.seed,
        decks=Decks(config.seed),
    )


async def write_documents(
    spec: Spec,
    plans: Sequence[Plan] | Tree,
    writer: Writer,
    config: DocumentConfig,
    journal: Path,
    progress: Progress = silent,
    *,
    concurrency: int = 16,
) -> AsyncGenerator[Document | Drop]:
    """A Document or a Drop for each idea and draft, in the order of the plan (paper, B.1).

    A Drop names the idea's id and one of ``truncated``, ``refusal``, ``error``, ``unparsable``;
    its evidence starts with "critique:" or "rewrite:" if it was not the draft that failed.
    ``Document.claims`` are the claims and preferences that stand in the text. Pass a
    ``Tree.read`` for a plan that is not to be held in memory. Raises ConfigError if the plan
    holds no ideas or has a hole, WriterError if the writer failed for good.
    """
    tree = plans if isinstance(plans, Tree) else Tree.of(plans)
    author, record = (
        make_author(spec, tree, writer.name, config),
        _recorder(spec, tree, writer.name),
    )
    total, done = config.n_requested(len(tree.ideas)), 0
    async with Desk(writer, journal, concurrency=concurrency) as desk:

        async def work(pair: tuple[int, int]) -> Document | Drop:
            return record(pair[0], await written(author.write(*pair), desk.ask))

        def known(pair: tuple[int, int]) -> Callable[[], Document | Drop] | None:
            text = already_written(author.write(*pair), desk.answered)
            return None if text is None else lambda: record(pair[0], text)

        async with aclosing(desk.each(choose(len(tree.ideas), config), work, known)) as results:
            async for _, result in results:
                done += 1
                progress(done, total, "documents")
                yield result


def _recorder(
    spec: Spec, tree: Tree, writer: str
) -> Callable[[int, str | Unusable], Document | Drop]:
    """A function from the place of an idea and what was written to the record of it."""
    find = claim_finder(spec)

    def record(place: int, text: str | Unusable) -> Document | Drop:
        idea = tree.ideas[place]
        if isinstance(text, Unusable):
            return Drop(record=idea.id, reason=text.reason, evidence=text.evidence)
        kind = tree.nodes[idea.parent].title
        return Document(plan=idea.id, type=kind, text=text, claims=find(text), writer=writer)

    return record
