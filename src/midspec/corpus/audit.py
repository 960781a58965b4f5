"""What is in a corpus: coverage of the spec, diversity, tokens, drops and cost, as one record."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from pydantic import Field

from midspec.corpus.audit_counts import Group, Groups, Reason, Usage, n_tokens, reasons, usage
from midspec.corpus.compare import Compared, Embed, KeptRows, compared, own_words
from midspec.corpus.coverage import Coverage, Covered
from midspec.corpus.diversity import Diversity, diversity
from midspec.corpus.folder import (
    DOCUMENTS,
    PLANS,
    journals,
    read_saved_spec,
)
from midspec.corpus.tree import Tree, path_of, read_tree
from midspec.errors import StoreError
from midspec.llm.prices import Price
from midspec.progress import Progress, silent
from midspec.records import Document, Frozen, Spec
from midspec.store import read_records

EMBEDDINGS = "audit-embeddings.jsonl"
_UNKNOWN = "(not in the plan)"


class AuditConfig(Frozen):
    """How an audit looks."""

    sample: int = Field(
        default=200, ge=2, description="pieces of 100 words that diversity is measured on"
    )
    embedded: int = Field(
        default=64,
        ge=2,
        description="of them, how many are embedded (about 5 to 8 a second on one core)",
    )
    seed: int = Field(default=0, ge=0, description="which pieces are drawn")


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
    are one. ``prices`` gives the prices of a model by name. Rows of ``embed`` are kept in the
    folder, by text. Raises StoreError if the folder holds no documents, or no spec and none is
    given.
    """
    config = config or AuditConfig()
    if not (folder / DOCUMENTS).exists():
        raise StoreError(f"{folder} has no {DOCUMENTS}; give the folder that `corpus write` made")
    spec = spec or read_saved_spec(folder)
    counted = _count(folder, spec, progress)
    left_out = tuple(reasons(folder))
    return Audit(
        name=folder.name or str(folder),
        spec=spec.name,
        model_name=spec.model_name,
        writers=dict(counted.writers.most_common()),
        n_documents=counted.n,
        n_tokens=counted.types.tokens,
        token_rule="one token for four characters",
        n_dropped=sum(reason.n for reason in left_out),
        coverage=counted.coverage.rows(),
        diversity=diversity(_texts(folder), config.sample, config.seed),
        compared=_beside(folder, spec, references or {}, config, embed),
        domains=counted.domains.groups(),
        types=counted.types.groups(),
        reasons=left_out,
        usage=tuple(
            one.model_copy(update={"journal": path.relative_to(folder).as_posix()})
            for path in journals(folder)
            for one in usage(path, prices)
        ),
    )


def _beside(
    folder: Path,
    spec: Spec,
    references: Mapping[str, Iterable[str]],
    config: AuditConfig,
    embed: Embed | None,
) -> tuple[Compared, ...]:
    """The corpus beside the spec's own sentences and the references."""
    found = compared(
        _texts(folder),
        {"the spec's own sentences": [own_words(spec)], **references},
        sample=config.sample,
        embedded=config.embedded,
        seed=config.seed,
        embed=KeptRows(embed, folder / EMBEDDINGS) if embed else None,
    )
    return tuple(found)


class _Count:
    """One pass over the documents."""

    def __init__(self, spec: Spec, tree: Tree | None) -> None:
        self.coverage = Coverage(spec, lambda plan: self._place(plan)[1])
        self.domains, self.types = Groups(), Groups()
        self.writers: Counter[str] = Counter()
        self.n = 0
        self._tree = tree

    def add(self, document: Document) -> None:
        tokens = n_tokens(document.text)
        self.n += 1
        self.coverage.add(document, tokens)
        self.domains.add(self._place(document.plan)[0], tokens)
        self.types.add(document.type, tokens)
        self.writers[document.writer] += 1

    def _place(self, plan: str) -> tuple[str, str]:
        """Domain, and part of the spec, of an idea."""
        idea = self._tree.idea(plan) if self._tree else None
        if idea is None or self._tree is None:
            return _UNKNOWN, ""
        path = list(path_of(idea, self._tree.nodes))
        sections = [node.section for node in path if node.level == "subdomain"]
        return path[-1].title, sections[0] if sections else ""


def _count(folder: Path, spec: Spec, progress: Progress) -> _Count:
    counted = _Count(spec, read_tree(folder / PLANS))
    for document in read_records(folder / DOCUMENTS, Document):
        counted.add(document)
        progress(counted.n, 0, "documents")
    return counted


def _texts(folder: Path) -> Iterator[str]:
    return (document.text for document in read_records(folder / DOCUMENTS, Document))
