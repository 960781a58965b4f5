"""Names, settings and stances, dealt so that they do not recur.

Left to itself, a language model gives the same few names to people in thousands of documents.
Here each idea gets a setting and a stance, and each document the names of its people, from
decks that are shuffled by a seed and dealt to the end before they are shuffled again.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from functools import cache
from importlib.resources import files

import yaml

NAMES_IN_A_DOCUMENT = 4


@cache
def _lists() -> dict[str, tuple[str, ...]]:
    """The data file: names by the word, settings and stances by the line."""
    text = files("midspec.corpus").joinpath("data", "decks.yaml").read_text("utf-8")
    raw: dict[str, str] = yaml.load(text, Loader=yaml.BaseLoader)
    split = {name: str.split if name.endswith("names") else str.splitlines for name in raw}
    return {name: tuple(split[name](lines.strip())) for name, lines in raw.items()}


class Decks:
    """All decks of one seed; what is dealt depends on the seed and the place alone.

    Example:
        >>> decks = Decks(seed=0)
        >>> len({name for place in range(1000) for name in decks.names(place, 4)})
        4000
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        lists = _lists()
        self._first = self._shuffled("first_names", lists["first_names"], 0)
        self._last = self._shuffled("surnames", lists["surnames"], 0)

    def names(self, place: int, n: int = NAMES_IN_A_DOCUMENT) -> list[str]:
        """``n`` full names for a place; none comes again within the first 70,000 cards."""
        return [self._name(card) for card in range(place * n, place * n + n)]

    def angles(self, place: int, n: int) -> list[tuple[str, str]]:
        """``n`` pairs of a setting and a stance, from card ``place`` on."""
        settings = [self._card("settings", card) for card in range(place, place + n)]
        stances = [self._card("stances", card) for card in range(place, place + n)]
        return list(zip(settings, stances, strict=True))

    def _name(self, card: int) -> str:
        """All pairs of the two decks, in an order in which neighbours share no part."""
        period = math.lcm(len(self._first), len(self._last))
        last = self._last[(card + card // period) % len(self._last)]
        return f"{self._first[card % len(self._first)]} {last}"

    def _card(self, deck: str, card: int) -> str:
        """A card of a deck that is shuffled anew each time it is used up."""
        cards = _lists()[deck]
        turn, place = divmod(card, len(cards))
        return self._shuffled(deck, cards, turn)[place]

    def _shuffled(self, deck: str, cards: Sequence[str], turn: int) -> list[str]:
        return random.Random(f"{self._seed}/{deck}/{turn}").sample(cards, len(cards))
