"""What is in a corpus: coverage of the spec, diversity, tokens, drops and cost, as one record."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

from pydantic import Field

from midspec.corpus.coverage import Coverage, Covered
from midspec.corpus.diversity import Diversity, diversity
from midspec.corpus.folder import (
    DOCUMENTS,
    DROPS,
    JUDGE_REPLIES,
    PLAN_REPLIES,
    PLANS,
    REPLIES,
    WRITTEN,
    read_saved_spec,
)
from midspec.corpus.tree import Tree, path_of
from midspec.errors import ConfigError, StoreError
from midspec.llm import Reply
from midspec.llm.prices import Price
from midspec.progress import Progress, silent
from midspec.records import Document, Drop, Frozen, Plan, Spec
from midspec.store import read_records

WINDOW = 100  # words: texts are compared in pieces of one length
_SAMPLE = 200
_EMBEDDED = 64  # pieces whose embeddings are compared: 2,000 pairs, 3 s on one core
_SAMPLES_OF_A_REASON = 3
_SHOWN = 1200  # characters of a sample
_JOURNALS = (PLAN_REPLIES, REPLIES, JUDGE_REPLIES)
_UNKNOWN = "(not in the plan)"

Embed = Callable[[list[str]], Any]
"""Unit rows of texts: shape (n, width)."""


class AuditConfig(Frozen):
    """How an audit looks."""

    sample: int = Field(
        default=_SAMPLE, ge=2, description="pieces of 100 words that diversity is measured on"
    )
    seed: int = Field(default=0, ge=0, description="which pieces are drawn")


class Compared(Frozen):
    """Diversity of the corpus and of a reference, on equally many pieces of equal length."""

    reference: str
    n_pieces: int
    corpus: Diversity
    other: Diversity
    corpus_dispersion: float | None = Field(
        default=None, description="mean cosine distance of two pieces, 0 to 2; None: no embedder"
    )
    other_dispersion: float | None = None


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


class Audit(Frozen):
    """Everything the page shows."""

    name: str
    spec: str
    model_name: str
    writers: dict[str, int]
    n_documents: int
    n_tokens: int
    token_rule: str
    n_dropped: int
    coverage: tuple[Covered, ...]
    diversity: Diversity
    compared: tuple[Compared, ...]
    domains: tuple[Group, ...]
    types: tuple[Group, ...]
    reasons: tuple[Reason, ...]
    usage: tuple[Usage, ...]


def audit(
    folder: Path,
    references: Mapping[str, Iterable[str]] | None = None,
    config: AuditConfig | None = None,
    *,
    spec: Spec | None = None,
    prices: Callable[[str], Price | None] | None = None,
    embed: Embed | None = None,
    progress: Progress = silent,
) -> Audit:
    """Look through the folder of a corpus; documents are read one at a time.

    ``references`` are texts to compare diversity with, by name; the spec's own sentences always
    are one. ``prices`` gives the prices of a model by name. Raises StoreError if the folder
    holds no documents, or no spec and none is given.
    """
    config = config or AuditConfig()
    if not (folder / DOCUMENTS).exists():
        raise StoreError(f"{folder} has no {DOCUMENTS}; give the folder that `corpus write` made")
    spec = spec or read_saved_spec(folder)
    usage = [one for name in _JOURNALS for one in _usage(folder / name, prices)]
    counted = _count(folder, spec, progress)
    texts = {"the spec's own sentences": [_own_words(spec)], **(references or {})}
    reasons = tuple(_reasons(folder))
    return Audit(
        name=folder.name or str(folder),
        spec=spec.name,
        model_name=spec.model_name,
        writers=dict(counted.writers.most_common()),
        n_documents=counted.n,
        n_tokens=counted.types.tokens,
        token_rule="one token for four characters",
        n_dropped=sum(reason.n for reason in reasons),
        coverage=counted.coverage.rows(),
        diversity=diversity(_texts(folder), config.sample, config.seed),
        compared=tuple(_compared(folder, texts, config, embed)),
        domains=counted.domains.groups(),
        types=counted.types.groups(),
        reasons=reasons,
        usage=tuple(usage),
    )


def n_tokens(text: str) -> int:
    """Tokens of a text by the rule of thumb that the page names."""
    return -(-len(text) // 4)


class _Groups:
    """Documents and tokens by a name."""

    def __init__(self) -> None:
        self._documents: Counter[str] = Counter()
        self._tokens: Counter[str] = Counter()

    def add(self, name: str, tokens: int) -> None:
        self._documents[name] += 1
        self._tokens[name] += tokens

    @property
    def tokens(self) -> int:
        return self._tokens.total()

    def groups(self) -> tuple[Group, ...]:
        return tuple(
            Group(name=name, documents=n, tokens=self._tokens[name])
            for name, n in self._documents.most_common()
        )


class _Count:
    """One pass over the documents."""

    def __init__(self, spec: Spec, nodes: Mapping[str, tuple[str, str]]) -> None:
        self.coverage = Coverage(spec, lambda plan: nodes.get(plan, ("", ""))[1])
        self.domains, self.types = _Groups(), _Groups()
        self.writers: Counter[str] = Counter()
        self.n = 0
        self._nodes = nodes

    def add(self, document: Document) -> None:
        tokens = n_tokens(document.text)
        self.n += 1
        self.coverage.add(document, tokens)
        self.domains.add(self._nodes.get(document.plan, (_UNKNOWN, ""))[0], tokens)
        self.types.add(document.type, tokens)
        self.writers[document.writer] += 1


def _count(folder: Path, spec: Spec, progress: Progress) -> _Count:
    counted = _Count(spec, _places(folder))
    for document in read_records(folder / DOCUMENTS, Document):
        counted.add(document)
        progress(counted.n, 0, "documents")
    return counted


def _places(folder: Path) -> dict[str, tuple[str, str]]:
    """Domain and part of the spec by the id of an idea; empty without a plan."""
    path = folder / PLANS
    if not path.exists():
        return {}
    with suppress(ConfigError):  # a plan without ideas has no places
        tree = Tree.read(path)
        return {idea.id: _place(idea, tree.nodes) for idea in tree.ideas}
    return {}


def _place(idea: Plan, nodes: dict[str, Plan]) -> tuple[str, str]:
    path = list(path_of(idea, nodes))
    sections = [node.section for node in path if node.level == "subdomain"]
    return path[-1].title, sections[0] if sections else ""


def _texts(folder: Path) -> Iterator[str]:
    return (document.text for document in read_records(folder / DOCUMENTS, Document))


def _own_words(spec: Spec) -> str:
    reasons = (f"{one.item}: {one.reason}." for one in spec.preferences if one.reason)
    return " ".join([*(claim.text for claim in spec.claims), *reasons])


def _pieces(texts: Iterable[str]) -> Iterator[str]:
    """Texts in pieces of 100 words; a shorter rest is left out, a short text joins the next."""
    words: list[str] = []
    for text in texts:
        words += text.split()
        while len(words) >= WINDOW:
            yield " ".join(words[:WINDOW])
            words = words[WINDOW:]


def _drawn(pieces: Iterable[str], n: int, seed: int) -> list[str]:
    """A uniform sample of at most ``n``."""
    rng, sample = random.Random(f"{seed}/audit"), list[str]()
    for place, piece in enumerate(pieces):
        if len(sample) < n:
            sample.append(piece)
        elif (at := rng.randrange(place + 1)) < n:
            sample[at] = piece
    return sample


def _compared(
    folder: Path, texts: Mapping[str, Iterable[str]], config: AuditConfig, embed: Embed | None
) -> Iterator[Compared]:
    """The corpus beside each reference that has two pieces at least."""
    own = _drawn(_pieces(_texts(folder)), config.sample, config.seed)
    for name, reference in texts.items():
        other = _drawn(_pieces(reference), len(own), config.seed)
        mine = random.Random(f"{config.seed}/{name}").sample(own, len(other))
        if len(other) > 1:
            yield Compared(
                reference=name,
                n_pieces=len(other),
                corpus=diversity(mine, config.sample, config.seed),
                other=diversity(other, config.sample, config.seed),
                corpus_dispersion=_dispersion(mine, embed),
                other_dispersion=_dispersion(other, embed),
            )


def _dispersion(texts: Sequence[str], embed: Embed | None) -> float | None:
    """Mean cosine distance of two different texts."""
    if embed is None:
        return None
    rows = embed(list(texts[:_EMBEDDED]))
    n = len(rows)
    total = rows.sum(axis=0)
    # The sum of all dot products is |sum of rows|^2; the n of a row with itself are 1 each.
    return float(1 - (total @ total - n) / (n * (n - 1)))


def _reasons(folder: Path) -> Iterator[Reason]:
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
                for drop in islice(samples[name], _SAMPLES_OF_A_REASON)
            ),
        )


def _usage(path: Path, prices: Callable[[str], Price | None] | None) -> Iterator[Usage]:
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
