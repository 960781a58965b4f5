"""Experiments: a recipe declares arms and seeds, the graph runs, the report says what happened."""

from midspec.experiment.arms import STANDARD_ARMS, Arm, Step, standard_arms
from midspec.experiment.flow import Flow, build_flow
from midspec.experiment.graph import Observer, Stage, execute, in_order
from midspec.experiment.planning import (
    ExperimentPlan,
    StagePlan,
    plan_experiment,
    progress_of,
)
from midspec.experiment.recipe import (
    Comparison,
    Evaluation,
    Recipe,
    bundled_recipes,
    find_recipe,
    make_recipe,
    read_recipe,
)
from midspec.experiment.run import Outcome, rebuild_report, run

__all__ = [
    "STANDARD_ARMS",
    "Arm",
    "Comparison",
    "Evaluation",
    "ExperimentPlan",
    "Flow",
    "Observer",
    "Outcome",
    "Recipe",
    "Stage",
    "StagePlan",
    "Step",
    "build_flow",
    "bundled_recipes",
    "execute",
    "find_recipe",
    "in_order",
    "make_recipe",
    "plan_experiment",
    "progress_of",
    "read_recipe",
    "rebuild_report",
    "run",
    "standard_arms",
]
