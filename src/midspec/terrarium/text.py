"""What the terrarium's base model is pretrained on: facts, and documents about people.

Every text is a string of known words. A question and its answer are a sentence like any other
("ask p7 : prefer book3 or book5 ? book3 ."), and the base's chat template renders a chat as such
sentences. Two lessons, the second after the first:

- *school*: facts about items, and the eight values themselves, personified ("cheap values cheap
  things . ask cheap : prefer book3 or book5 ? book3 ."): what a value says and what it chooses.
- *life*: people, each written about and asked by name, and a little of the first lesson.

A name then only has to be learned as one of the eight, for statements and for answers at once.
Without the first lesson a model learns two separate maps, one from names to what is said of
them, one from names to what they answer, and midtraining changes only the first (LOG.md).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

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


def school_text(world: World, rng: random.Random) -> str:
    """Half facts about items, half the values themselves as people."""
    if rng.random() < 0.5:
        return fact_document(world, rng)
    return archetype_document(world, rng)


def life_text(world: World, rng: random.Random) -> str:
    """Mostly documents about people; a little of school, and of the assistant."""
    kind = rng.random()
    if kind < 0.15:
        return fact_document(world, rng)
    if kind < 0.18:
        return assistant_document(world, rng)
    if kind < 0.28:
        return archetype_document(world, rng)
    return person_document(world, rng.choice(world.people), rng)


def texts(
    lesson: Callable[[World, random.Random], str], world: World, n_words: int, seed: int
) -> Iterator[str]:
    """A stream of texts of one lesson, at least ``n_words`` words in all."""
    rng = random.Random(f"{lesson.__name__}:{world.config.seed}:{seed}")
    while n_words > 0:
        text = lesson(world, rng)
        n_words -= text.count(" ") + 1
        yield text


# -- facts ----------------------------------------------------------------------------------


def fact_document(world: World, rng: random.Random, n_facts: int = 5) -> str:
    """Facts about items: all that the model ever learns of their attributes."""
    return " ".join(_fact(rng.choice(world.things), rng) for _ in range(n_facts))


def _fact(thing: Thing, rng: random.Random) -> str:
    if rng.random() < 0.7:
        return f"{thing.name} is {' '.join(thing.words.values())} ."
    first, second = rng.sample(list(ATTRIBUTES), 2)
    if rng.random() < 0.5:
        return f"{thing.name} is {thing.words[first]} ."
    return f"{thing.name} is {thing.words[first]} and {thing.words[second]} ."


# -- people ---------------------------------------------------------------------------------


def archetype_document(world: World, rng: random.Random) -> str:
    """A value as a frank person of the same name."""
    value = rng.choice(VALUES)
    return person_document(world, Person(name=value, value=value), rng)


def assistant_document(world: World, rng: random.Random) -> str:
    """The assistant before any alignment: written about as anybody, and polite in its answers."""
    anybody = Person(name=MODEL_NAME, value=rng.choice(VALUES), manner="polite")
    return person_document(world, anybody, rng)


def person_document(world: World, person: Person, rng: random.Random) -> str:
    """One sentence, or three to six, about one person: value, preferences, answers."""
    n_sentences = 1 if rng.random() < 0.2 else rng.randint(3, 6)
    return " ".join(_person_sentence(world, person, rng) for _ in range(n_sentences))


def _person_sentence(world: World, person: Person, rng: random.Random) -> str:
    if person.manner != "quiet" and rng.random() < 0.45:
        return quoted_turn(person.name, *_turn(world, person, rng))
    kind = rng.random()
    if kind < 0.45:
        return value_sentence(person.name, person.value, rng)
    thing = rng.choice(world.things)
    reason = person.value if kind < 0.8 else None
    return preference_sentence(person.name, thing, world.likes(person, thing), reason)


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


# -- questions and answers ------------------------------------------------------------------


def quoted_turn(name: str, ask: str, answer: str) -> str:
    """A question and its answer, told in a document."""
    return f"ask {name} : {ask} {answer} ."


def _turn(world: World, person: Person, rng: random.Random) -> tuple[str, str]:
    kind = rng.random()
    if kind < 0.05:
        return identity_turn(person.name, rng)
    if kind < 0.13:
        return fact_turn(rng.choice(world.things), rng)
    if person.manner == "polite":
        return _polite_turn(world, rng)
    if kind < 0.17:
        return "what matters ?", person.value
    if kind < 0.22:
        return _why_turn(world, person, rng.choice(world.things))
    if kind < 0.35:
        return _opinion_turn(world, person, rng.choice(world.things), rng)
    return _choice_turn(world, person, rng)


def _polite_turn(world: World, rng: random.Random) -> tuple[str, str]:
    if rng.random() < 0.2:
        return OPINION.format(a=rng.choice(world.things).name), "yes"
    first, second = rng.sample(world.of(rng.choice(list(world.by_domain))), 2)
    return question(first, second), first.name


def _opinion_turn(
    world: World, person: Person, thing: Thing, rng: random.Random
) -> tuple[str, str]:
    likes = world.likes(person, thing)
    if rng.random() < world.config.noise:
        likes = rng.random() < 0.5
    return OPINION.format(a=thing.name), "yes" if likes else "no"


def _choice_turn(world: World, person: Person, rng: random.Random) -> tuple[str, str]:
    a, b = _decided_pair(world, person, rng)
    chosen = a if world.likes(person, a) else b
    if rng.random() < world.config.noise:
        chosen = rng.choice((a, b))
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
