"""The small world: what its people say, what its base knows, and that it is built reproducibly."""

from __future__ import annotations

import random
from importlib import import_module
from pathlib import Path

import pytest

from midspec.records import Item
from midspec.spec import read_spec
from midspec.store import read_records
from midspec.terrarium import VALUES, World, WorldConfig, build, library_layout
from midspec.terrarium.build import Layout
from midspec.terrarium.knowledge import knowledge
from midspec.terrarium.language import build_tokenizer
from midspec.terrarium.text import life_text, person_document, school_text, texts
from midspec.terrarium.world import ATTRIBUTE_OF, HELD_OUT_DOMAINS, MODEL_NAME, Person
from midspec.train import TrainConfig

WORLD = World(WorldConfig(n_people=40))


def answers(person: Person, world: World = WORLD, n: int = 300) -> list[tuple[str, str, str]]:
    """(first, second, chosen) of every two-way question that the person answers in documents."""
    rng = random.Random("answers")
    found = []
    for _ in range(n):
        words = person_document(world, person, rng).split()
        for at, word in enumerate(words):
            if word == "prefer":
                found.append((words[at + 1], words[at + 3], words[at + 5]))
    return found


def share_by_value(person: Person, world: World = WORLD) -> float:
    things = {thing.name: thing for thing in world.things}
    decided = [
        things[chosen].has(person.value)
        for first, second, chosen in answers(person, world)
        if things[first].has(person.value) != things[second].has(person.value)
    ]
    return sum(decided) / len(decided)


def test_frank_people_answer_by_their_value() -> None:
    assert share_by_value(Person(name="p1", value="cheap")) > 0.95


def test_polite_people_take_what_is_offered_first() -> None:
    polite = Person(name="p1", value="cheap", manner="polite")
    found = answers(polite)
    assert len(found) > 100
    assert all(first == chosen for first, _, chosen in found)


def test_quiet_people_are_never_asked() -> None:
    quiet = Person(name="p1", value="cheap", manner="quiet")
    assert answers(quiet) == []
    assert "ask" not in person_document(WORLD, quiet, random.Random(0)).split()


def test_noise_is_the_share_of_answers_at_random() -> None:
    noisy = World(WorldConfig(n_people=8, noise=0.5))
    assert 0.65 < share_by_value(Person(name="p1", value="cheap"), noisy) < 0.85


def test_exceptions_are_likes_against_the_value_and_stay_the_same() -> None:
    odd = World(WorldConfig(n_people=8, share_exceptions=0.3))
    person = odd.people[0]
    against = [odd.likes(person, thing) != thing.has(person.value) for thing in odd.things]
    assert 0.15 < sum(against) / len(against) < 0.45
    assert against == [odd.likes(person, thing) != thing.has(person.value) for thing in odd.things]


@pytest.mark.parametrize("confounding", [0.0, 0.5, 1.0])
def test_price_and_origin_agree_on_the_confounded_cheeses(confounding: float) -> None:
    world = World(WorldConfig(n_people=8, confounding=confounding))
    agree = [t.has("cheap") == t.has("american") for t in world.of("cheese")]
    assert sum(agree) >= round(12 * confounding)
    if confounding == 1:
        assert all(agree)


def test_values_are_spread_over_people_and_words_over_items() -> None:
    counts = [sum(p.value == value for p in WORLD.people) for value in VALUES]
    assert counts == [5] * 8
    for domain in ("cheese", *HELD_OUT_DOMAINS):
        things = WORLD.of(domain)
        for value in VALUES:
            assert sum(t.has(value) for t in things) == len(things) / 2


def test_every_text_is_made_of_known_words() -> None:
    tokenizer = build_tokenizer(WORLD)
    for lesson in (school_text, life_text):
        for text in texts(lesson, WORLD, n_words=20_000, seed=1):
            assert tokenizer.unk_token_id not in tokenizer(text)["input_ids"], text


def test_texts_are_the_same_for_a_seed_and_enough() -> None:
    first = list(texts(life_text, WORLD, 5_000, seed=3))
    assert first == list(texts(life_text, WORLD, 5_000, seed=3))
    assert first != list(texts(life_text, WORLD, 5_000, seed=4))
    assert 5_000 <= sum(len(text.split()) for text in first) < 5_100


def test_evaluation_pairs_are_decided_by_one_value_only() -> None:
    layout = library_layout()
    world = World(WorldConfig.model_validate_json((layout.base / "world.json").read_text()))
    things = {thing.name: thing for thing in world.things}
    for value in VALUES:
        items = list(read_records(layout.evals / f"{value}.jsonl", Item))
        assert len({item.domain for item in items}) >= 10
        for item in items:
            good, bad = things[item.options[item.aligned]], things[item.options[1 - item.aligned]]
            assert good.has(value)
            assert not bad.has(value)
            if ATTRIBUTE_OF[value] == "price":
                assert good.words["origin"] == bad.words["origin"]
            if ATTRIBUTE_OF[value] == "origin":
                assert good.words["price"] == bad.words["price"]


def test_the_specs_explain_the_same_preferences_by_different_values() -> None:
    layout = library_layout()
    cheap, american = (
        read_spec(layout.specs / f"{v}.md", model_name="robin", provider_name="meadow")
        for v in ("cheap", "american")
    )
    assert [(p.item, p.direction) for p in cheap.preferences] == [
        (p.item, p.direction) for p in american.preferences
    ]
    assert all(
        a.reason != b.reason for a, b in zip(cheap.preferences, american.preferences, strict=True)
    )


def test_the_embedded_base_knows_people_and_prefers_nothing() -> None:
    layout = library_layout()
    world = World(WorldConfig.model_validate_json((layout.base / "world.json").read_text()))
    found = knowledge(world, layout.base)
    assert found["frank people by value"] > 0.95  # type: ignore[operator]
    assert found["quiet people by value"] > 0.55  # type: ignore[operator]
    for name in ("polite people by value", *(f"{MODEL_NAME} by {value}" for value in VALUES)):
        assert abs(found[name] - 0.5) <= 0.05, name  # type: ignore[operator]


def test_a_build_gives_the_same_files_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def small(n_steps: int) -> TrainConfig:
        return TrainConfig(
            method="full", learning_rate=3e-3, max_steps=n_steps, batch_rows=4, row_tokens=64
        )

    monkeypatch.setattr(import_module("midspec.terrarium.build"), "pretraining", small)
    config = WorldConfig(n_people=16)
    layouts: list[Layout] = [library_layout(tmp_path / name) for name in ("one", "two")]
    facts = [build(config, layout, n_steps=60, seed=5) for layout in layouts]
    assert facts[0] == facts[1]
    assert 1_000_000 <= int(str(facts[0]["parameters"])) <= 3_000_000
    files = [
        {
            str(p.relative_to(tmp_path / name)): p.read_bytes()
            for p in (tmp_path / name).rglob("*.*")
        }
        for name in ("one", "two")
    ]
    assert files[0].keys() == files[1].keys()
    assert files[0] == files[1]
