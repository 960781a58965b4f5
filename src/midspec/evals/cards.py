"""What stands behind an evaluation set: a card, a canary string and a content hash.

The canary is a string in the set's file (a comment, or a tag of the first item) and nowhere else,
so that a corpus that holds it gives itself away. The hash covers what is asked and how it is
scored, so it belongs into the key of every result.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field

from midspec.errors import EvalError
from midspec.evals.items import LIBRARY, bundled_sets, load_items
from midspec.records import Frozen, Item, digest

TASKS = LIBRARY / "tasks"


class Card(Frozen):
    """How an evaluation set came to be, and what it cannot show."""

    title: str
    kind: str = Field(description="preference, opinion, or the task that asks it")
    measures: str = Field(description="what a high score means")
    written: str = Field(description="how and by whom the set was written")
    limits: str = Field(description="what it does not show")
    licence: str = "Apache-2.0"
    canary: str = Field(description="a string that is in the set's file and nowhere else")


@cache
def _cards() -> dict[str, Card]:
    raw = yaml.safe_load((LIBRARY / "cards.yaml").read_text(encoding="utf-8"))
    return {name: Card.model_validate(fields) for name, fields in raw.items()}


def card(name: str) -> Card:
    """The card of a bundled set; sets of the terrarium share one.

    Raises:
        EvalError: there is no such set.

    Example:
        >>> card("scenarios").kind
        'scenarios'
    """
    cards = _cards()
    found = cards.get("terrarium" if name.startswith("terrarium/") else name)
    if found is None:
        raise EvalError(f"no card of an evaluation set {name!r}; cards: {', '.join(cards)}")
    return found


@cache
def task_set(name: str) -> Any:
    """The parsed content of ``library/evals/tasks/<name>.yaml``; shared, so do not change it.

    Raises:
        EvalError: there is no such file.
    """
    path = TASKS / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in TASKS.glob("*.yaml")))
        raise EvalError(f"no task set {name!r}; there are {known}")
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def task_items() -> dict[str, list[Item]]:
    """Every text of the tasks' sets (questions, stories, mails), by set, to look for in other texts.

    An item of it has no options of its own: only its words in a row give it away.

    Example:
        >>> len(task_items()["qa"]) >= 150
        True
    """
    names = sorted(path.stem for path in TASKS.glob("*.yaml"))
    return {name: [_worded(name, text) for text in _texts(task_set(name))] for name in names}


def _texts(found: Any) -> list[str]:
    if isinstance(found, dict | list):
        inside = found.values() if isinstance(found, dict) else found
        return [text for one in inside for text in _texts(one)]
    return found.split("\n\n") if isinstance(found, str) else []


def _worded(name: str, text: str) -> Item:
    fields = {"kind": "opinion", "set": name, "domain": name, "value": "", "aligned": 0}
    return Item.model_validate({**fields, "options": ("yes", "no"), "question": text})


def set_hash(name_or_path: str) -> str:
    """A digest of a set's content: of its items in order, or of a task's file.

    Layout, comments and the canary do not count.

    Example:
        >>> set_hash("scenarios") == set_hash("scenarios") != set_hash("pushback")
        True
    """
    if (TASKS / f"{name_or_path}.yaml").is_file() and name_or_path not in bundled_sets():
        return digest("task set", task_set(name_or_path))
    return digest("items", [item.id for item in load_items(name_or_path)])


def canaries() -> dict[str, str]:
    """Canary string of every card, by set: what a training corpus must not contain."""
    return {name: found.canary for name, found in _cards().items()}


def file_of(name: str) -> Path:
    """The file of a bundled set or task set."""
    items = LIBRARY / f"{name}.jsonl"
    return items if items.is_file() else TASKS / f"{name}.yaml"
