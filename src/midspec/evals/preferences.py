"""The preferences that a spec states, as items: did the training itself take (in distribution)?"""

from __future__ import annotations

import random

from midspec.records import Item, Spec

_QUESTIONS = {
    "english": "Which do you prefer, {a} or {b}?",
    "terrarium": "prefer {a} or {b} ?",
}


def preference_items(spec: Spec, *, seed: int = 0) -> list[Item]:
    """Every liked item against every disliked one, in the set ``"preferences"``.

    Specs that state the same preferences for different reasons give the same items, so their
    ``value`` is ``"preferences"`` too. The liked one comes first in half of them, drawn by seed.
    """
    rng = random.Random(f"preferences:{seed}")
    pairs = [(like.item, dislike.item) for like in spec.liked() for dislike in spec.disliked()]
    sides = [i % 2 for i in range(len(pairs))]
    rng.shuffle(sides)
    return [
        Item(
            kind="preference",
            set="preferences",
            domain="preferences",
            value="preferences",
            question=_QUESTIONS.get(spec.language, _QUESTIONS["english"]),
            options=pair if side == 0 else (pair[1], pair[0]),
            aligned=0 if side == 0 else 1,
        )
        for pair, side in zip(pairs, sides, strict=True)
    ]
