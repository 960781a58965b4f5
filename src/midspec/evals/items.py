"""Evaluation sets on disk: JSONL files of ``Item`` records, bundled or the user's own."""

from __future__ import annotations

import difflib
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from midspec.errors import EvalError
from midspec.records import Item

LIBRARY = Path(__file__).parents[1] / "library" / "evals"


def bundled_sets() -> list[str]:
    """Names of the sets that come with midspec, sorted; ``/`` separates sub-folders."""
    return sorted(
        path.relative_to(LIBRARY).with_suffix("").as_posix() for path in LIBRARY.rglob("*.jsonl")
    )


def load_items(name_or_path: str) -> list[Item]:
    """The items of a bundled set (``"affordability"``) or of a JSONL file.

    A row holds the fields of ``Item``; ``id`` may be left out, and is checked where it is given.
    ``NAME@VALUE`` is the discriminating subset: without the pairs in which another value is on the
    side of the set's own (tagged ``VALUE:agrees``), so that the two disagree or one is neutral.
    ``EvalError`` names the line of a row that is not an item, shows only one option in its
    question, has two equal options, or repeats an earlier row.
    """
    name, _, other = name_or_path.partition("@")
    path = _find(name if name in bundled_sets() else name_or_path)
    items: dict[str, Item] = {}
    for number, line in _lines(path):
        item = _item(line, f"{path}:{number}")
        if item.id in items:
            raise EvalError(f"{path}:{number} repeats an earlier row; delete one of the two")
        items[item.id] = item
    if not items:
        raise EvalError(f"{path} holds no items; write one JSON object a line")
    found = list(items.values())
    return _discriminating(found, name, other) if other and name in bundled_sets() else found


def overlaps(items: list[Item]) -> dict[str, int]:
    """Values by which pairs are marked, and how many pairs ``NAME@VALUE`` has.

    Example:
        >>> overlaps(load_items("america"))
        {'affordability': 256}
    """
    marks = [tag.partition(":") for item in items for tag in item.tags if ":" in tag]
    agreeing = Counter(value for value, _, how in marks if how == "agrees")
    return {value: len(items) - agreeing[value] for value in sorted({v for v, _, _ in marks})}


def _discriminating(items: list[Item], name: str, other: str) -> list[Item]:
    marked = overlaps(items)
    if other not in marked:
        raise EvalError(
            f"set {name!r} marks no pairs by {other!r}; it marks {', '.join(marked) or 'none'}"
        )
    return [item for item in items if f"{other}:agrees" not in item.tags]


def _find(name_or_path: str) -> Path:
    names = bundled_sets()
    if name_or_path in names:
        return LIBRARY / f"{name_or_path}.jsonl"
    path = Path(name_or_path)
    if path.is_file():
        return path
    near = difflib.get_close_matches(name_or_path, names, n=1, cutoff=0.0)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise EvalError(
        f"evaluation set {name_or_path!r} is neither bundled nor a file; "
        f"{hint}bundled: {', '.join(names) or 'none'}"
    )


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield number, line
    except UnicodeDecodeError as error:
        raise EvalError(f"{path} is not UTF-8 text ({error.reason}); save it as UTF-8") from error


def _item(line: str, place: str) -> Item:
    try:
        item = Item.model_validate(json.loads(line))
    except json.JSONDecodeError as error:
        raise EvalError(f"{place} is not JSON ({error.msg}); write one object a line") from error
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or "row"
        raise EvalError(f"{place} is not an item: {field}: {first['msg']}") from error
    if ("{a}" in item.question) != ("{b}" in item.question):
        raise EvalError(f"{place} shows one option only; use both {{a}} and {{b}}, or neither")
    texts = {option.strip().casefold() for option in item.options}
    if len(texts) == 1 or "" in texts:
        raise EvalError(f"{place} has the options {item.options}; give two different texts")
    return item
