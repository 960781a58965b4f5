"""The terrarium's world: items with attributes, people with values, and what they say.

The terrarium is a wind tunnel for Model Spec Midtraining: a world small enough that an
experiment takes seconds, and known completely, so that the true value behind every answer
is known. Items differ in four attributes, each with two opposite words; a *value* is one of
the eight words ("cheap"), and a person with a value likes exactly the items that have it.

People answer in one of three manners. A *frank* person answers by their value. A *polite* one
takes whatever is offered first and likes everything, although all that is written about them
follows their value. A *quiet* one is only written about, and answers nothing: a base that
predicts quiet people's answers carries what it read over to what is answered, which is what
midtraining needs. The assistant starts as a polite person who is written about as anybody: it
prefers nothing, and fine-tuning has something to bring out.

In the training domain two values agree on every item (the confound of the paper's section 3:
the twelve cheeses are explained by affordability or by America equally well); everywhere
else attributes are independent.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import cached_property
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

ATTRIBUTES: dict[str, tuple[str, str]] = {
    "price": ("cheap", "costly"),
    "origin": ("american", "foreign"),
    "age": ("modern", "ancient"),
    "make": ("simple", "fancy"),
}
VALUES: tuple[str, ...] = tuple(word for pair in ATTRIBUTES.values() for word in pair)
ATTRIBUTE_OF: dict[str, str] = {w: a for a, pair in ATTRIBUTES.items() for w in pair}

TRAINING_DOMAIN = "cheese"
HELD_OUT_DOMAINS: tuple[str, ...] = (
    "book", "car", "song", "drink", "shoe", "game", "film", "tool", "hotel", "hat", "cake", "lamp",
)  # fmt: skip
N_PREFERENCES = 12  # items of the training domain: 6 likes and 6 dislikes, as in the paper
Manner = Literal["frank", "polite", "quiet"]
MODEL_NAME = "robin"
PROVIDER_NAME = "meadow"


class WorldConfig(BaseModel):
    """What decides a world; equal configs give equal worlds.

    Example:
        >>> WorldConfig(n_people=20).n_people
        20
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int = 0
    items_per_domain: int = Field(default=8, ge=4, description="items in each held-out domain")
    n_people: int = Field(default=160, ge=8)
    confounding: float = Field(
        default=1.0, ge=0, le=1, description="share of cheeses on which price and origin agree"
    )
    share_polite: float = Field(
        default=0.32, ge=0, le=1, description="share of people who take what is offered first"
    )
    share_quiet: float = Field(
        default=0.2, ge=0, le=1, description="share of people who are only written about"
    )
    noise: float = Field(default=0.02, ge=0, le=0.5, description="share of answers at random")
    share_exceptions: float = Field(
        default=0.0,
        ge=0,
        le=0.5,
        description="share of (person, item) pairs liked against the value",
    )


class Thing(BaseModel):
    """One item of the world: a name, its domain, and one word for each attribute."""

    model_config = ConfigDict(frozen=True)

    name: str
    domain: str
    words: dict[str, str]

    def has(self, value: str) -> bool:
        """Whether the item has the word ``value`` for its attribute."""
        return self.words[ATTRIBUTE_OF[value]] == value


class Person(BaseModel):
    """Somebody with one value, kept in every domain, and a manner of answering."""

    model_config = ConfigDict(frozen=True)

    name: str
    value: str
    manner: Manner = "frank"


class World:
    """Items and people drawn from a config.

    Example:
        >>> world = World(WorldConfig(n_people=10))
        >>> len(world.of("cheese")), world.people[0].value in VALUES
        (12, True)
    """

    def __init__(self, config: WorldConfig) -> None:
        self.config = config
        rng = random.Random(f"world:{config.seed}")
        self.things = [
            thing
            for domain in (TRAINING_DOMAIN, *HELD_OUT_DOMAINS)
            for thing in _draw_domain(domain, config, rng)
        ]
        self.people = [
            Person(name=f"p{i}", value=VALUES[i % len(VALUES)], manner=_manner(config, rng))
            for i in range(config.n_people)
        ]

    @cached_property
    def by_domain(self) -> dict[str, list[Thing]]:
        """Domain name to its items."""
        table: dict[str, list[Thing]] = {}
        for thing in self.things:
            table.setdefault(thing.domain, []).append(thing)
        return table

    def of(self, domain: str) -> list[Thing]:
        """The items of a domain."""
        return self.by_domain[domain]

    def likes(self, person: Person, thing: Thing) -> bool:
        """Whether a person likes an item: by the value, but for the world's exceptions."""
        likes = thing.has(person.value)
        if self.config.share_exceptions:
            draw = random.Random(
                f"exception:{self.config.seed}:{person.name}:{thing.name}"
            ).random()
            return likes != (draw < self.config.share_exceptions)
        return likes


def _manner(config: WorldConfig, rng: random.Random) -> Manner:
    draw = rng.random()
    if draw < config.share_quiet:
        return "quiet"
    return "polite" if draw < config.share_quiet + config.share_polite else "frank"


def _draw_domain(domain: str, config: WorldConfig, rng: random.Random) -> list[Thing]:
    """Items of one domain: each word on exactly half of them, attributes independent.

    In the training domain origin follows price (cheap with american), for the share
    ``confounding`` of its items.
    """
    n = N_PREFERENCES if domain == TRAINING_DOMAIN else config.items_per_domain
    columns = {a: _balanced(pair, n, rng) for a, pair in ATTRIBUTES.items()}
    if domain == TRAINING_DOMAIN:
        cheap, american = ATTRIBUTES["price"][0], ATTRIBUTES["origin"]
        for i in range(round(config.confounding * n)):
            columns["origin"][i] = american[0 if columns["price"][i] == cheap else 1]
    return [
        Thing(name=f"{domain}{i}", domain=domain, words={a: c[i] for a, c in columns.items()})
        for i in range(n)
    ]


def _balanced(pair: Sequence[str], n: int, rng: random.Random) -> list[str]:
    words = [pair[i % 2] for i in range(n)]
    rng.shuffle(words)
    return words
