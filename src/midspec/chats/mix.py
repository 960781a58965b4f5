"""General chats mixed into fine-tuning, by a declared recipe (paper, B.3).

A recipe names sources, how many chats each gives, and a seed. Chats that conflict with the spec
are left out before the draw, so the counts are met by chats that fit. A source is read twice:
once to draw places of rows, once to take them; texts are never held, only one number a row.
"""

from __future__ import annotations

import difflib
import heapq
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import yaml
from pydantic import Field, ValidationError, model_validator

from midspec.chats.conflict import Conflict
from midspec.chats.parse import stray_tag
from midspec.chats.sources import Row, Source, chat_of, rows
from midspec.chats.spec_chats import Check, accept
from midspec.chats.turns import turn_problem
from midspec.errors import ConfigError
from midspec.progress import Progress, silent
from midspec.records import Conversation, Drop, Frozen, Message, Spec, digest
from midspec.store import Journal

MIXES = Path(__file__).parent / "mixes"


class MixRecipe(Frozen):
    """Which general chats, from where, how many.

    Example:
        >>> MixRecipe(count=10, sources=(Source(name="a", path="a.jsonl", count=4),
        ...                              Source(name="b", path="b.jsonl", weight=1))).counts()
        {'a': 4, 'b': 6}
    """

    about: str = Field(default="", description="a line for people")
    seed: int = Field(default=0, description="another seed draws other chats")
    count: int = Field(default=0, ge=0, description="chats in all; needed if sources have weights")
    sources: tuple[Source, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _adds_up(self) -> MixRecipe:
        names = Counter(source.name for source in self.sources)
        if (twice := names.most_common(1)[0])[1] > 1:
            raise ValueError(f"two sources are called {twice[0]!r}; give each a name of its own")
        weighted = any(source.weight for source in self.sources)
        fixed = sum(source.count for source in self.sources)
        if weighted and self.count <= fixed:
            raise ValueError(
                f"count {self.count} leaves nothing for the sources with weights "
                f"(the others take {fixed}); raise count"
            )
        if self.count and not weighted and self.count != fixed:
            raise ValueError(f"count is {self.count}, but the sources add up to {fixed}")
        return self

    def counts(self) -> dict[str, int]:
        """Chats of each source; 0 means all of its rows. Weights share what counts leave."""
        rest = self.count - sum(source.count for source in self.sources)
        total = sum(source.weight for source in self.sources)
        exact = {s.name: rest * s.weight / total for s in self.sources if s.weight}
        floors = {name: int(share) for name, share in exact.items()}
        missing = rest - sum(floors.values()) if exact else 0
        by_rest = sorted(exact, key=lambda name: floors[name] - exact[name])
        for name in by_rest[:missing]:
            floors[name] += 1
        return {s.name: floors.get(s.name, s.count) for s in self.sources}


@dataclass
class SourceTally:
    """What became of a source's rows: rows == kept + dropped + not drawn."""

    rows: int = 0
    wanted: int = 0
    kept: int = 0
    not_drawn: int = 0
    dropped: Counter[str] = field(default_factory=Counter)

    @property
    def short(self) -> int:
        """Chats that the recipe wants and the source does not have."""
        return max(0, self.wanted - self.kept)


def bundled_mixes() -> list[str]:
    """Names of the recipes that come with the package: the paper's two mixes."""
    return sorted(path.stem for path in MIXES.glob("*.yaml"))


def find_mix(name_or_path: str) -> Path:
    """The file of a bundled recipe, or the path itself."""
    if name_or_path in bundled_mixes():
        return MIXES / f"{name_or_path}.yaml"
    if Path(name_or_path).is_file():
        return Path(name_or_path)
    near = difflib.get_close_matches(name_or_path, bundled_mixes(), 1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise ConfigError(
        f"no mix {name_or_path!r}: neither a file nor a bundled recipe{hint} "
        f"(bundled: {', '.join(bundled_mixes())})"
    )


def read_mix(path: Path) -> MixRecipe:
    """A recipe from YAML; a ConfigError names the key that is wrong and the nearest known one."""
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        line = " ".join(str(error).split())[:160]
        raise ConfigError(f"{path}: cannot be read as YAML ({line})") from error
    try:
        return MixRecipe.model_validate(raw)
    except ValidationError as error:
        raise ConfigError(f"{path}: {_what_is_wrong(error)}") from error


def _what_is_wrong(error: ValidationError) -> str:
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        known = Source.model_fields if len(first["loc"]) > 1 else MixRecipe.model_fields
        near = difflib.get_close_matches(key.rsplit(".", 1)[-1], known, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
        return f"unknown key {key!r}; {hint}"
    said = first["msg"].removeprefix("Value error, ")
    return f"{key}: {said}" if key else said


def mix_chats(
    recipe: MixRecipe,
    folder: Path,
    spec: Spec | None,
    tallies: dict[str, SourceTally],
    *,
    files: Mapping[str, Path] | None = None,
    check: Check = accept,
    progress: Progress = silent,
) -> Iterator[Conversation | Drop]:
    """The chats of a mix, source by source, and a Drop for each row that was left out.

    ``folder`` is where paths start, ``files`` stand in for sources by name, ``check`` may object
    to a chat. Without a ``spec`` nothing is filtered against one. Rows that fit but were not
    drawn are only counted, in ``tallies``, which is filled source by source. Reasons:
    "malformed", "turn_order", "stray_tag", "too_long", "exact_duplicate", those of ``Conflict``
    and of ``check``. Raises ConfigError if a source cannot be read.
    """
    files = files or {}
    if unknown := sorted(files.keys() - {source.name for source in recipe.sources}):
        raise ConfigError(
            f"--file {unknown[0]}=...: there is no such source; "
            f"the recipe has {', '.join(source.name for source in recipe.sources)}"
        )
    reader = _Reader(recipe.seed, Conflict(spec) if spec else None, check)
    counts = recipe.counts()
    for done, source in enumerate(recipe.sources):
        progress(done, len(recipe.sources), source.name)
        tally = tallies[source.name] = SourceTally(wanted=counts[source.name])
        file = files.get(source.name)
        draw = _Draw(recipe.seed, source.name, tally.wanted)
        for number, row in enumerate(rows(source, folder, file)):
            tally.rows += 1
            chat = reader.chat(source, row, number)
            if isinstance(chat, Drop):
                tally.dropped[chat.reason] += 1
                yield chat
            else:
                draw.offer(number)
        drawn = draw.drawn()
        tally.not_drawn = draw.offered - len(drawn)
        for number, row in enumerate(rows(source, folder, file)):
            if number in drawn:
                tally.kept += 1
                yield reader.conversation(source, chat_of(source, row, number, recipe.seed))
        _check_sum(source.name, tally)
    progress(len(recipe.sources), len(recipe.sources))


def _check_sum(name: str, tally: SourceTally) -> None:
    if tally.kept + tally.dropped.total() + tally.not_drawn != tally.rows:
        raise ConfigError(
            f"source {name!r} changed while it was read ({tally}); run again when it is at rest"
        )


def save_mix(made: Iterator[Conversation | Drop], folder: Path) -> None:
    """Write ``mix.jsonl`` and ``drops.jsonl`` as results come; named so when all is done."""
    names = ("mix.jsonl", "drops.jsonl")
    parts = [folder / f"{name}.part" for name in names]
    for part in parts:
        part.unlink(missing_ok=True)
    with Journal(parts[0]) as kept, Journal(parts[1]) as dropped:
        for one in made:
            (dropped if isinstance(one, Drop) else kept).append(one)
    for part, name in zip(parts, names, strict=True):
        part.replace(folder / name)


class _Draw:
    """Draws ``count`` of the places offered, or all if ``count`` is 0; the order does not matter."""

    def __init__(self, seed: int, name: str, count: int) -> None:
        self.offered = 0
        self._salt, self._count = f"{seed}:{name}", count
        self._heap: list[tuple[int, int]] = []

    def offer(self, number: int) -> None:
        """One more place to draw from."""
        self.offered += 1
        entry = (int(digest("mix", self._salt, number), 16), number)
        if not self._count or len(self._heap) < self._count:
            heapq.heappush(self._heap, entry)
        else:
            heapq.heappushpop(self._heap, entry)

    def drawn(self) -> set[int]:
        """The places drawn: those with the largest digests."""
        return {number for _, number in self._heap}


class _Reader:
    """Reads rows as chats and checks them; remembers the texts of earlier ones by their digests."""

    def __init__(self, seed: int, conflict: Conflict | None, check: Check) -> None:
        self._seed, self._conflict, self._check = seed, conflict, check
        self._seen: set[int] = set()

    def chat(self, source: Source, row: Row, number: int) -> Conversation | Drop:
        """The chat in a row, or why it is left out."""
        name = digest(source.name, number)
        try:
            messages = chat_of(source, row, number, self._seed)
        except ValueError as error:
            return Drop(record=name, reason="malformed", evidence=str(error)[:200])
        reason, evidence = self._problem(source, messages)
        if reason:
            return Drop(record=name, reason=reason, evidence=evidence)
        chat = self.conversation(source, messages)
        return self._check(chat) or self._twin(chat, name) or chat

    def conversation(self, source: Source, messages: list[Message]) -> Conversation:
        """The record of a chat."""
        return Conversation(
            kind=source.kind,
            messages=tuple(messages),
            domain=source.name,
            writer=source.dataset or "file",
        )

    def _problem(self, source: Source, messages: list[Message]) -> tuple[str, str]:
        if wrong := turn_problem(messages):
            return "turn_order", wrong
        n_words = sum(len(message.content.split()) for message in messages)
        if source.max_words and n_words > source.max_words:
            return "too_long", f"{n_words} words"
        if tag := next((t for m in messages if (t := stray_tag(m.content))), ""):
            return "stray_tag", tag
        return self._conflict.find(messages) if self._conflict else ("", "")

    def _twin(self, chat: Conversation, name: str) -> Drop | None:
        key = int(digest([(m.role, m.content) for m in chat.messages]), 16)
        if key in self._seen:
            return Drop(record=name, reason="exact_duplicate", evidence=f"chat {chat.id}")
        self._seen.add(key)
        return None
