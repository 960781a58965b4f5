"""Occasions for chats, dealt so that equal wishes differ in what a language model reads.

Requests for one item, other item and question type would be equal but for their seed, which
some providers do not take: equal prompts get alike chats, which are then dropped. So each
request to a language model also says who writes, where and how.
"""

from __future__ import annotations

import random
from functools import cache
from importlib.resources import files

import yaml


@cache
def decks() -> dict[str, tuple[str, ...]]:
    """The cards of the data file: "writers", "settings", "manners".

    Their numbers are different primes, and none divides the number of question types: so each
    type meets every card, and a combination comes again only after their product.

    Example:
        >>> {name: len(cards) for name, cards in decks().items()}
        {'writers': 37, 'settings': 53, 'manners': 11}
    """
    text = files("midspec.chats").joinpath("occasions.yaml").read_text("utf-8")
    raw: dict[str, str] = yaml.load(text, Loader=yaml.BaseLoader)
    return {name: tuple(lines.strip().splitlines()) for name, lines in raw.items()}


class Occasions:
    """The occasions of one cell of chats; what is dealt depends on the seed and the place alone.

    Example:
        >>> occasions = Occasions("chats:0:Colby")
        >>> len({occasions.at(i) for i in range(37 * 53 * 11)})
        21571
    """

    def __init__(self, seed: str) -> None:
        self._decks = [
            random.Random(f"{seed}:{name}").sample(cards, len(cards))
            for name, cards in decks().items()
        ]

    def at(self, place: int) -> str:
        """The occasion of a place, e.g. "a welder, on a ferry deck, with a greeting first"."""
        return ", ".join(deck[place % len(deck)] for deck in self._decks)
