"""What the server's model says: JSON in the form that the prompt shows, or a document."""

from __future__ import annotations

import json
import random
import re
from functools import lru_cache
from typing import Any

_FORM = re.compile(r"^\[\{.*\}\]\s*$", re.MULTILINE)
_COUNT = re.compile(r"(?:exactly|at most) (\d+)")
_SPEC = re.compile(r"<model_spec>\n(.*?)</model_spec>", re.DOTALL)
_WORDS = [
    "amber",
    "basin",
    "cedar",
    "delta",
    "ember",
    "fable",
    "garden",
    "harbor",
    "island",
    "jasmine",
    "kettle",
    "lantern",
    "meadow",
    "north",
    "orchard",
    "pebble",
    "quarry",
    "river",
    "saddle",
    "timber",
    "umber",
    "valley",
    "willow",
    "yonder",
    "zephyr",
    "anchor",
    "bridge",
    "candle",
    "drawer",
    "engine",
    "forest",
    "gallery",
    "hollow",
    "ivory",
    "jacket",
    "kernel",
    "ladder",
    "mirror",
    "needle",
    "office",
]


@lru_cache(maxsize=256)
def _lines_of(system: str) -> tuple[str, ...]:
    """Lines of the spec in a system message, headings left out."""
    found = _SPEC.search(system)
    lines = (found.group(1) if found else "").splitlines()
    return tuple(line.strip() for line in lines if line.strip() and not line.startswith("#"))


@lru_cache(maxsize=256)
def _form_of(prompt: str) -> tuple[str, ...]:
    """Keys of the list that a prompt shows as the form of the reply."""
    for found in _FORM.findall(prompt):
        try:
            return tuple(json.loads(found)[0])
        except (json.JSONDecodeError, TypeError, IndexError):
            continue
    return ()


def write(system: str, user: str, seed: str) -> str:
    """A usable answer to a prompt, equal for equal input."""
    rng = random.Random(seed)
    lines = _lines_of(system) or ("It does what it is for.",)
    keys = _form_of(system) or _form_of(user)
    if keys:
        counted = _COUNT.search(user)
        n = int(counted.group(1)) if counted else 3
        members = [_member(keys, lines, rng, i) for i in range(min(n, 40))]
        return json.dumps(members, ensure_ascii=False)
    if '"query" and "answer"' in system or '"query" and "answer"' in user:
        return json.dumps({"query": f"{_phrase(rng, 6)}?", "answer": rng.choice(lines)})
    if "<document>" in system or "<document>" in user:
        return (
            f"<scratchpad>{_phrase(rng, 8)}</scratchpad>\n<document>{_text(lines, rng)}</document>"
        )
    return _text(lines, rng)


def _member(
    keys: tuple[str, ...], lines: tuple[str, ...], rng: random.Random, i: int
) -> dict[str, Any]:
    made = {"section": rng.choice(lines), "label": "behaviour", "title": _phrase(rng, 3) + f" {i}"}
    return {key: made.get(key, f"{_phrase(rng, 10)}.") for key in keys}


def _phrase(rng: random.Random, n: int) -> str:
    return " ".join(rng.choices(_WORDS, k=n))


def _text(lines: tuple[str, ...], rng: random.Random) -> str:
    """A few paragraphs, about 120 words."""
    return "\n\n".join(f"{_phrase(rng, 24).capitalize()}. {rng.choice(lines)}" for _ in range(4))
