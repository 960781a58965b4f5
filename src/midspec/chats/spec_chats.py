"""Chats that show a spec: queries, replies with reasoning, a judge, until the count is met."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack, aclosing, contextmanager
from pathlib import Path
from typing import Any

from midspec.chats.answer import Answerer
from midspec.chats.config import ChatConfig, SpecChatConfig
from midspec.chats.parse import without_reasoning
from midspec.chats.queries import Queries, Query
from midspec.chats.similar import Embed, minilm
from midspec.chats.window import in_order
from midspec.errors import ConfigError
from midspec.llm import Desk, Writer, prompt_hash, read_ledger
from midspec.progress import Progress, silent
from midspec.records import Conversation, Drop, Spec
from midspec.store import Journal
from midspec.tally import FAILED, Tally

JOURNALS = ("replies.jsonl", "judge-replies.jsonl")
REASONED = "chats-with-reasoning.jsonl"
PROMPTS = ("domains", "queries", "respond", "rewrite", "follow_up", "judge")
OPAQUE_PROMPTS = ("preference", "identity", "repair", "judge_opaque")
Check = Callable[[Conversation], Drop | None]


def accept(chat: Conversation) -> Drop | None:  # noqa: ARG001
    """Keep every chat."""
    return None


async def write_spec_chats(
    spec: Spec,
    writer: Writer,
    judge: Writer,
    config: SpecChatConfig,
    folder: Path,
    tally: Tally,
    progress: Progress = silent,
    *,
    concurrency: int = 16,
    check: Check = accept,
    embed: Embed | None = None,
) -> AsyncGenerator[Conversation | Drop]:
    """Chats that show the spec, with the assistant's reasoning, and a Drop for every loss (B.2).

    Ends when ``config.count`` chats are kept, or when ``config.effort`` queries for each are
    used up. Everything asked is in ``folder`` (``replies.jsonl``, ``judge-replies.jsonl``,
    ``queries.jsonl``), so that a second run asks nothing again. ``check`` may object to a chat
    (curation rules see it without reasoning). ``embed`` gives unit rows for texts
    (default: the bundled model of the extra ``midspec[embed]``).
    Which chats come does not depend on timing or on ``concurrency``. Raises ConfigError for
    an empty spec, WriterError if a model failed for good.
    """
    if not spec.text.strip():
        raise ConfigError(f"spec {spec.name!r} has no text to show; write a sentence into it")
    async with AsyncExitStack() as stack:
        desk = await _desk(stack, writer, folder / JOURNALS[0], concurrency)
        judging = await _desk(stack, judge, folder / JOURNALS[1], concurrency)
        saved = folder / "queries.jsonl"
        queries = Queries(spec, writer.name, desk, config, saved, embed or minilm)
        await queries.open()
        answerer = Answerer(spec, writer.name, desk, judging, config)
        window = 2 * max(desk.concurrency, judging.concurrency)  # a batch writer takes more at once
        results = _results(queries, answerer, config.count, window, check, progress)
        async with aclosing(results):
            async for result in results:
                yield result
        tally.requested = queries.requested


async def _desk(stack: AsyncExitStack, writer: Writer, path: Path, concurrency: int) -> Desk:
    return await stack.enter_async_context(Desk(writer, path, concurrency=concurrency))


async def _results(
    queries: Queries,
    answerer: Answerer,
    count: int,
    window: int,
    check: Check,
    progress: Progress,
) -> AsyncGenerator[Conversation | Drop]:
    """One result for each query asked for, until ``count`` chats are kept.

    A query starts only while the chats kept and in flight are fewer than ``count``: so the
    queries used are the shortest run that suffices, whatever the timing, and none is wasted.
    """
    kept = 0

    async def work(one: Query | Drop) -> Conversation | Drop:
        return await answerer.chat(one) if isinstance(one, Query) else one

    pairs = in_order(queries, work, window=window, may_start=lambda flying: kept + flying < count)
    async with aclosing(pairs):
        async for _, made in pairs:
            result = _checked(made, check) if isinstance(made, Conversation) else made
            kept += isinstance(result, Conversation)
            progress(kept, count, f"{queries.requested} queries")
            yield result
    for one in queries.left():
        yield one if isinstance(one, Drop) else Drop(record=one.id, reason="surplus")


def _checked(chat: Conversation, check: Check) -> Conversation | Drop:
    return check(without_reasoning(chat)) or chat


async def save_chats(made: AsyncIterator[Conversation | Drop], folder: Path, tally: Tally) -> Tally:
    """Write ``chats.jsonl`` and ``drops.jsonl`` of ``write_chats``; see ``save_spec_chats``."""
    names = ("chats.jsonl", "drops.jsonl")
    (folder / REASONED).unlink(missing_ok=True)  # of other chats, by an earlier run
    with _whole(folder, names) as (kept, dropped):
        async for one in made:
            tally.add(one)
            (dropped if isinstance(one, Drop) else kept).append(one)
    return tally.check()


async def save_spec_chats(
    made: AsyncIterator[Conversation | Drop], folder: Path, tally: Tally
) -> Tally:
    """Write ``chats.jsonl``, ``chats-with-reasoning.jsonl`` (same chats, same order), ``drops.jsonl``.

    Streams; the files appear when all is done (until then they end in ``.part``). Counts into
    ``tally`` and checks that kept + dropped + failed == requested.
    """
    names = ("chats.jsonl", REASONED, "drops.jsonl")
    with _whole(folder, names) as (plain, reasoned, dropped):
        async for one in made:
            tally.add(one)
            if isinstance(one, Drop):
                dropped.append(one)
            else:
                plain.append(without_reasoning(one))
                reasoned.append(one)
    return tally.check()


@contextmanager
def _whole(folder: Path, names: Sequence[str]) -> Iterator[list[Journal]]:
    """Files that get their names when all is written, and end in ``.part`` until then."""
    parts = [folder / f"{name}.part" for name in names]
    for part in parts:
        part.unlink(missing_ok=True)
    with ExitStack() as stack:
        yield [stack.enter_context(Journal(part)) for part in parts]
    for part, name in zip(parts, names, strict=True):
        part.replace(folder / name)


def explain(
    spec: Spec,
    writer: str,
    judge: str,
    config: SpecChatConfig | ChatConfig,
    tally: Tally,
    folder: Path,
) -> dict[str, Any]:
    """What a manifest says about how chats were made, and what became of every query."""
    prompts = OPAQUE_PROMPTS if isinstance(config, ChatConfig) else PROMPTS
    asked = read_ledger(folder / name for name in JOURNALS)
    return {
        "spec": {"name": spec.name, "id": spec.id},
        "writer": writer,
        "judge": judge,
        "config": config.model_dump(mode="json"),
        "prompts": {name: prompt_hash(f"chats/{name}") for name in prompts},
        "tokens": asked.model_dump(exclude={"cost"}),
        "requested": tally.requested,
        "kept": tally.kept,
        "failed": tally.failed,
        "dropped": {k: n for k, n in tally.reasons.most_common() if k not in FAILED},
    }
