"""Documents from ideas: one request for each idea and draft, one text or one reason (paper, B.1)."""

from __future__ import annotations

import random
import re
from collections.abc import AsyncGenerator, Iterable, Iterator, Sequence
from contextlib import aclosing
from pathlib import Path

from pydantic import Field

from midspec.corpus.plan import by_id, path_variables, titled
from midspec.corpus.spec_text import claim_finder
from midspec.errors import ConfigError
from midspec.llm import Desk, Request, Writer, unusable
from midspec.progress import Progress, silent
from midspec.records import Document, Drop, Frozen, Plan, Spec

_THOUGHTS = re.compile(r"<(scratchpad|think)>.*?</\1>", re.DOTALL | re.IGNORECASE)
_DOCUMENT = re.compile(r"<document>(.*?)</document>", re.DOTALL | re.IGNORECASE)
_LEFTOVER = re.compile(r"</?(document|scratchpad|think)>", re.IGNORECASE)


class DocumentConfig(Frozen):
    """How many documents are written, and how long they may be."""

    max_documents: int = Field(
        default=0, ge=0, description="stop after so many, spread over the tree; 0: all"
    )
    drafts: int = Field(default=1, ge=1, le=1000, description="documents from one idea")
    max_tokens: int = Field(
        default=4096, ge=1, description="limit of one reply; a reply cut by it is dropped"
    )
    seed: int = Field(
        default=0, ge=0, description="another seed asks for other documents from a plan"
    )


def document_text(reply: str) -> str | None:
    """The text between the document tags of a reply, or None if that is not one whole text.

    Scratchpads are removed first. One that is not closed, a second document, or a tag inside
    the text gives None.

    Example:
        >>> document_text("<scratchpad>plan</scratchpad><document> Hello. </document>")
        'Hello.'
        >>> document_text("<document>Hello") is None
        True
    """
    rest = _THOUGHTS.sub("", reply)
    found = _DOCUMENT.search(rest)
    if not found or _LEFTOVER.search(rest[: found.start()] + found.group(1) + rest[found.end() :]):
        return None
    return found.group(1).strip() or None


def _choose(ideas: Sequence[Plan], config: DocumentConfig) -> Iterator[tuple[Plan, int]]:
    """The (idea, draft) pairs to write, in tree order; a larger limit adds to a smaller one."""
    pairs = [(idea, draft) for draft in range(config.drafts) for idea in ideas]
    order = list(range(len(pairs)))
    if config.max_documents:
        random.Random(f"{config.seed}/documents").shuffle(order)
        order = sorted(order[: config.max_documents])
    return (pairs[place] for place in order)


def _assertions(plans: Iterable[Plan]) -> dict[str, str]:
    """The assertions of each subdomain, one a line."""
    lines: dict[str, list[str]] = {}
    for plan in plans:
        if plan.level == "assertion":
            lines.setdefault(plan.parent, []).append(f"- {titled(plan)}")
    return {subdomain: "\n".join(those) for subdomain, those in lines.items()}


def _requests(
    spec: Spec,
    pairs: Iterable[tuple[Plan, int]],
    nodes: dict[str, Plan],
    config: DocumentConfig,
) -> Iterator[Request]:
    """One request for each pair."""
    assertions = _assertions(nodes.values())
    for idea, draft in pairs:
        subdomain = nodes[idea.parent].parent
        variables = path_variables(idea, nodes)
        yield Request(
            prompt="corpus/document",
            spec=spec,
            variables={**variables, "assertions": assertions.get(subdomain, "")},
            seed=1000 * config.seed + draft,
            max_tokens=config.max_tokens,
        )


def _check(ideas: Sequence[Plan], nodes: dict[str, Plan]) -> None:
    """Raise if there is nothing to write, or a node above an idea is missing."""
    if not ideas:
        raise ConfigError("the plan holds no ideas; make a plan first, and look at its drops")
    for idea in ideas:
        path = path_variables(idea, nodes)
        missing = [level for level in ("type", "subdomain", "domain") if level not in path]
        if missing:
            raise ConfigError(
                f"idea {idea.id} has no {missing[0]} above it; pass all nodes of the plan"
            )


async def write_documents(
    spec: Spec,
    plans: Sequence[Plan],
    writer: Writer,
    config: DocumentConfig,
    journal: Path,
    progress: Progress = silent,
    *,
    concurrency: int = 16,
) -> AsyncGenerator[Document | Drop]:
    """A Document or a Drop for each idea and draft, in the order of the plan (paper, B.1).

    A Drop names the idea's id and one of ``truncated``, ``refusal``, ``error``, ``unparsable``.
    ``Document.claims`` are the claims and preferences that stand in the text. Raises ConfigError
    if the plan holds no ideas, WriterError if the writer failed for good.
    """
    nodes = by_id(plans)
    ideas = [plan for plan in plans if plan.level == "idea"]
    _check(ideas, nodes)
    pairs, find = list(_choose(ideas, config)), claim_finder(spec)
    requests, waiting = _requests(spec, pairs, nodes, config), iter(pairs)
    async with (
        Desk(writer, journal, concurrency=concurrency) as desk,
        aclosing(desk.replies(requests, progress, len(pairs))) as answered,
    ):
        async for _, reply in answered:
            idea, _ = next(waiting)
            text = document_text(reply.text)
            if bad := unusable(reply):
                yield Drop(record=idea.id, reason=bad.reason, evidence=bad.evidence)
            elif text is None:
                yield Drop(record=idea.id, reason="unparsable", evidence=reply.text[:200])
            else:
                yield Document(
                    plan=idea.id,
                    type=nodes[idea.parent].title,
                    text=text,
                    claims=find(text),
                    writer=reply.model,
                )
