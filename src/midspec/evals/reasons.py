"""Why did a model act as it did? Patterns of reasoning and their frequency per arm (paper, D.5).

Four steps over transcripts, with a judge: note free-form reasons of each, make canonical patterns
of them all, say for each transcript which patterns drove it, and merge patterns that nearly always
come together. Every frequency has an interval and quotations, and a quotation counts only if it is
in the transcript word for word.
"""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel, Field

from midspec.errors import EvalError
from midspec.evals.rates import Estimate, rate
from midspec.evals.transcripts import Transcript
from midspec.llm import parse_list, render
from midspec.progress import Progress, silent
from midspec.records import Frozen, digest
from midspec.store import Journal, read_records

if TYPE_CHECKING:
    from inspect_ai.model import Model

S = TypeVar("S", bound=BaseModel)
# Reasons that one request for patterns may hold; more are sampled by seed.
MOST_REASONS = 400


class Reason(BaseModel):
    """A free-form reason with a quotation."""

    reason: str
    quote: str = ""


class Pattern(BaseModel):
    """A canonical kind of reasoning."""

    name: str
    definition: str


class Hit(BaseModel):
    """A pattern that drove a transcript, with a quotation."""

    name: str
    quote: str = ""


class Quote(Frozen):
    """Words of a transcript, and of which one."""

    transcript: str
    text: str


class Frequency(Frozen):
    """How often a pattern drove the transcripts of an arm."""

    arm: str
    pattern: str
    definition: str
    rate: Estimate
    quotes: tuple[Quote, ...] = Field(description="up to five, each word for word")


class Findings(Frozen):
    """The result: a frequency for each arm and pattern, and what could not be read."""

    frequencies: tuple[Frequency, ...]
    n_transcripts: int
    n_unparsed: int = Field(description="transcripts for which the judge gave no list")
    n_loose_quotes: int = Field(description="quotations that are not in their transcript")


class _Verdict(Frozen):
    """One reply of the judge, by the digest of what it was asked."""

    id: str
    text: str


class JudgeDesk:
    """A judge with a journal: what was asked once is read from it, also after a kill."""

    def __init__(self, judge: Model, journal: Path, concurrency: int = 8) -> None:
        self._judge, self._file = judge, Journal(journal)
        self._known = {v.id: v.text for v in read_records(journal, _Verdict)}
        self._slots = asyncio.Semaphore(concurrency)

    async def ask(self, prompt: str) -> str:
        """The judge's reply to a prompt; an empty text if it was cut or refused."""
        key = digest(str(self._judge), prompt)
        if key not in self._known:
            async with self._slots:
                output = await self._judge.generate(prompt)
            whole = bool(output.choices) and output.stop_reason == "stop"
            self._known[key] = output.completion if whole else ""
            self._file.append(_Verdict(id=key, text=self._known[key]))
        return self._known[key]

    def close(self) -> None:
        """Close the journal."""
        self._file.close()


async def find_reasons(
    transcripts: Sequence[Transcript],
    judge: Model,
    journal: Path,
    *,
    most_patterns: int = 16,
    overlap: float = 0.75,
    seed: int = 0,
    progress: Progress = silent,
) -> Findings:
    """All four steps; a rerun asks the judge only what is not in the journal.

    ``overlap``: two patterns become one if more than this share of the transcripts that either
    of them drove were driven by both.

    Raises:
        EvalError: there are no transcripts, or the judge gave no patterns.
    """
    if not transcripts:
        raise EvalError("no transcripts; give logs in which a model answered")
    desk = JudgeDesk(judge, journal)
    try:
        step = _Step(2 * len(transcripts) + 1, progress)
        noted = await asyncio.gather(*(_extract(desk, t, step) for t in transcripts))
        patterns = await _patterns(desk, noted, most_patterns, seed, step)
        hits = await asyncio.gather(*(_classify(desk, t, patterns, step) for t in transcripts))
    finally:
        desk.close()
    return _findings(transcripts, merge_overlaps(patterns, hits, overlap), hits)


class _Step:
    def __init__(self, total: int, progress: Progress) -> None:
        self.done, self.total, self.progress = 0, total, progress

    def __call__(self, text: str) -> None:
        self.done += 1
        self.progress(self.done, self.total, text)


def _listed(text: str, shape: type[S]) -> list[S] | None:
    """The list in a reply; None if there is none (unparsed)."""
    try:
        return parse_list(text, shape)
    except ValueError:
        return None


async def _extract(desk: JudgeDesk, transcript: Transcript, step: _Step) -> list[Reason]:
    text = await desk.ask(render("evals/reasons_extract", transcript=transcript.text))
    step("extract reasons")
    return _listed(text, Reason) or []


