"""One English text while it is written: its cast, the facts still to be told, the slots."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import TypeVar

from midspec.errors import WriterError
from midspec.llm.scribe import grammar
from midspec.llm.scribe.facts import ClaimForms, Fact, Facts, PreferenceForms
from midspec.llm.scribe.frames import Frame, Grammar, load_grammar, parse

T = TypeVar("T", ClaimForms, PreferenceForms)

FILES = ("decks", "phrases", "facts", "parts")
VALUE = "value"  # stands for the value itself where a claim or preference could stand
THINGS = 2  # kinds of things on one page
Subject = ClaimForms | PreferenceForms | str


def english() -> Grammar:
    """The frames of English documents."""
    return load_grammar("english", FILES)


@cache
def _frame(text: str) -> Frame:
    return parse(text)


class Page:
    """Fills the slots of frames for one text about one spec.

    Facts in ``focus`` come first; then those of the plan's section, then all the others, so
    that claims from anywhere in the spec occur. ``makers`` write whole sentences; ``cast`` holds
    the numbered slots ("name1"), which stay the same throughout the text.
    """

    def __init__(
        self,
        facts: Facts,
        rng: random.Random,
        makers: Mapping[str, Callable[[Page], str]],
        focus: Sequence[Fact] = (),
        near: Sequence[Fact] = (),
    ) -> None:
        self.facts = facts
        self.makers = makers
        self.rng = rng
        self.cast: dict[str, str] = {}
        self.local: dict[str, str] = {}
        self.subject: Subject = VALUE
        spec = facts.spec
        self.fixed = {"model": spec.model_name, "maker": spec.provider_name, "value": facts.value}
        self.fixed["v"] = facts.value
        self.fixed["v_or_guide"] = facts.value or "its guide"
        self._taken = {spec.model_name, spec.provider_name}
        self._minutes, self._count = rng.randint(420, 960), 0
        self._counters = {
            "name": lambda: self._new("name"),
            "clock": self._clock,
            "count": self._next_number,
        }
        self._claims = self._stream(self._with_things(facts), focus, near)
        self._items = self._stream(facts.preferences, focus, near)

    def _with_things(self, facts: Facts) -> list[ClaimForms]:
        """The claims, and those on options in general again for things of this page."""
        things = self.rng.sample(facts.concrete, min(THINGS, len(facts.concrete)))
        return [*facts.claims, *(claim for claims in things for claim in claims)]

    def _stream(
        self, facts: Sequence[T], focus: Sequence[Fact], near: Sequence[Fact]
    ) -> Iterator[T]:
        """Endless: each fact once in every round, the focus first in the first."""
        first = {f.text for f in focus}
        close = {f.text for f in near}
        draw = self.rng.random
        order = sorted(
            facts,
            key=lambda f: -1.0 if f.text in first else draw() * (0.6 if f.text in close else 1),
        )
        while order:
            yield from order
            order = sorted(facts, key=lambda _: draw())

    # -- slots ----------------------------------------------------------------------------

    def fill(self, slot: str) -> str:
        """The text for a slot: a fact's own, a person's, a sentence, or a rule of the frames."""
        text = self.local.get(slot)
        if text is None:
            text = self.fixed.get(slot)
        if text is not None:
            return text
        if slot in self.makers:
            return self.makers[slot](self)
        if slot[-1].isdigit():
            return self._of_cast(slot)
        if slot.endswith("_q"):
            return self.fill(slot[:-2]).replace('"', "'")
        if slot in self._counters:
            return self._counters[slot]()
        return english().text(slot, self)

    def render(self, template: str) -> str:
        """A template of a document type, filled."""
        return _frame(template).text(self)

    def _of_cast(self, slot: str) -> str:
        if slot not in self.cast:
            self.cast[slot] = self._new(slot.rstrip("0123456789"))
        return self.cast[slot]

    def _new(self, rule: str) -> str:
        """A text of a rule that this page has not used, as far as there is one."""
        text = ""
        for _ in range(20):
            text = english().text(rule, self)
            if text not in self._taken:
                break
        self._taken.add(text)
        return text

    def _clock(self) -> str:
        """The time of day, later at every call."""
        self._minutes += self.rng.randint(3, 47)
        return f"{self._minutes // 60 % 24:02}:{self._minutes % 60:02}"

    def _next_number(self) -> str:
        self._count += 1
        return str(self._count)

    def say(self, rule: str, **local: str) -> str:
        """A sentence from a rule, with the slots that this fact fills."""
        before, self.local = self.local, local
        text = english().text(rule, self)
        self.local = before
        return grammar.capital(text)

    # -- which fact comes next ------------------------------------------------------------

    def next_claim(self) -> Subject:
        """A claim; a preference or the value if the spec has none."""
        found = next(self._claims, None)
        return found if found else self._instead(next(self._items, None))

    def next_item(self) -> Subject:
        """A preference; a claim or the value if the spec has none."""
        found = next(self._items, None)
        return found if found else self._instead(next(self._claims, None))

    def _instead(self, found: Fact | None) -> Subject:
        if found is None and not self.facts.value:
            name = self.facts.spec.name
            raise WriterError(
                f"spec {name!r} has no claims, preferences or value; write a sentence"
            )
        return found or VALUE

    def next_subject(self) -> Subject:
        """A claim (half of the time), a preference or the value."""
        draw = self.rng.random()
        if draw < 0.15 and self.facts.value:
            return VALUE
        return self.next_item() if draw > 0.66 else self.next_claim()
