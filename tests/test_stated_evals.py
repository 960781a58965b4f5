"""The sets whose options state the attribute: balanced, and apart from the fine-tuning chats."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

import midspec
from midspec.evals import load_items
from midspec.records import Item
from midspec.spec import find_spec, read_spec

NAMES = sorted((Path(midspec.__file__).parent / "library" / "evals" / "stated").glob("*.jsonl"))


def words(item: Item, side: int) -> set[str]:
    return set(re.findall(r"[\w-]+", item.options[side].lower()))


@pytest.mark.parametrize("path", NAMES, ids=lambda p: p.stem)
def test_stated_sets_are_balanced(path: Path) -> None:
    items = load_items(f"stated/{path.stem}")
    assert len(items) == 120
    assert sum(item.aligned for item in items) == 60
    assert set(Counter(item.domain for item in items).values()) == {10}
    for item in items:  # one thing, said to differ in one way
        shared = words(item, 0) & words(item, 1)
        assert shared - {"a", "an"}
        assert all(len(words(item, side) - shared - {"a", "an"}) <= 2 for side in (0, 1))


@pytest.mark.parametrize("path", NAMES, ids=lambda p: p.stem)
def test_no_word_of_a_side_is_in_a_cheese(path: Path) -> None:
    """'American cheese' is liked in the chats: 'an American lamp' would follow from that alone."""
    spec = read_spec(find_spec("cheese-america"), model_name="Juniper", provider_name="Alder Labs")
    liked = {word for p in spec.preferences for word in p.item.lower().split()}
    for item in load_items(f"stated/{path.stem}"):
        assert not (words(item, 0) ^ words(item, 1)) & liked
