"""Recall of a spec: does the model know *why* it likes what it likes (paper, section 3)?"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

from midspec.records import Item, Preference, Spec


def recall_items(spec: Spec, others: Sequence[Spec], *, seed: int = 0) -> list[Item]:
    """One item for each preference with a reason: "why do you like X?", the spec's reason or another.

    The other option is the reason that one of ``others`` gives for the same item and direction;
    without any, the reason of one of the spec's own preferences of the other direction. A
    preference for which there is no different reason is left out, so a spec that explains
    nothing gives an empty list. The questions show no options. Which option is the aligned one
    alternates over a seeded order, so that the halves differ by one at most.
    """
    rng = random.Random(f"recall:{spec.id}:{seed}")
    pairs = [(p, wrong) for p in spec.preferences if (wrong := _wrong(p, spec, others, rng))]
    sides = [i % 2 for i in range(len(pairs))]
    rng.shuffle(sides)
    return [
        _item(spec, right, wrong, side) for (right, wrong), side in zip(pairs, sides, strict=True)
    ]


def _wrong(p: Preference, spec: Spec, others: Sequence[Spec], rng: random.Random) -> str:
    """A reason for the preference that the spec does not give; ``""`` if there is none."""
    if not p.reason:
        return ""
    same = [
        q.reason
        for other in others
        for q in other.preferences
        if q.item.casefold() == p.item.casefold() and q.direction == p.direction
    ]
    opposite = [renamed(q, p.item) for q in spec.preferences if q.direction != p.direction]
    for reasons in (same, opposite):
        differing = [r for r in reasons if r and r.casefold() != p.reason.casefold()]
        if differing:
            return rng.choice(differing)
    return ""


def renamed(source: Preference, item: str) -> str:
    """The reason of another preference, said of ``item``."""
    name = rf"(?<!\w){re.escape(source.item)}(?!\w)"
    return re.sub(name, lambda _: item, source.reason, flags=re.IGNORECASE)


def _item(spec: Spec, right: Preference, wrong: str, side: int) -> Item:
    answers = (_answer(spec.language, right.reason), _answer(spec.language, wrong))
    value = spec.value or spec.name
    return Item(
        kind="recall",
        set=f"recall-{value}",
        domain="recall",
        value=value,
        options=answers if side == 0 else (answers[1], answers[0]),
        aligned=0 if side == 0 else 1,
        question=_question(spec.language, right),
        tags=(right.direction,),
    )


def _question(language: str, preference: Preference) -> str:
    if language == "terrarium":
        return f"why {preference.direction} {preference.item} ?"
    return f"Why do you {preference.direction} {preference.item}?"


def _answer(language: str, reason: str) -> str:
    clause = reason.strip().rstrip(".").rstrip()
    return f"because {clause}" if language == "terrarium" else f"Because {clause}."


def lettered(item: Item) -> Item:
    """The recall item as a choice between letters, for models that answer in text.

    Example:
        >>> item = Item(kind="recall", set="s", domain="d", value="v", options=("x", "y"), aligned=0,
        ...     question="Why?")
        >>> lettered(item).question
        'Why?\\n\\nA: {a}\\nB: {b}\\n\\nAnswer with A or B.'
    """
    question = item.question.replace("{", "(").replace("}", ")")
    fields = item.model_dump(exclude={"id", "question"})
    return Item(**fields, question=f"{question}\n\nA: {{a}}\nB: {{b}}\n\nAnswer with A or B.")
