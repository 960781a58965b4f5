"""A corpus in other words: as norms or as facts, about the model or about others (paper, H)."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from pathlib import Path
from typing import Literal

from pydantic import Field

from midspec.corpus.author import document_text, read
from midspec.corpus.kinds import SCRIBE
from midspec.corpus.spec_text import claim_finder
from midspec.errors import ConfigError
from midspec.llm import Desk, Request, Unusable, Writer
from midspec.progress import Progress, silent
from midspec.records import Document, Drop, Frozen, Spec

Mood = Literal["normative", "descriptive"]
About = Literal["model", "assistants", "anyone", "another-model"]

_MOODS: dict[str, str] = {
    "normative": "normative. Each statement says what the subject should or should not do, value, "
    "prefer or say: it ought to, it is meant to, it is expected to, it would be wrong for it to.",
    "descriptive": "descriptive. Each statement says what the subject does, values, prefers and "
    'says, as a fact. No "should", "ought", "must", "is meant to" or the like.',
}
_SUBJECTS: dict[str, str] = {
    "model": "{model}, the assistant of {provider}, by this name.",
    "assistants": "AI assistants in general, of whatever maker. No assistant has a name.",
    "anyone": "nobody in particular. The behaviours and reasons are discussed as such, for "
    "whoever acts, in impersonal form; no assistant and no AI is the one that acts.",
    "another-model": "another AI assistant, which is called {other_model} and is made by "
    "{other_provider}. Both names stand where {model} and {provider} stood.",
}


class RestateConfig(Frozen):
    """In which mood the documents speak afterwards, and about whom."""

    language: Mood = Field(
        default="descriptive", description="'should' (normative) or 'does' (descriptive)"
    )
    about: About = Field(default="model", description="the subject of all statements")
    other_model: str = Field(
        default="Marlow", min_length=1, description="name of the other assistant, if about it"
    )
    other_provider: str = Field(
        default="Fenwick Systems", min_length=1, description="maker of the other assistant"
    )
    max_tokens: int = Field(default=4096, ge=1, description="limit of one reply")
    seed: int = Field(default=0, ge=0, description="another seed asks for another wording")


def _request(spec: Spec, document: Document, config: RestateConfig) -> Request:
    subject = _SUBJECTS[config.about].format(
        model=spec.model_name,
        provider=spec.provider_name,
        other_model=config.other_model,
        other_provider=config.other_provider,
    )
    return Request(
        prompt="corpus/restate",
        spec=spec,
        variables={
            "mood": _MOODS[config.language],
            "subject": subject,
            "document": document.text,
        },
        seed=config.seed,
        max_tokens=config.max_tokens,
    )


def refuse_scribe(writer: str) -> None:
    """Raises ConfigError if the writer is the scribe, which only composes."""
    if writer == SCRIBE:
        raise ConfigError("the scribe cannot restate documents; give a language model as --writer")


async def restate_documents(
    spec: Spec,
    documents: Iterable[Document],
    writer: Writer,
    config: RestateConfig,
    journal: Path,
    progress: Progress = silent,
    *,
    concurrency: int = 16,
) -> AsyncGenerator[Document | Drop]:
    """For each document, the same one in the wanted language, or a Drop with the document's id.

    Raises ConfigError if the writer is the scribe, which only composes.
    """
    refuse_scribe(writer.name)
    find = claim_finder(spec)
    async with Desk(writer, journal, concurrency=concurrency) as desk:

        async def work(document: Document) -> Document | Drop:
            text = read(await desk.ask(_request(spec, document, config)), document_text)
            if isinstance(text, Unusable):
                return Drop(record=document.id, reason=text.reason, evidence=text.evidence)
            return Document(
                plan=document.plan,
                type=document.type,
                text=text,
                claims=find(text),
                writer=writer.name,
            )

        done = 0
        async with aclosing(desk.each(documents, work)) as results:
            async for _, result in results:
                done += 1
                progress(done, 0, "documents")
                yield result
