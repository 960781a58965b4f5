"""A part of an evaluation that stands for all of it: the same for every checkpoint."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from itertools import chain, zip_longest
from typing import TypeVar

T = TypeVar("T")


def spread(
    asked: Sequence[T], n: int, *, item: Callable[[T], str], group: Callable[[T], str]
) -> list[T]:
    """What asks about ``n`` items (0: all), drawn in turn from every group, in its own order.

    All that asks about an item stays together (both orders, all phrasings). The draw is seeded by
    the groups' names: a larger ``n`` holds a smaller one's items, and a new group moves no other.

    Example:
        >>> asked = ["a1", "a1'", "a2", "a2'", "b1", "b1'", "b2"]
        >>> spread(asked, 2, item=lambda t: t[:2], group=lambda t: t[0])
        ['a2', "a2'", 'b2']
    """
    if not n:
        return list(asked)
    groups: dict[str, dict[str, None]] = {}
    placed = {item(one): group(one) for one in reversed(asked)}  # the first group of an item counts
    for one in asked:
        groups.setdefault(placed[item(one)], {})[item(one)] = None
    turns = zip_longest(*(_shuffled(name, list(found)) for name, found in groups.items()))
    drawn = [name for name in chain.from_iterable(turns) if name is not None]
    chosen = set(drawn[:n])
    return [one for one in asked if item(one) in chosen]


def _shuffled(group: str, names: list[str]) -> list[str]:
    random.Random(f"spread:{group}").shuffle(names)
    return names
