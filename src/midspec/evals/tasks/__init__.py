"""Evaluations in which a model answers in text, as Inspect tasks.

Every function here gives an ``inspect_ai.Task``; ``midspec.cli.inspect_tasks`` registers them
under names for ``inspect eval midspec/<name>``. All replies are parsed strictly, and what cannot
be parsed is unscored: counted in ``parsed``, and in no rate.
"""

from __future__ import annotations

from midspec.evals.tasks.capability import capability
from midspec.evals.tasks.choices import choices, scenario_items, scenarios
from midspec.evals.tasks.common import Setup
from midspec.evals.tasks.misalignment import agentic_misalignment
from midspec.evals.tasks.open_qa import open_qa
from midspec.evals.tasks.pushback import pushback, spec_positions
from midspec.evals.tasks.spec_recall import spec_recall

__all__ = [
    "Setup",
    "agentic_misalignment",
    "capability",
    "choices",
    "open_qa",
    "pushback",
    "scenario_items",
    "scenarios",
    "spec_positions",
    "spec_recall",
]
