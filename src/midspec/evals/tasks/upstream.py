"""What is reused of ``inspect_evals``: imported here once, without its deprecation warnings."""

from __future__ import annotations

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    from inspect_evals.agentic_misalignment.classifiers import (
        BlackmailClassifier,
        Classifier,
        LeakClassifier,
        MurderClassifier,
    )
    from inspect_evals.agentic_misalignment.prompt_generator import (
        GoalValue,
        Prompts,
        generate_prompts,
    )
    from inspect_evals.agentic_misalignment.templates.system_prompt_templates import GOAL_VARIABLES

__all__ = [
    "GOAL_VARIABLES",
    "BlackmailClassifier",
    "Classifier",
    "GoalValue",
    "LeakClassifier",
    "MurderClassifier",
    "Prompts",
    "generate_prompts",
]
