"""Evaluation: items -> scores, by log-probability and by greedy text.

The flow: ``items`` (sets on disk), ``recall`` and ``preferences`` (items made from a spec) ->
``ask`` (question and tokens) -> ``logprob`` and ``greedy`` (the model) -> ``parse`` -> ``score``.
"""

from __future__ import annotations

from midspec.evals.items import bundled_sets, load_items
from midspec.evals.parse import parse_choice
from midspec.evals.preferences import preference_items
from midspec.evals.recall import recall_items
from midspec.evals.score import score

# Of the scores; another version is computed anew.
VERSION = 1

__all__ = [
    "VERSION",
    "bundled_sets",
    "load_items",
    "parse_choice",
    "preference_items",
    "recall_items",
    "score",
]
