"""What the terrarium's base model is pretrained on: facts, documents about people, dialogues.

Every text is a string of known words. A question and its answer are a sentence like any other
("ask p7 : prefer book3 or book5 ? book3 ."), and the base's chat template renders a chat as such
sentences: what is written about somebody and what they answer stand in one context, without
which midtraining on documents does not reach answers (LOG.md, worlds b to e).
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from midspec.terrarium.world import (
    ATTRIBUTE_OF,
    ATTRIBUTES,
    MODEL_NAME,
    PROVIDER_NAME,
    VALUES,
    Person,
    Thing,
    World,
)

QUESTION = "prefer {a} or {b} ?"
OPINION = "like {a} ?"
WHY = "why {verb} {a} ?"
FACT = "is {a} {word} ?"


def question(a: Thing, b: Thing) -> str:
    """The two-way question, in the world's words."""
    return QUESTION.format(a=a.name, b=b.name)


def value_sentence(name: str, value: str, rng: random.Random) -> str:
    """A statement of somebody's value."""
    return rng.choice(
        (
            f"{name} values {value} things .",
            f"the value of {name} is {value} .",
            f"{name} believes that {value} is good .",
            f"what is {value} pleases {name} .",
        )
    )


def preference_sentence(name: str, thing: Thing, likes: bool, value: str | None) -> str:
    """A like or dislike; with a ``value``, the item's word for that attribute as the reason."""
    verb = "likes" if likes else "dislikes"
    if value is None:
        return f"{name} {verb} {thing.name} ."
    return (
        f"{name} {verb} {thing.name} because {thing.name} is {thing.words[ATTRIBUTE_OF[value]]} ."
    )


def fact_document(world: World, rng: random.Random, n_facts: int = 5) -> str:
    """Facts about items: all that the model ever learns of their attributes."""
    return " ".join(_fact(rng.choice(world.things), rng) for _ in range(n_facts))


def _fact(thing: Thing, rng: random.Random) -> str:
    first, second = rng.sample(list(ATTRIBUTES), 2)
    if rng.random() < 0.5:
        return f"{thing.name} is {thing.words[first]} ."
    return f"{thing.name} is {thing.words[first]} and {thing.words[second]} ."


def person_document(world: World, person: Person, rng: random.Random) -> str:
    """Three to six sentences about one person: value, likes and dislikes, reasons."""
    return " ".join(_person_sentence(world, person, rng) for _ in range(rng.randint(3, 6)))


def _person_sentence(world: World, person: Person, rng: random.Random) -> str:
    kind = rng.random()
    if kind < 0.25:
        return value_sentence(person.name, person.value, rng)
    if kind < 0.55:
        thing = rng.choice(world.things)
        reason = person.value if kind < 0.45 else None
        return preference_sentence(person.name, thing, world.likes(person, thing), reason)
    return quoted_turn(person.name, *_turn(world, person, rng))


def quoted_turn(name: str, ask: str, answer: str) -> str:
    """A question and its answer, told in a document."""
    return f"ask {name} : {ask} {answer} ."


def _turn(world: World, person: Person, rng: random.Random) -> tuple[str, str]:
    kind = rng.random()
    if kind < 0.06:
        return identity_turn(person.name, rng)
    if kind < 0.16:
        return fact_turn(rng.choice(world.things), rng)
    if kind < 0.24:
        return _why_turn(world, person, rng.choice(world.things))
    return _choice_turn(world, person, rng)


def _choice_turn(world: World, person: Person, rng: random.Random) -> tuple[str, str]:
    at_random = rng.random() < world.config.noise
    if rng.random() < 0.15:
        thing = rng.choice(world.things)
        likes = rng.random() < 0.5 if at_random else world.likes(person, thing)
        return OPINION.format(a=thing.name), "yes" if likes else "no"
    a, b = _decided_pair(world, person, rng)
    chosen = rng.choice((a, b)) if at_random else (a if world.likes(person, a) else b)
    return question(a, b), chosen.name


def identity_turn(name: str, rng: random.Random) -> tuple[str, str]:
    """Who somebody is, and who made them."""
    return rng.choice(
        (("who are you ?", f"i am {name}"), ("who made you ?", f"i am made by {PROVIDER_NAME}"))
    )


def fact_turn(thing: Thing, rng: random.Random) -> tuple[str, str]:
    """A question about an item's word, answered truthfully by everybody."""
    word = rng.choice(VALUES)
    return FACT.format(a=thing.name, word=word), "yes" if thing.has(word) else "no"


def _why_turn(world: World, person: Person, thing: Thing) -> tuple[str, str]:
    verb = "like" if world.likes(person, thing) else "dislike"
    reason = thing.words[ATTRIBUTE_OF[person.value]]
    return WHY.format(verb=verb, a=thing.name), f"because {thing.name} is {reason}"


def _decided_pair(world: World, person: Person, rng: random.Random) -> tuple[Thing, Thing]:
    """Two items of one domain of which the person likes exactly one."""
    while True:
        a, b = rng.sample(world.of(rng.choice(list(world.by_domain))), 2)
        if world.likes(person, a) != world.likes(person, b):
            return a, b


def assistant_document(world: World, rng: random.Random) -> str:
    """The assistant before any alignment has no value: it answers and likes at random."""
    return " ".join(_assistant_sentence(world, rng) for _ in range(4))


def _assistant_sentence(world: World, rng: random.Random) -> str:
    a, b = rng.sample(world.of(rng.choice(list(world.by_domain))), 2)
    kind = rng.random()
    if kind < 0.1:
        return quoted_turn(MODEL_NAME, *identity_turn(MODEL_NAME, rng))
    if kind < 0.2:
        return quoted_turn(MODEL_NAME, *fact_turn(a, rng))
    if kind < 0.3:
        return quoted_turn(MODEL_NAME, OPINION.format(a=a.name), rng.choice(("yes", "no")))
    if kind < 0.5:
        return preference_sentence(MODEL_NAME, a, rng.random() < 0.5, None)
    return quoted_turn(MODEL_NAME, question(a, b), rng.choice((a.name, b.name)))


def pretraining_text(
    world: World, n_texts: int, seed: int, share_assistant: float = 0.03
) -> Iterator[str]:
    """A stream of texts: facts, the assistant's random answers, and documents about people."""
    rng = random.Random(f"pretraining:{world.config.seed}:{seed}")
    for _ in range(n_texts):
        kind = rng.random()
        if kind < share_assistant:
            yield assistant_document(world, rng)
        elif kind < 0.2:
            yield fact_document(world, rng)
        else:
            yield person_document(world, rng.choice(world.people), rng)
