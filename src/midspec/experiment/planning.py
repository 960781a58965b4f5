"""What a recipe will do, before it does it: stages, tokens, steps, time, and what it can show."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from midspec.errors import ConfigError
from midspec.experiment.flow import Flow, build_flows
from midspec.experiment.graph import TRAININGS, amount_done, in_order
from midspec.experiment.measuring import load_set
from midspec.experiment.projecting import Projector, StagePlan
from midspec.experiment.rates import Rates, on_gpu
from midspec.experiment.recipe import Recipe
from midspec.experiment.tasks import TASK_NAMES
from midspec.llm import read_prices
from midspec.records import Frozen
from midspec.report import Detectable, minimum_detectable_effect
from midspec.store import Artifact, Store


class ExperimentPlan(Frozen):
    """A whole recipe."""

    name: str
    writer: str
    stages: tuple[StagePlan, ...]
    detectable: tuple[tuple[str, Detectable], ...] = Field(
        description="for each value, the smallest difference of arms that the design can show"
    )
    warnings: tuple[str, ...] = ()
    cost: float | None = Field(
        description="dollars for the calls to do, without prompt caching; None: no known price"
    )
    device: str = Field(description="what default times are for")

    @property
    def todo(self) -> tuple[StagePlan, ...]:
        """Stages that are not done."""
        return tuple(stage for stage in self.stages if stage.state != "done")

    @property
    def seconds(self) -> dict[str, float]:
        """Planned seconds of each stage that is not done, by its key."""
        return {stage.key: stage.seconds for stage in self.todo}

    def total(self, field: str) -> float:
        """Sum of a field over the stages that are not done."""
        return sum(getattr(stage, field) for stage in self.todo)


def plan_experiment(recipe: Recipe, artifacts: Path) -> ExperimentPlan:
    """What ``run`` would do with these artifacts; writes nothing and needs no network.

    Projected amounts come from the recipe, or from artifacts where they are there; times from
    rates measured in ``artifacts``, else from defaults (``rates``).
    """
    flows, store, rates = build_flows(recipe), Store(artifacts), Rates(artifacts)
    made: dict[str, StagePlan] = {}
    for flow in flows:
        projector = Projector(flow, store, rates, made)
        for stage in in_order(flow.goals):
            if stage.key not in made:
                projector.stage(stage)
    stages = tuple(made.values())
    cost = _cost([stage for stage in stages if stage.state != "done"])
    return ExperimentPlan(
        name=recipe.name,
        writer=recipe.writer,
        stages=stages,
        cost=cost,
        detectable=tuple(_detectable(flows[0])),
        warnings=tuple(_warnings(recipe, stages, cost)),
        device="one H200-class GPU" if on_gpu(recipe.base) else "this machine's CPU",
    )


def _cost(stages: Sequence[StagePlan]) -> float | None:
    """Dollars for the calls, each at the price of the model that is called."""
    total, prices = 0.0, read_prices()
    for stage in stages:
        if stage.calls:
            try:
                price = prices.of(stage.asked)
            except ConfigError:
                return None
            total += price.cost(input_tokens=stage.input_tokens, output_tokens=stage.output_tokens)
    return total


def _detectable(flow: Flow) -> list[tuple[str, Detectable]]:
    """The minimum detectable effect for every value that is measured."""
    config, recipe = flow.recipe.evals, flow.recipe
    measured = [label for label in recipe.specs if config.of(label)]
    n_tests = len(recipe.comparisons) or len(measured)
    found = []
    for label in measured:
        sizes = [len(load_set(name)) for name in config.of(label) if name not in TASK_NAMES]
        n = sum(min(size, config.max_items or size) for size in sizes)
        n += sum(flow.task_sizes.get(name, 0) for name in flow.sets[label])
        spec = flow.specs[label]
        effect = minimum_detectable_effect(n, len(recipe.seeds), n_values=n_tests)
        found.append((spec.value or spec.name, effect))
    return found


def _warnings(recipe: Recipe, stages: Sequence[StagePlan], cost: float | None) -> list[str]:
    """What a colleague should hear before the run starts."""
    found: dict[str, Any] = {}
    if not recipe.evals.sets:
        found["nothing is measured: evals names no set; the report will hold trainings only"] = 0
    if len(recipe.seeds) < 3:
        found[f"{len(recipe.seeds)} seed(s): the report will give no verdict below three"] = 0
    if recipe.budget and (cost is None or cost > recipe.budget):
        known = "an unknown sum" if cost is None else f"${cost:,.2f}"
        found[f"the calls may cost {known}, more than the budget of ${recipe.budget:,.2f}"] = 0
    for stage in stages:
        config = recipe.midtrain if stage.kind == "midtrain" else recipe.finetune
        few = stage.kind in TRAININGS and stage.steps < config.min_steps
        if few and not config.force and stage.state != "done":
            text = (
                f"{stage.kind}: {stage.steps} steps, fewer than {config.min_steps}; needs --force"
            )
            found[text] = 0
    return list(found)


def progress_of(plan: StagePlan, artifacts: Path) -> tuple[int, int]:
    """How far a stage that has begun is: steps of a training, replies, answers, else 0."""
    done = amount_done(Artifact(artifacts / plan.kind / plan.key), plan.kind)
    if plan.kind in TRAININGS:
        return done, plan.steps
    return done, plan.records if plan.kind == "answers" else plan.calls or plan.records
