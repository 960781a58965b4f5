"""Evaluation: items -> scores, by log-probability and by greedy text."""

from __future__ import annotations

from midspec.evals.items import bundled_sets, load_items
from midspec.evals.parse import parse_choice
from midspec.evals.recall import recall_items
from midspec.evals.score import Scorable, score

__all__ = ["Scorable", "bundled_sets", "load_items", "parse_choice", "recall_items", "score"]
