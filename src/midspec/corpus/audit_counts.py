"""What a corpus is made of, what was left out of it, and what it took: counts over its files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from pydantic import Field

from midspec.corpus.folder import DOCUMENTS, DROPS, WRITTEN
from midspec.llm import Reply
from midspec.llm.prices import Price
from midspec.records import Document, Drop, Frozen
from midspec.store import read_records

_SAMPLES_OF_A_REASON = 3
_SHOWN = 1200  # characters of a sample


class Group(Frozen):
    """Documents and tokens of one domain or type."""

    name: str
    documents: int
    tokens: int


class Sample(Frozen):
    """Something that was left out."""

    record: str
    evidence: str
    text: str = ""


class Reason(Frozen):
    """All that was left out for one reason, with samples."""

    name: str
    n: int
    samples: tuple[Sample, ...]


class Usage(Frozen):
    """What one journal of replies took."""

    journal: str
    model: str
    replies: int
    input_tokens: int = Field(description="all tokens read")
    cached_tokens: int = Field(description="of those read, the ones from the prompt cache")
    output_tokens: int
    usd: float | None = Field(default=None, description="None: no price is known")


def n_tokens(text: str) -> int:
    """Tokens of a text by the rule of thumb that the page names."""
    return -(-len(text) // 4)


class Groups:
    """Documents and tokens by a name."""

    def __init__(self) -> None:
        self._documents: Counter[str] = Counter()
        self._tokens: Counter[str] = Counter()

    def add(self, name: str, tokens: int) -> None:
        """Count a document."""
        self._documents[name] += 1
        self._tokens[name] += tokens

    @property
    def tokens(self) -> int:
        """Of all names together."""
        return self._tokens.total()

    def groups(self) -> tuple[Group, ...]:
        """By name, most documents first."""
        return tuple(
            Group(name=name, documents=n, tokens=self._tokens[name])
            for name, n in self._documents.most_common()
        )


def reasons(folder: Path) -> Iterator[Reason]:
    """Drops by reason, most frequent first."""
    counts: Counter[str] = Counter()
    samples: dict[str, list[Drop]] = {}
    files = (folder / DROPS, folder / WRITTEN / DROPS)
    for drop in (drop for path in files for drop in read_records(path, Drop)):
        counts[drop.reason] += 1
        if len(those := samples.setdefault(drop.reason, [])) < _SAMPLES_OF_A_REASON:
            those.append(drop)
    wanted = {drop.record for those in samples.values() for drop in those}
    records = read_records(folder / WRITTEN / DOCUMENTS, Document)
    texts = {document.id: document.text for document in records if document.id in wanted}
    for name, n in counts.most_common():
        yield Reason(
            name=name,
            n=n,
            samples=tuple(
                Sample(
                    record=drop.record,
                    evidence=drop.evidence[:_SHOWN] or (f"like {drop.of}" if drop.of else ""),
                    text=texts.get(drop.record, "")[:_SHOWN],
                )
                for drop in samples[name]
            ),
        )


def usage(path: Path, prices: Callable[[str], Price | None] | None) -> Iterator[Usage]:
    """What each model was asked, from a journal of replies."""
    by_model: dict[str, _Sum] = {}
    for reply in read_records(path, Reply):
        by_model.setdefault(reply.model, _Sum(prices(reply.model) if prices else None)).add(reply)
    for model, found in by_model.items():
        yield Usage(
            journal=path.name,
            model=model,
            replies=found.n,
            input_tokens=found.read,
            cached_tokens=found.cached,
            output_tokens=found.written,
            usd=found.usd if found.price else None,
        )


class _Sum:
    """Replies of one model, added up."""

    def __init__(self, price: Price | None) -> None:
        self.price = price
        self.n = self.read = self.cached = self.written = 0
        self.usd = 0.0

    def add(self, reply: Reply) -> None:
        self.n += 1
        self.read += reply.input_tokens
        self.cached += reply.cached_tokens
        self.written += reply.output_tokens
        self.usd += self.price.of(reply) if self.price else 0.0
