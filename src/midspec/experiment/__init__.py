"""Experiments: a recipe declares arms and seeds, the graph runs, the report says what happened."""

from midspec.experiment.arms import STANDARD_ARMS, Arm, Step, standard_arms
from midspec.experiment.flow import Flow, build_flow, build_flows
from midspec.experiment.graph import Observer, Stage, execute, in_order
from midspec.experiment.parts import Comparison, Evaluation, Resources
from midspec.experiment.planning import (
    ExperimentPlan,
    StagePlan,
    plan_experiment,
    progress_of,
)
from midspec.experiment.recipe import (
    Recipe,
    bundled_recipes,
    find_recipe,
    make_recipe,
    read_recipe,
)
from midspec.experiment.run import Executor, Outcome, rebuild_report, run

__all__ = [
    "STANDARD_ARMS",
    "Arm",
    "Comparison",
    "Evaluation",
    "Executor",
    "ExperimentPlan",
    "Flow",
    "Observer",
    "Outcome",
    "Recipe",
    "Resources",
    "Stage",
    "StagePlan",
    "Step",
    "build_flow",
    "build_flows",
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
