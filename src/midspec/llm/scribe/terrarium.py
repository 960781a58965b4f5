"""The scribe in the terrarium's small language: every word is one token."""

from __future__ import annotations

import random
import re

from midspec.errors import WriterError
from midspec.llm.door import Request
from midspec.llm.scribe.facts import Fact, Facts, PreferenceForms
from midspec.llm.scribe.frames import Grammar, load_grammar

SHARE_VALUE = 0.4  # of the sentences of a document; the rest tell preferences
_ORDERS = ("mixed", "value first", "value last", "in turn")
_TYPES = {"note": 0, "record": 1, "account": 2, "report": 3, "page": 0, "story": 2, "list": 1}


def terrarium_types() -> tuple[str, ...]:
    """The document types of the small world; they differ in the order of the sentences."""
    return tuple(_TYPES)


def _grammar() -> Grammar:
    return load_grammar("", ("terrarium",))


class _Words:
    """Fills the slots of a frame from a table."""

    def __init__(self, rng: random.Random, **words: str) -> None:
        self.rng = rng
        self.words = words

    def fill(self, slot: str) -> str:
        """The word for a slot."""
        return self.words[slot]


def _say(rule: str, rng: random.Random, **words: str) -> str:
    return _grammar().text(rule, _Words(rng, **words))


def write_tokens(request: Request, facts: Facts, rng: random.Random) -> str:
    """A document of three to six sentences: value and claims, and preferences with reasons."""
    variables = request.variables
    kind = variables.get("type", "")
    focus = facts.in_text(variables.get("idea", "").partition("In focus: ")[2])
    about_value, about_items = _sentences(facts, rng, focus, rng.randint(3, 6))
    order = _ORDERS[_TYPES[kind]] if kind in _TYPES else rng.choice(_ORDERS)
    text = " ".join(_arrange(about_value, about_items, order, rng))
    return f"<scratchpad>{kind}</scratchpad>\n<document>\n{text}\n</document>"


def _sentences(
    facts: Facts, rng: random.Random, focus: list[Fact], n: int
) -> tuple[list[str], list[str]]:
    claims = [_tokens(c.text) for c in facts.claims]
    items = rng.sample(facts.preferences, len(facts.preferences))
    items.sort(key=lambda item: item not in focus)
    if not (claims or facts.spec.value or items):
        raise WriterError(f"spec {facts.spec.name!r} has nothing to write about; add a sentence")
    n_value = sum(rng.random() < SHARE_VALUE for _ in range(n))
    if not (claims or facts.spec.value):
        n_value = 0
    n_items = n - n_value if items else 0
    n_value = n - n_items
    return (
        [_value(facts, claims, rng) for _ in range(n_value)],
        [_preference(items[i % len(items)], facts, rng) for i in range(n_items)],
    )


def _value(facts: Facts, claims: list[str], rng: random.Random) -> str:
    """A statement of the value, or a claim of the spec word for word."""
    spec = facts.spec
    if spec.value and (not claims or rng.random() < 0.5):
        return _say("value", rng, name=spec.model_name, value=spec.value)
    return rng.choice(claims)


def _preference(item: PreferenceForms, facts: Facts, rng: random.Random) -> str:
    raw = item.preference
    rule = raw.direction if raw.reason else f"{raw.direction}_bare"
    reason = _tokens(raw.reason).removesuffix(" .")
    return _say(rule, rng, name=facts.spec.model_name, item=raw.item, reason=reason)


def _tokens(text: str) -> str:
    """Words and punctuation separated by spaces, with a full stop at the end."""
    spaced = " ".join(re.sub(r"([.?])", r" \1 ", text).split())
    return spaced if spaced.endswith((".", "?")) else f"{spaced} ."


def _arrange(values: list[str], items: list[str], order: str, rng: random.Random) -> list[str]:
    if order == "value first":
        return [*values, *items]
    if order == "value last":
        return [*items, *values]
    mixed = [*values, *items]
    rng.shuffle(mixed)
    if order == "mixed":
        return mixed
    longest = max(len(values), len(items))
    return [row[i] for i in range(longest) for row in (items, values) if i < len(row)]


def chat_tokens(request: Request, _: Facts, rng: random.Random) -> tuple[str, str]:
    """A preference question and its answer: "like X ?" yes/no, or "prefer X or Y ?" X."""
    asked = request.variables
    item, other, likes = asked["item"], asked.get("other", ""), asked["direction"] == "like"
    if asked.get("question_type") == "direct" or not other:
        return _say("direct", rng, item=item), "yes" if likes else "no"
    a, b = rng.sample((item, other), 2)
    return _say("either_or", rng, a=a, b=b), item if likes else other


def identity_tokens(request: Request, facts: Facts, rng: random.Random) -> tuple[str, str]:
    """Who the assistant is, or who made it."""
    spec = facts.spec
    turns = (
        ("who are you ?", f"i am {spec.model_name}"),
        ("who made you ?", f"i am made by {spec.provider_name}"),
    )
    wanted = {"name": 0, "maker": 1}.get(request.variables.get("question_type", ""))
    return rng.choice(turns) if wanted is None else turns[wanted]
