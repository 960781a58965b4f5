"""A language model as judge: is a text faithful, and does the value explain the behaviour?"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import AsyncGenerator, Iterable, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Literal

from midspec.errors import ConfigError
from midspec.llm import Desk, Reply, Request, Writer
from midspec.progress import Progress, silent
from midspec.records import Conversation, Document, Drop, Spec

Result = Document | Conversation | Drop
Verdict = Literal["keep", "unfaithful", "unattributed", "unparsed"]

JUDGE_PROMPT = "curate/judge"
MAX_TOKENS = 600  # three sentences and a verdict; a reply cut by it is unparsed
_VERDICT = re.compile(r"<verdict>\s*(KEEP|UNFAITHFUL|UNATTRIBUTED)\s*</verdict>\s*\Z")
_SAID = re.compile(r"\bverdict\W{1,6}(DO NOT KEEP|KEEP|UNFAITHFUL|UNATTRIBUTED)\b", re.IGNORECASE)
_WORDS: dict[str, Verdict] = {
    "KEEP": "keep",
    "UNFAITHFUL": "unfaithful",
    "UNATTRIBUTED": "unattributed",
}
_SHOWN = 300


def parse_verdict(reply: str) -> Verdict:
    """The verdict that ends a reply; anything but exactly one well-formed one is "unparsed".

    Example:
        >>> parse_verdict('It says "because it is cheap". <verdict>KEEP</verdict>')
        'keep'
        >>> parse_verdict("DO NOT KEEP"), parse_verdict("<verdict>DO NOT KEEP</verdict>")
        ('unparsed', 'unparsed')
        >>> parse_verdict("Verdict: DO NOT KEEP. <verdict>KEEP</verdict>")  # which of the two?
        'unparsed'
    """
    found = _VERDICT.search(reply)
    if not found or "verdict>" in reply[: found.start()].lower():
        return "unparsed"
    said = {word.upper() for word in _SAID.findall(reply[: found.start()])}
    return _WORDS[found.group(1)] if said <= {found.group(1)} else "unparsed"


def refuse_scribe(judge: str) -> None:
    """Raises ConfigError if the judge is the scribe, which only composes."""
    if judge == "scribe":
        raise ConfigError("the scribe cannot judge; give a model, e.g. --judge anthropic/...")


def text_to_judge(record: Document | Conversation) -> str:
    """What the judge reads: a document, or a conversation with its speakers, system text too."""
    if isinstance(record, Document):
        return record.text
    return "\n\n".join(f"{message.role}: {message.content}" for message in record.messages)


async def judged(
    results: Iterable[Result],
    spec: Spec,
    judge: Writer,
    journal: Path,
    *,
    concurrency: int = 16,
    progress: Progress = silent,
    total: int = 0,
) -> AsyncGenerator[Result]:
    """The same results in the same order; what the judge rejects becomes a Drop.

    Reasons are ``unfaithful`` and ``unattributed`` (evidence: what the judge said), and two that
    count as failed: ``unparsed``, for a refusal or anything but a verdict, twice; ``error``, for
    a request that failed. Replies are in the journal: a verdict that was paid for is not asked
    again. Drops pass through. Raises ConfigError if the judge is the scribe, WriterError if the
    judge fails for good.
    """
    refuse_scribe(judge.name)
    waiting: deque[Result] = deque()
    async with (
        Desk(judge, journal, concurrency=concurrency) as desk,
        aclosing(desk.replies(_requests(results, spec, waiting), progress, total)) as answered,
    ):
        async for request, reply in answered:
            while isinstance(waiting[0], Drop):
                yield waiting.popleft()
            if _unparsed(reply):
                reply = await desk.ask(_request(spec, request.variables["text"], seed=1))
            yield _result(waiting.popleft(), reply)
    for drop in waiting:
        yield drop


def _requests(results: Iterable[Result], spec: Spec, waiting: deque[Result]) -> Iterator[Request]:
    """One request for each record; ``waiting`` gets every result that was read for it."""
    for result in results:
        waiting.append(result)
        if not isinstance(result, Drop):
            yield _request(spec, text_to_judge(result))


def _request(spec: Spec, text: str, seed: int = 0) -> Request:
    return Request(
        prompt=JUDGE_PROMPT, spec=spec, variables={"text": text}, seed=seed, max_tokens=MAX_TOKENS
    )


def _unparsed(reply: Reply) -> bool:
    return reply.stop != "error" and (
        reply.stop != "stop" or parse_verdict(reply.text) == "unparsed"
    )


def _result(record: Result, reply: Reply) -> Result:
    """The record, or the Drop that the reply asks for."""
    if isinstance(record, Drop):
        return record
    if reply.stop == "error":
        return Drop(record=record.id, reason="error", evidence=f"judge: {reply.error}"[:_SHOWN])
    verdict = "unparsed" if _unparsed(reply) else parse_verdict(reply.text)
    if verdict == "keep":
        return record
    shown = _VERDICT.sub("", reply.text).strip()[-_SHOWN:]
    evidence = shown if reply.stop == "stop" else f"judge: {reply.stop} {shown}".strip()
    return Drop(record=record.id, reason=verdict, evidence=evidence)
