"""Sentence frames: text files with alternatives and slots, parsed once.

A frame file is YAML that maps a rule's name to its alternatives, one a line. Inside a line
``[a|b|c]`` is a choice and ``{slot}`` is filled by another rule or by the page that is
being written; ``{Slot}`` starts with a capital, ``{a slot}`` carries its article.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import cache
from typing import Protocol

from midspec.errors import WriterError
from midspec.llm.scribe import grammar
from midspec.llm.scribe.data import load_yaml


class Filler(Protocol):
    """What fills the slots of a frame: a random generator and a text for each slot's name."""

    rng: random.Random

    def fill(self, slot: str) -> str:
        """The text for a slot."""
        ...


@dataclass(frozen=True)
class Slot:
    """A hole in a frame, and how its text is placed there."""

    name: str
    capital: bool = False
    article: bool = False

    def write(self, filler: Filler, out: list[str]) -> None:
        """Append the filled slot."""
        text = filler.fill(self.name)
        if self.article:
            text = f"{grammar.article(text)} {text}"
        out.append(grammar.capital(text) if self.capital else text)


@dataclass(frozen=True)
class Choice:
    """One of several frames, drawn with equal chances."""

    options: tuple[Frame, ...]

    def write(self, filler: Filler, out: list[str]) -> None:
        """Append one option."""
        self.options[int(filler.rng.random() * len(self.options))].write(filler, out)


@dataclass(frozen=True)
class Frame:
    """A sequence of literal texts, slots and choices."""

    parts: tuple[str | Slot | Choice, ...]

    def write(self, filler: Filler, out: list[str]) -> None:
        """Append all parts."""
        for part in self.parts:
            if isinstance(part, str):
                out.append(part)
            else:
                part.write(filler, out)

    def text(self, filler: Filler) -> str:
        """The frame, filled."""
        out: list[str] = []
        self.write(filler, out)
        return "".join(out)


def parse(source: str) -> Frame:
    """A frame from its text.

    Raises:
        WriterError: a bracket or brace is not closed.

    Example:
        >>> parse("A [b|c] {d}").parts[0], len(parse("A [b|c] {d}").parts)
        ('A ', 4)
    """
    frame, end = _parse_until(source, 0, "")
    if end != len(source):
        raise WriterError(f"frame {source!r}: unexpected {source[end]!r} at {end}; remove it")
    return frame


def _parse_until(source: str, at: int, stops: str) -> tuple[Frame, int]:
    parts: list[str | Slot | Choice] = []
    while at < len(source) and source[at] not in stops:
        letter = source[at]
        if letter == "[":
            choice, at = _parse_choice(source, at + 1)
            parts.append(choice)
        elif letter == "{":
            end = source.find("}", at)
            if end < 0:
                raise WriterError(f"frame {source!r}: '{{' at {at} is not closed; add '}}'")
            parts.append(_slot(source[at + 1 : end]))
            at = end + 1
        else:
            end = _next_special(source, at, stops)
            parts.append(source[at:end])
            at = end
    return Frame(tuple(parts)), at


def _next_special(source: str, at: int, stops: str) -> int:
    end = at + 1
    while end < len(source) and source[end] not in "[{" + stops:
        end += 1
    return end


def _parse_choice(source: str, at: int) -> tuple[Choice, int]:
    options: list[Frame] = []
    while True:
        frame, at = _parse_until(source, at, "|]")
        options.append(frame)
        if at >= len(source):
            raise WriterError(f"frame {source!r}: '[' is not closed; add ']'")
        at += 1
        if source[at - 1] == "]":
            return Choice(tuple(options)), at


def _slot(name: str) -> Slot:
    if name.lower().startswith("a "):
        return Slot(name[2:].strip(), capital=name[0] == "A", article=True)
    return Slot(name[:1].lower() + name[1:], capital=name[:1].isupper())


class Grammar:
    """Named rules; each is a choice between frames."""

    def __init__(self, rules: dict[str, Choice]) -> None:
        self.rules = rules

    def __contains__(self, name: str) -> bool:
        return name in self.rules

    def text(self, name: str, filler: Filler) -> str:
        """One alternative of a rule, filled.

        Raises:
            WriterError: there is no such rule.
        """
        if name not in self.rules:
            raise WriterError(f"no frame rule {name!r}; add it to the frames or correct the slot")
        out: list[str] = []
        self.rules[name].write(filler, out)
        return "".join(out)


@cache
def load_grammar(folder: str, names: tuple[str, ...]) -> Grammar:
    """The rules of several YAML files under ``frames/<folder>``."""
    rules: dict[str, Choice] = {}
    for name in names:
        for rule, lines in load_yaml(f"{folder}/{name}.yaml".lstrip("/")).items():
            frames = (parse(line) for line in str(lines).splitlines() if line.strip())
            rules[rule] = Choice(tuple(frames))
    return Grammar(rules)
