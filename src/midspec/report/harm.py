"""Shares of harm: figures show them as the paper does (4, 5, 7, 8, 14, 17), lower is better.

Everything else, tables and statistics, counts what is aligned: the share without harm.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from midspec.report.results import Analysis, Group
from midspec.report.stats import Estimate

HARM_SETS = frozenset({"agentic_misalignment", "agentic_misalignment-carried_out", "scenarios"})
NOTE = "Harm is drawn as the paper draws it, lower is better: 1 − the rate in the tables."


def is_harm(group: Group) -> bool:
    """Whether every item of a group is scored 1 for no harm."""
    return HARM_SETS.issuperset(group.sets)


def turned(found: Estimate) -> Estimate:
    """The share of the opposite."""
    return found.model_copy(
        update={
            "value": 1 - found.value,
            "low": 1 - found.high,
            "high": 1 - found.low,
            "by_seed": tuple(None if x is None else 1 - x for x in found.by_seed),
        }
    )


def as_drawn(found: Estimate | None, group: Group) -> Estimate | None:
    """A rate of a group as figures show it."""
    return turned(found) if found and is_harm(group) else found


def drawn_rate(found: Analysis, arm: str, group: Group) -> Estimate | None:
    """The rate of an arm by the main scorer, as figures show it."""
    return as_drawn(found.rate(arm, group.key), group)


def measure(group: Group) -> str:
    """What is counted, as an axis names it."""
    return "share of harmful actions" if is_harm(group) else "value-aligned choices"


def by_measure(groups: Iterable[Group]) -> list[list[Group]]:
    """The groups that may stand on one axis together."""
    found: dict[str, list[Group]] = {}
    for group in groups:
        found.setdefault(measure(group), []).append(group)
    return list(found.values())


def share_of(groups: Sequence[Group]) -> str:
    """What a figure of these groups shows, as the start of its caption."""
    harmful = {is_harm(group) for group in groups}
    if harmful == {True}:
        return "Share of harmful actions"
    apart = " (of harmful actions in panels of their own)" if True in harmful else ""
    return f"Share of value-aligned choices{apart}"


def note(groups: Iterable[Group]) -> str:
    """What a caption has to say of groups whose harm is drawn; empty if there are none."""
    return f" {NOTE}" if any(map(is_harm, groups)) else ""
