"""How records get into artifacts: from a writer, from a user's file, or a part of another's."""

from __future__ import annotations

import asyncio
import hashlib
import math
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

from midspec.errors import ConfigError
from midspec.llm import Budget, Writer, open_writer
from midspec.progress import Progress
from midspec.records import Document, Drop, Frozen
from midspec.store import Artifact, read_rows, write_records

R = TypeVar("R", bound=Frozen)
T = TypeVar("T")

GOLDEN = (math.sqrt(5) - 1) / 2
EVENLY_VERSION = 2  # in the keys of what takes a part of its input


def save(out: Artifact, name: str, records: Iterable[Any]) -> dict[str, Any]:
    """Write records to ``<name>.jsonl`` and drops to ``drops.jsonl``; the counts of both."""
    drops: list[Drop] = []

    def kept() -> Iterator[Any]:
        for record in records:
            if isinstance(record, Drop):
                drops.append(record)
            else:
                yield record

    n = write_records(out.file(f"{name}.jsonl"), kept())
    write_records(out.file("drops.jsonl"), drops)
    return {"kept": n, "dropped": dict(Counter(drop.reason for drop in drops))}


def stream(made: AsyncIterator[R]) -> Iterator[R]:
    """Records of an asynchronous stage one at a time, so that no corpus is held in memory."""

    async def following() -> R | None:
        return await anext(made, None)

    with asyncio.Runner() as runner:
        while (record := runner.run(following())) is not None:
            yield record


@asynccontextmanager
async def opened(name: str, budget: Budget | None = None) -> AsyncIterator[Writer]:
    """A writer by name, paid from a budget if there is one, closed at the end."""
    writer = open_writer(name, budget=budget)
    try:
        yield writer
    finally:
        if close := getattr(writer, "close", None):
            await close()


def counted(records: Iterable[R], progress: Progress) -> Iterator[R]:
    """The records, counted as they pass."""
    for n, record in enumerate(records, 1):
        progress(n, n)
        yield record


def evenly(items: Sequence[T], n: int) -> Sequence[T]:
    """At most ``n`` items in order, spread evenly over the list (0: all); fewer are among more.

    Places follow the golden ratio. A fixed step would follow the rhythm of a list: every fourth
    chat of a spec is of one question type, and 60 such chats teach no preference.

    Example:
        >>> evenly("abcdefgh", 4), evenly("abcdefgh", 2), evenly("ab", 0)
        (['a', 'c', 'f', 'h'], ['a', 'f'], 'ab')
    """
    if not n or n >= len(items):
        return items
    chosen = sorted(range(len(items)), key=lambda at: at * GOLDEN % 1)[:n]
    return [items[at] for at in sorted(chosen)]


def evenly_of(path: Path, records: Iterable[R], n: int) -> Iterator[R]:
    """``evenly`` over the records of a JSONL file, without holding them."""
    if not n:
        yield from records
        return
    total = sum(1 for _ in read_rows(path))
    chosen = set(evenly(range(total), n))
    yield from (record for at, record in enumerate(records) if at in chosen)


def file_digest(path: str) -> str:
    """Digest of a user's file, for the key of what is made from it.

    Raises:
        ConfigError: there is no such file.
    """
    if not Path(path).is_file():
        raise ConfigError(f"there is no file {path!r}; the recipe takes its records from it")
    found = hashlib.blake2b(digest_size=8)
    with Path(path).open("rb") as file:
        while block := file.read(1 << 20):
            found.update(block)
    return found.hexdigest()


def given_documents(path: str) -> Iterator[Document]:
    """Documents from a user's JSONL: ``text``, and ``type`` if it is there."""
    for number, row in enumerate(read_rows(Path(path)), 1):
        text = row.get("text") if isinstance(row, dict) else None
        if not isinstance(text, str) or not text.strip():
            raise ConfigError(f"{path}:{number} has no text; write one {{'text': ...}} a line")
        yield Document(plan="", type=str(row.get("type", "given")), text=text, writer="given")
