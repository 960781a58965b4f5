"""Evaluation: items -> scores, by log-probability and by greedy text; tasks -> answers, by Inspect.

The flow: ``items`` (sets on disk), ``recall``, ``preferences`` and ``facts`` (made from a spec) ->
``ask`` (question and tokens) -> ``logprob`` and ``greedy`` (the model) -> ``parse`` -> ``score``.
``tasks/`` holds what a model answers in text; ``run`` answers either into a journal, ``answers``
makes the table, ``reasons`` says why.
"""

from __future__ import annotations

from midspec.evals.cards import Card, canaries, card, set_hash, task_items
from midspec.evals.items import bundled_sets, load_items, overlaps
from midspec.evals.parse import parse_choice
from midspec.evals.preferences import preference_items
from midspec.evals.recall import lettered, recall_items
from midspec.evals.score import score

# Of the scores; another version is computed anew.
VERSION = 1

__all__ = [
    "VERSION",
    "Card",
    "bundled_sets",
    "canaries",
    "card",
    "lettered",
    "load_items",
    "overlaps",
    "parse_choice",
    "preference_items",
    "recall_items",
    "score",
    "set_hash",
    "task_items",
]
