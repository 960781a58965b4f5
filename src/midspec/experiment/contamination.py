"""Data that contains an evaluation item makes its score worthless: training refuses it.

What a recipe writes is curated against the sets that it measures; what a user gives may hold an
item of any set. The commands of ``midspec train`` and the trainings of an experiment both ask here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from functools import cache

from midspec import curate, evals
from midspec.errors import ConfigError
from midspec.records import Item

SEEN = "evaluation items seen"  # the line of the model card


@cache
def _sets() -> dict[str, list[Item]]:
    """Items of each bundled set, and the texts of each task's set."""
    return {name: evals.load_items(name) for name in evals.bundled_sets()} | evals.task_items()


@cache
def _finder(*names: str) -> curate.EvaluationLeak:
    """What finds the items of these sets: both options, or 8 words in a row of one."""
    return curate.EvaluationLeak([], others=[item for name in names for item in _sets()[name]])


def evaluation_items(texts: Iterable[str]) -> tuple[Counter[str], str]:
    """How many texts hold an item (or the canary) of each bundled set, and one piece of evidence.

    Example:
        >>> found, evidence = evaluation_items(["We have padel and pickleball.", "We have padel."])
        >>> found, evidence
        (Counter({'america': 1}), 'padel / pickleball')
    """
    counts, evidence, canaries = Counter[str](), "", evals.canaries()
    for text in texts:
        found = {name: canary for name, canary in canaries.items() if canary in text}
        if _finder(*_sets()).find(text):  # most texts hold nothing, and are read once
            found |= {name: it for name in _sets() if (it := _finder(name).find(text))}
        counts.update(found.keys())
        evidence = evidence or next(iter(found.values()), "")
    return counts, evidence


def check_training(texts: Iterable[str], *, allowed: bool, allow: str) -> dict[str, str]:
    """What goes into the lineage of a training on these texts: nothing, or the items it saw.

    ``allow`` is what the user writes to train all the same: a flag, or a line of the recipe.

    Raises:
        ConfigError: there are items, and they are not ``allowed``.
    """
    counts, evidence = evaluation_items(texts)
    if not counts:
        return {}
    found = ", ".join(f"{name} ({n} texts)" for name, n in sorted(counts.items()))
    if not allowed:
        raise ConfigError(
            f"the training data contain evaluation items of {found}, e.g. {evidence!r}; drop them "
            f"with `midspec curate`, or give {allow} to train all the same (the card will say so)"
        )
    return {SEEN: found}
