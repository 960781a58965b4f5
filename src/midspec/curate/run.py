"""The whole curation of one JSONL file: every rule, then embeddings, then the judge."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator, Sequence
from contextlib import aclosing, contextmanager
from pathlib import Path

from pydantic import Field

from midspec.curate.curate import curate, default_rules
from midspec.curate.judge import judged
from midspec.curate.patterns import Patterns, PatternScan, to_avoid
from midspec.curate.similar import MIN_COSINE, similar
from midspec.errors import ConfigError
from midspec.llm import Writer, run_until_done
from midspec.progress import Progress, silent
from midspec.records import Conversation, Document, Drop, Frozen, Item, Spec
from midspec.store import Journal, read_records, read_rows, write_atomic
from midspec.tally import Tally

Result = Document | Conversation | Drop

N_SAMPLES = 3  # drops of each reason that are kept to be looked at
DROPS, SUMMARY, VERDICTS = "drops.jsonl", "curation.json", "judge-replies.jsonl"


class CurateConfig(Frozen):
    """What is done beyond the rules."""

    embed: bool = Field(default=True, description="look for documents that say the same, too")
    min_cosine: float = Field(
        default=MIN_COSINE, gt=0, le=1, description="of embeddings, from which two are the same"
    )
    min_share: float = Field(
        default=0.02, gt=0, le=1, description="of texts, from which a pattern is too frequent"
    )
    concurrency: int = Field(default=16, ge=1, description="requests to the judge at a time")


class Curation(Frozen):
    """What came of a file: figures, samples of what was dropped, and what is said too often."""

    tally: Tally
    samples: dict[str, tuple[Drop, ...]] = Field(description="a few drops of each reason")
    patterns: Patterns = Field(description="of what was kept")
    avoid: tuple[str, ...] = Field(description="the same, as lines for later prompts")


def curate_file(
    source: Path,
    spec: Spec,
    out: Path,
    *,
    items: Sequence[Item] = (),
    others: Sequence[Item] = (),
    judge: Writer | None = None,
    config: CurateConfig | None = None,
    progress: Progress = silent,
) -> Curation:
    """Curate a ``documents.jsonl`` or ``chats.jsonl`` into a folder; returns what came of it.

    Writes the kept records under the source's name, ``drops.jsonl`` and ``curation.json``; each
    appears when it is whole. Streams: in memory are what duplicates are compared by, and a
    window of records. Verdicts of the judge are in ``judge-replies.jsonl`` at once: a run that
    was stopped is repeated without asking for them again. ``items`` and ``others``: see
    ``default_rules``. Raises ConfigError if there is nothing to read, or ``out`` holds the source.
    """
    config = config or CurateConfig()
    n, kind = _look(source)
    kept = out / source.name
    if kept.resolve() == source.resolve() or source.name in (DROPS, SUMMARY, VERDICTS):
        raise ConfigError(f"{out} would overwrite {source}; give another folder with --out")
    tally, scan = Tally(), PatternScan(spec, config.min_share)
    read = _counted(tally.asked(read_records(source, kind)), n, progress)
    results = curate(read, default_rules(spec, items, others))
    if config.embed and kind is Document and spec.language != "terrarium":
        results = similar(results, config.min_cosine)
    stream = _judged(results, spec, judge, out / VERDICTS, config.concurrency)
    samples = run_until_done(_write(stream, kept, out / DROPS, tally, scan))
    found = scan.found()
    curation = Curation(
        tally=tally.check(), samples=samples, patterns=found, avoid=tuple(to_avoid(found))
    )
    write_atomic(out / SUMMARY, json.dumps(curation.model_dump(mode="json"), indent=1))
    return curation


def _look(source: Path) -> tuple[int, type[Document] | type[Conversation]]:
    """Number of records of a file, and what they are."""
    if not source.is_file():
        raise ConfigError(f"{source} is no file; give a documents.jsonl or chats.jsonl")
    first = next(read_rows(source), None)
    if first is None:
        raise ConfigError(f"{source} holds no records; write documents or chats first")
    with source.open("rb") as file:
        n = sum(line.endswith(b"\n") for line in file)
    return n, Conversation if "messages" in first else Document


def _counted(
    records: Iterable[Document | Conversation], n: int, progress: Progress
) -> Iterator[Document | Conversation]:
    for done, record in enumerate(records, 1):
        yield record
        progress(done, n, "curate")


async def _judged(
    results: Iterable[Result], spec: Spec, judge: Writer | None, journal: Path, concurrency: int
) -> AsyncGenerator[Result]:
    """The results as they are, or as the judge leaves them."""
    if judge is None:
        for result in results:
            yield result
        return
    try:
        stream = judged(results, spec, judge, journal, concurrency=concurrency)
        async with aclosing(stream) as judgements:
            async for result in judgements:
                yield result
    finally:  # connections do not outlive this loop
        if close := getattr(judge, "close", None):
            await close()


async def _write(
    results: AsyncIterator[Result], kept: Path, dropped: Path, tally: Tally, scan: PatternScan
) -> dict[str, tuple[Drop, ...]]:
    """Write both files, count and scan on the way; a few drops of each reason come back."""
    samples: dict[str, tuple[Drop, ...]] = {}
    with _whole(kept) as keep, _whole(dropped) as drop:
        async for result in results:
            tally.add(result)
            if isinstance(result, Drop):
                drop.append(result)
                had = samples.get(result.reason, ())
                samples[result.reason] = (*had, result)[:N_SAMPLES]
            else:
                keep.append(result)
                scan.add(result)
    return samples


@contextmanager
def _whole(path: Path) -> Iterator[Journal]:
    """A JSONL file that appears under its name only when all of it is written."""
    scratch = path.with_name(f".{path.name}.part")
    scratch.unlink(missing_ok=True)
    with Journal(scratch) as journal:
        yield journal
    os.replace(scratch, path)
