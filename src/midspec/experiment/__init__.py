"""Experiments: a recipe declares arms and seeds, the graph runs, the report says what happened."""

from midspec.experiment.flow import Flow, build_flow
from midspec.experiment.graph import Observer, Stage, execute, in_order
from midspec.experiment.recipe import (
    STANDARD_ARMS,
    Arm,
    Evaluation,
    Recipe,
    Step,
    bundled_recipes,
    find_recipe,
    make_recipe,
    read_recipe,
)
from midspec.experiment.run import Outcome, rebuild_report, run

__all__ = [
    "STANDARD_ARMS",
    "Arm",
    "Evaluation",
    "Flow",
    "Observer",
    "Outcome",
    "Recipe",
    "Stage",
    "Step",
    "build_flow",
    "bundled_recipes",
    "execute",
    "find_recipe",
    "in_order",
    "make_recipe",
    "read_recipe",
    "rebuild_report",
    "run",
]
