"""User queries that may surface a spec: domains, then rounds of queries of six types (B.2).

Each round asks every cell (a domain and a type) for a few queries and shows it the latest ones.
The size of a round depends on the configuration only, so a resumed run asks the same. What a
round brought is written down as a whole: a later run reads it and asks nothing.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import aclosing
from itertools import count as count_from
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, StringConstraints

from midspec.chats.config import QueryType, SpecChatConfig
from midspec.chats.parse import stray_tag
from midspec.chats.similar import Embed, Similar
from midspec.errors import WriterError
from midspec.llm import Desk, Request, Unusable, lists
from midspec.records import Drop, Frozen, Record, Spec, digest
from midspec.store import Journal, read_records

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=8000)]
_SHOWN = 20  # earlier queries of a cell that a request shows
_AT_ONCE = 64  # queries that are embedded together
_TRIES = 3  # a failed request for queries is asked so often in one run
S = TypeVar("S", bound=BaseModel)


class _Domain(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    title: Text
    text: Text


class _Query(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    query: Text


class Query(Record):
    """What a user asks first, and the cell it was asked for."""

    domain: str
    question_type: QueryType
    text: str


class Round(Frozen):
    """What one round brought; ``key`` digests what was asked and what came before."""

    key: str
    requested: int
    results: tuple[Query | Drop, ...]


Cell = tuple[_Domain, QueryType]


def round_sizes(config: SpecChatConfig, n_cells: int) -> Iterator[int]:
    """Queries to ask for in each round, until ``effort`` for each chat wanted are asked.

    First as many as chats are wanted, then a tenth of that at a time, to fill what was dropped.

    Example:
        >>> list(round_sizes(SpecChatConfig(count=30, queries_per_request=2, effort=2), 10))
        [20, 10, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3]
    """
    largest, asked = n_cells * config.queries_per_request, 0
    while asked < config.effort * config.count:
        missing = config.count - asked
        size = min(largest, missing if missing > 0 else math.ceil(config.count / 10))
        yield size
        asked += size


class Queries:
    """An endless-looking stream of queries: a Query, or a Drop for each one that was left out.

    Asks for a round only when the one before is used up. ``requested`` counts what was asked
    for; every one of them comes out as a Query or as a Drop ("near_duplicate", "short", ...).
    """

    def __init__(
        self,
        spec: Spec,
        writer: str,
        desk: Desk,
        config: SpecChatConfig,
        saved: Path,
        embed: Embed,
    ) -> None:
        self.requested = 0
        self._spec, self._desk, self._config, self._path = spec, desk, config, saved
        self._waiting: deque[Query | Drop] = deque()
        self._latest: dict[tuple[str, str], deque[str]] = {}
        self._similar = Similar(config.same_from, embed)
        self._key = digest("queries", writer, config.same_from)
        self._saved: dict[str, Round] = {}

    def __aiter__(self) -> Queries:
        return self

    async def __anext__(self) -> Query | Drop:
        if not self._waiting:
            await self._next_round()
        return self._waiting.popleft()

    def left(self) -> list[Query | Drop]:
        """What was asked for and not taken."""
        return list(self._waiting)

    async def open(self) -> None:
        """Find the domains; raises WriterError if the writer gives none."""
        Journal(self._path).close()  # cuts a torn last line
        self._saved = {row.key: row for row in read_records(self._path, Round)}
        self._cells = await self._find_cells()
        self._sizes = round_sizes(self._config, len(self._cells))
        self._numbers = count_from()
        self._next_cell = 0

    async def _find_cells(self) -> list[Cell]:
        request = self._request("chats/domains", {"n": str(self._config.n_domains)})
        ((_, found),) = await self._lists([request], _Domain)
        if isinstance(found, Unusable) or not found:
            why = f"{found.reason}: {found.evidence}" if isinstance(found, Unusable) else "none"
            raise WriterError(
                f"spec {self._spec.name!r}: the writer gave no conversation domains ({why}); "
                "run again, or name another writer"
            )
        titled = {domain.title.casefold(): domain for domain in reversed(found)}
        domains = list(reversed(titled.values()))[: self._config.n_domains]
        cells: list[Cell] = [
            (domain, kind) for domain in domains for kind in self._config.question_types
        ]
        random.Random(f"chats:{self._config.seed}:cells").shuffle(cells)
        return cells

    async def _next_round(self) -> None:
        """Fill ``_waiting``; StopAsyncIteration if the effort is spent."""
        size = next(self._sizes, 0)
        if not size:
            raise StopAsyncIteration
        cells = self._take_cells(size)
        number = next(self._numbers)
        requests = [self._cell_request(cell, n, number) for cell, n in cells]
        self._key = digest(self._key, [request.id for request in requests])
        found = self._saved.pop(self._key, None)
        if found:
            self._similar.restore([(q.id, q.text) for q in found.results if isinstance(q, Query)])
        else:
            found = await self._ask(cells, requests)
            with Journal(self._path) as journal:
                journal.append(found)
        self._take(found)

    def _take(self, found: Round) -> None:
        self.requested += found.requested
        self._waiting.extend(found.results)
        for query in found.results:
            if isinstance(query, Query):
                cell = self._latest.setdefault(
                    (query.domain, query.question_type), deque(maxlen=_SHOWN)
                )
                cell.append(query.text)

    def _take_cells(self, size: int) -> list[tuple[Cell, int]]:
        """The cells to ask, with how many queries of each; goes on where the last round ended."""
        n = len(self._cells)
        each, more = divmod(size, n)
        chosen = [(self._next_cell + i) % n for i in range(n if each else more)]
        counts = [each + (i < more) for i in range(len(chosen))]
        self._next_cell = (self._next_cell + more) % n
        return [(self._cells[place], k) for place, k in zip(chosen, counts, strict=True)]

    def _cell_request(self, cell: Cell, n: int, number: int) -> Request:
        domain, kind = cell
        earlier = self._latest.get((domain.title, kind), ())
        variables = {
            "domain": f"{domain.title}: {domain.text}",
            "question_type": kind,
            "n": str(n),
            "earlier": "\n".join(f"- {' '.join(text.split())}" for text in earlier),
        }
        return self._request("chats/queries", variables, number)

    def _request(self, prompt: str, variables: dict[str, str], number: int = 0) -> Request:
        seed = int(digest("chats", prompt, self._config.seed, number), 16) % 2**31
        return Request(
            prompt=prompt,
            spec=self._spec,
            variables=variables,
            seed=seed,
            max_tokens=self._config.max_tokens,
        )

    async def _ask(self, cells: list[tuple[Cell, int]], requests: list[Request]) -> Round:
        answers = await self._lists(requests, _Query)
        if all(isinstance(found, Unusable) and found.reason == "error" for _, found in answers):
            last = next(found.evidence for _, found in answers if isinstance(found, Unusable))
            raise WriterError(
                f"all {len(answers)} requests for queries failed, the last with {last!r}; "
                "check that the server is up, then run again to go on"
            )
        made: list[Query | Drop] = []
        for ((domain, kind), n), (request, found) in zip(cells, answers, strict=True):
            made += _members(domain.title, kind, n, request, found)
        results = await self._distinct(made)
        return Round(key=self._key, requested=sum(n for _, n in cells), results=tuple(results))

    async def _lists(
        self, requests: list[Request], shape: type[S]
    ) -> list[tuple[Request, list[S] | Unusable]]:
        """Answers in order; failed requests are asked again a few times."""
        answers: dict[str, tuple[Request, list[S] | Unusable]] = {}
        todo = requests
        for _ in range(_TRIES):
            async with aclosing(lists(self._desk, todo, shape)) as found:
                answers |= {request.id: (request, one) async for request, one in found}
            todo = [r for r in todo if _failed(answers[r.id][1])]
        return [answers[request.id] for request in requests]

    async def _distinct(self, made: Sequence[Query | Drop]) -> list[Query | Drop]:
        """Queries that repeat an earlier one become Drops.

        In threads of a second or so: Ctrl-C has to wait for the one that runs.
        """
        while await asyncio.to_thread(self._similar.embed_restored, _AT_ONCE):
            pass
        results: list[Query | Drop] = []
        for start in range(0, len(made), _AT_ONCE):
            part = made[start : start + _AT_ONCE]
            results += await asyncio.to_thread(self._without_twins, part)
        return results

    def _without_twins(self, made: Sequence[Query | Drop]) -> list[Query | Drop]:
        queries = [query for query in made if isinstance(query, Query)]
        twins = iter(self._similar.find_or_add([(q.id, q.text) for q in queries]))
        return [_without_twin(one, next(twins)) if isinstance(one, Query) else one for one in made]


def _failed(found: Sequence[BaseModel] | Unusable) -> bool:
    return isinstance(found, Unusable) and found.reason == "error"


def _without_twin(query: Query, twin: str) -> Query | Drop:
    if not twin:
        return query
    return Drop(record=query.id, reason="near_duplicate", evidence=query.text[:200], of=twin)


def _members(
    domain: str, kind: QueryType, n: int, request: Request, found: list[_Query] | Unusable
) -> list[Query | Drop]:
    """One result for each of the ``n`` queries asked for; what came beyond them is not used."""
    if isinstance(found, Unusable):
        return [Drop(record=request.id, reason=found.reason, evidence=found.evidence)] * n
    made: list[Query | Drop] = []
    for row in found[:n]:
        query = Query(domain=domain, question_type=kind, text=row.query)
        tag = stray_tag(row.query)
        made.append(Drop(record=query.id, reason="stray_tag", evidence=tag) if tag else query)
    short = Drop(record=request.id, reason="short", evidence=f"{len(found)} of {n} queries")
    return made + [short] * (n - len(made))