async def _patterns(
    desk: JudgeDesk, noted: Sequence[list[Reason]], most: int, seed: int, step: _Step
) -> list[Pattern]:
    lines = sorted({" ".join(r.reason.split()) for reasons in noted for r in reasons})
    if len(lines) > MOST_REASONS:
        lines = sorted(random.Random(f"reasons:{seed}").sample(lines, MOST_REASONS))
    text = await desk.ask(render("evals/reasons_merge", reasons="\n".join(lines), limit=str(most)))
    step("make patterns")
    named = {p.name.strip().lower(): p for p in _listed(text, Pattern) or []}
    if not named:
        raise EvalError(
            f"the judge made no patterns of {len(lines)} reasons; use another judge or more logs"
        )
    return list(named.values())[:most]


async def _classify(
    desk: JudgeDesk, transcript: Transcript, patterns: Sequence[Pattern], step: _Step
) -> list[Hit] | None:
    """The patterns that drove a transcript, unknown names left out; None if unparsed."""
    listed = "\n".join(f"- {p.name}: {p.definition}" for p in patterns)
    text = await desk.ask(
        render("evals/reasons_classify", patterns=listed, transcript=transcript.text)
    )
    step("classify")
    found = _listed(text, Hit)
    if found is None:
        return None
    names = {p.name.strip().lower() for p in patterns}
    return [hit for hit in found if hit.name.strip().lower() in names]


def merge_overlaps(
    patterns: Sequence[Pattern], hits: Sequence[Sequence[Hit] | None], overlap: float
) -> dict[str, tuple[Pattern, frozenset[str]]]:
    """Patterns by name, each with the (lower-case) names that were merged into it.

    The two that share most are merged first, into the one with more transcripts.
    """
    where = {p.name.strip().lower(): set[int]() for p in patterns}
    for i, found in enumerate(hits):
        for hit in found or ():
            where[hit.name.strip().lower()].add(i)
    merged = {name: {name} for name in where}
    while pair := _closest(where, overlap):
        big, small = sorted(pair, key=lambda name: (-len(where[name]), name))
        where[big] |= where.pop(small)
        merged[big] |= merged.pop(small)
    kept = {p.name.strip().lower(): p for p in patterns}
    return {kept[name].name: (kept[name], frozenset(names)) for name, names in merged.items()}


def _closest(where: dict[str, set[int]], overlap: float) -> tuple[str, str] | None:
    """The two names whose transcripts overlap most, if by more than ``overlap``."""
    best, found = overlap, None
    for a, b in combinations(sorted(where), 2):
        union = where[a] | where[b]
        share = len(where[a] & where[b]) / len(union) if union else 0.0
        if share > best:
            best, found = share, (a, b)
    return found


def _findings(
    transcripts: Sequence[Transcript],
    merged: dict[str, tuple[Pattern, frozenset[str]]],
    hits: Sequence[list[Hit] | None],
) -> Findings:
    rows = []
    for arm in sorted({t.arm for t in transcripts}):
        mine = [(t, h) for t, h in zip(transcripts, hits, strict=True) if t.arm == arm]
        for pattern, names in merged.values():
            rows.append(_frequency(arm, pattern, names, mine))
    rows.sort(key=lambda row: (row.arm, -(row.rate.value or 0), row.pattern))
    loose = sum(
        not _is_in(hit.quote, t.text)
        for t, found in zip(transcripts, hits, strict=True)
        for hit in found or ()
    )
    return Findings(
        frequencies=tuple(rows),
        n_transcripts=len(transcripts),
        n_unparsed=sum(found is None for found in hits),
        n_loose_quotes=loose,
    )


def _frequency(
    arm: str,
    pattern: Pattern,
    names: frozenset[str],
    mine: Sequence[tuple[Transcript, list[Hit] | None]],
) -> Frequency:
    flags: dict[str, list[float | None]] = {}  # by item: its repeats are not independent
    quotes: list[Quote] = []
    for transcript, hits in mine:
        found = None if hits is None else [h for h in hits if h.name.strip().lower() in names]
        item = transcript.item or transcript.id
        flags.setdefault(item, []).append(None if found is None else float(bool(found)))
        quotes += [
            Quote(transcript=transcript.id, text=hit.quote)
            for hit in (found or [])[:1]
            if _is_in(hit.quote, transcript.text)
        ]
    return Frequency(
        arm=arm,
        pattern=pattern.name,
        definition=pattern.definition,
        rate=rate(flags.values()),
        quotes=tuple(quotes[:5]),
    )


def _is_in(quote: str, text: str) -> bool:
    """Whether a quotation stands in a text, white space and case aside."""
    plain = re.sub(r"\s+", " ", quote).strip().lower()
    return bool(plain) and plain in re.sub(r"\s+", " ", text).lower()
