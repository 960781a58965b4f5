"""What a terrarium's base knows: the share of choices by value, of every manner of people."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import torch

from midspec.bases import load
from midspec.records import Checkpoint
from midspec.terrarium.evaluation import evaluation_items
from midspec.terrarium.text import question
from midspec.terrarium.world import (
    MODEL_NAME,
    TRAINING_DOMAIN,
    VALUES,
    Person,
    Thing,
    World,
)

Choice = tuple[str, Thing, Thing]  # who is asked, the item that the value likes, the other one


def knowledge(world: World, base: Path, n_choices: int = 400) -> dict[str, object]:
    """Shares of choices by value, both orders: of people by manner, of the assistant by value.

    A useful base has *frank* near 1, *polite* at .5, *quiet* clearly above .5 (what is read
    reaches what is answered), and the assistant at .5 on every value.
    """
    loaded = load(Checkpoint(base=str(base)))
    model, tokenizer = loaded.model, loaded.tokenizer
    found: dict[str, object] = {}
    for manner in ("frank", "polite", "quiet"):
        people = [person for person in world.people if person.manner == manner]
        if people:
            asked = _choices(world, people, n_choices)
            found[f"{manner} people by value"] = _share(model, tokenizer, asked)
    for value in VALUES:
        asked = _assistant_choices(world, value)
        found[f"{MODEL_NAME} by {value}"] = _share(model, tokenizer, asked)
    return found


def _choices(world: World, people: list[Person], n: int) -> list[Choice]:
    rng = random.Random("knowledge")
    domains = [domain for domain in world.by_domain if domain != TRAINING_DOMAIN]
    found: list[Choice] = []
    while len(found) < n:
        person = people[len(found) % len(people)]
        a, b = rng.sample(world.of(rng.choice(domains)), 2)
        if a.has(person.value) != b.has(person.value):
            found.append((person.name, *((a, b) if a.has(person.value) else (b, a))))
    return found


def _assistant_choices(world: World, value: str) -> list[Choice]:
    things = {thing.name: thing for thing in world.things}
    return [
        (MODEL_NAME, things[item.options[item.aligned]], things[item.options[1 - item.aligned]])
        for item in evaluation_items(world, value)
    ]


@torch.no_grad()
def _share(model: Any, tokenizer: Any, choices: list[Choice]) -> float:
    """All questions have equally many words, so they are one batch without padding."""
    asked = [(who, (a, b), a) for who, a, b in choices] + [(w, (b, a), a) for w, a, b in choices]
    ids = tokenizer([f"ask {who} : {question(*pair)}" for who, pair, _ in asked])["input_ids"]
    logits = model(input_ids=torch.tensor(ids)).logits[:, -1]
    names = torch.tensor([tokenizer(good.name)["input_ids"][0] for _, _, good in asked])
    others = torch.tensor(
        [tokenizer(pair[pair[0] == good].name)["input_ids"][0] for _, pair, good in asked]
    )
    rows = torch.arange(len(asked))
    return round((logits[rows, names] > logits[rows, others]).float().mean().item(), 3)
