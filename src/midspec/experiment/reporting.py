"""Fill a report's inputs from the artifacts of a finished graph."""

from __future__ import annotations

import os
import platform
from collections import Counter
from importlib.metadata import version
from itertools import islice
from typing import Any

import midspec
from midspec import bases, corpus
from midspec.experiment.arms import AFT, Arm
from midspec.experiment.contamination import SEEN
from midspec.experiment.doses import dose_points
from midspec.experiment.flow import Flow
from midspec.experiment.graph import Stage, artifact_of, in_order
from midspec.experiment.recipe import Recipe
from midspec.records import Conversation, Document
from midspec.report import (
    ArmInfo,
    BaseModelInfo,
    ChatInfo,
    CorpusInfo,
    CurveInfo,
    Question,
    ReportInput,
    Sample,
    SpecInfo,
    TrainingInfo,
)
from midspec.store import Artifact, Store, read_records
from midspec.train import TrainPlan

N_SAMPLES = 4  # documents and chats shown in the report, for each spec


def report_input(flow: Flow, store: Store, recipe_yaml: str) -> ReportInput:
    """Everything the page shows: specs, arms, scores, curves, corpus figures, samples."""
    recipe = flow.recipe
    trainings = tuple(_trainings(flow, store))
    return ReportInput(
        name=recipe.name,
        question=recipe.question,
        questions=tuple(
            Question(name=one.name, value=one.value, arms=one.arms) for one in recipe.comparisons
        ),
        base=BaseModelInfo(name=recipe.base, n_parameters=bases.n_parameters(recipe.base)),
        writer=recipe.writer,
        model_name=recipe.model_name,
        specs=tuple(_spec_info(label, flow) for label in recipe.specs),
        arms=tuple(_arm_info(arm, recipe) for arm in recipe.arms),
        seeds=recipe.seeds,
        items=(artifact_of(flow.items, store).path / "items.jsonl",),
        scores={
            arm.name: {
                seed: artifact_of(flow.scores[arm.name, seed], store).path / "scores.jsonl"
                for seed in recipe.seeds
            }
            for arm in recipe.arms
        },
        curves=tuple(_curves(flow, store)),
        trainings=trainings,
        doses=dose_points(recipe.arms, trainings),
        corpora=tuple(_corpus_info(label, flow, store) for label in _corpora(flow)),
        corpus_per_seed=recipe.corpus_per_seed,
        chats=_chat_info(flow, store),
        recipe_yaml=recipe_yaml,
        manifest=_manifest(flow, store),
        command=f"midspec run {recipe.name}",
    )


def _arm_info(arm: Arm, recipe: Recipe) -> ArmInfo:
    return ArmInfo(
        name=arm.name,
        spec=recipe.spec_of(arm) or arm.prompt or None,
        msm=arm.midtrained,
        aft=arm.aft,
        chats=arm.chats,
        prompted=bool(arm.prompt),
        dosed=any(step.options() for step in arm.steps),
    )


def _spec_info(label: str, flow: Flow) -> SpecInfo:
    spec = flow.specs[label]
    return SpecInfo(
        label=label,
        name=spec.name,
        value=spec.value or spec.name,
        text=spec.text,
        sets=tuple(flow.sets[label]),
        variant_of=_original(label, flow.recipe),
    )


def _original(label: str, recipe: Recipe) -> str:
    """Label of the spec that a derived one ('ablated:NAME') is made of, if it is in the recipe."""
    variant, derived, source = recipe.specs[label].rpartition(":")
    names = {name: other for other, name in recipe.specs.items()}
    return names.get(source, "") if variant and derived else ""


def _curves(flow: Flow, store: Store) -> list[CurveInfo]:
    steps = {arm.name: arm.steps for arm in flow.recipe.arms}
    return [
        CurveInfo(
            arm=arm,
            stage=steps[arm][place].stage,
            seed=seed,
            path=artifact_of(trained, store).path / "curve.jsonl",
        )
        for (arm, seed, place), trained in flow.training.items()
    ]


def _trainings(flow: Flow, store: Store) -> list[TrainingInfo]:
    steps = {arm.name: arm.steps for arm in flow.recipe.arms}
    return [
        _training(arm, seed, steps[arm][place], artifact_of(trained, store))
        for (arm, seed, place), trained in flow.training.items()
    ]


def _training(arm: str, seed: int, step: Any, artifact: Artifact) -> TrainingInfo:
    plan = TrainPlan.model_validate_json((artifact.path / "plan.json").read_text())
    return TrainingInfo(
        arm=arm,
        seed=seed,
        stage=step.stage,
        data=step.chats,
        dose=", ".join(f"{name} {value}" for name, value in step.options().items()),
        steps=plan.steps,
        records=plan.documents,
        tokens=round(plan.tokens * plan.rows_seen / max(1, plan.rows)),
    )


def _corpora(flow: Flow) -> list[str]:
    """What was midtrained on, specs in the recipe's order and neutral documents last."""
    used = dict.fromkeys(label for label, _ in flow.corpora)
    order = [*flow.specs, *flow.recipe.restated]
    return sorted(used, key=order.index)


def _corpus_info(label: str, flow: Flow, store: Store) -> CorpusInfo:
    """Figures of the first seed's corpus: kept documents, and what was dropped on the way."""
    curated = flow.corpora[label, flow.recipe.seeds[0]]
    folder = artifact_of(curated, store).path
    restated = flow.recipe.restated.get(label)
    made = corpus.audit(folder, spec=flow.specs[restated.of if restated else label])
    path, step = folder / "documents.jsonl", max(1, made.n_documents // N_SAMPLES)
    samples = islice(read_records(path, Document), 0, None, step)
    numbers = {k: v for k, v in made.diversity.model_dump().items() if isinstance(v, int | float)}
    return CorpusInfo(
        spec=label,
        n_documents=made.n_documents,
        n_words=made.diversity.n_words,
        types={group.name: group.documents for group in made.types},
        drops=_drops(curated, store),
        diversity=numbers,
        phrases={phrase.text: phrase.share for phrase in made.diversity.phrases},
        n_claims=len(made.coverage),
        uncovered=tuple(one.text for one in made.coverage if not one.documents),
        samples=tuple(Sample(type=d.type, text=d.text) for d in islice(samples, N_SAMPLES)),
    )


def _chat_info(flow: Flow, store: Store) -> ChatInfo:
    """Chats of all sources; the samples say which, where there are several."""
    counts: Counter[str] = Counter()
    drops: Counter[str] = Counter()
    samples: list[Sample] = []
    for data, stage in flow.chats.items():
        path = artifact_of(stage, store).path / "chats.jsonl"
        found = Counter(c.kind for c in read_records(path, Conversation))
        of = "" if data == AFT else f" ({data})"
        counts.update({kind + of: n for kind, n in found.items()})
        drops.update(_drops(stage, store))
        step = max(1, sum(found.values()) * len(flow.chats) // (2 * N_SAMPLES))
        samples += [
            _sample(chat, of) for chat in islice(read_records(path, Conversation), 0, None, step)
        ]
    return ChatInfo(counts=dict(counts), drops=dict(drops), samples=tuple(samples[: 2 * N_SAMPLES]))


def _sample(chat: Conversation, of: str) -> Sample:
    return Sample(
        type=(chat.question_type or chat.kind) + of,
        text="\n".join(f"{m.role}: {m.content}" for m in chat.messages),
    )


def _drops(curated: Stage, store: Store) -> dict[str, int]:
    """Drops by reason, of the curation and of the stages that fed it."""
    total: Counter[str] = Counter()
    for stage in in_order([curated]):
        if stage.kind != "items":
            total.update(artifact_of(stage, store).manifest().get("dropped", {}))
    return dict(total)


def _manifest(flow: Flow, store: Store) -> dict[str, Any]:
    """Versions, keys and times: with the recipe, enough to repeat the run."""
    seconds: Counter[str] = Counter()
    for stage in in_order(flow.goals):
        seconds[stage.kind] += artifact_of(stage, store).manifest()["seconds"]
    return {
        "midspec": midspec.__version__,
        "python": platform.python_version(),
        "torch": version("torch"),
        "transformers": version("transformers"),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "base weights": bases.fingerprint(flow.recipe.base),
        "specs": {label: spec.id for label, spec in flow.specs.items()},
        "seconds by stage": {kind: round(value, 1) for kind, value in seconds.items()},
        **_seen(flow, store),
    }


def _seen(flow: Flow, store: Store) -> dict[str, str]:
    """The evaluation items that a training was allowed to see."""
    made = [artifact_of(trained, store).manifest() for trained in flow.training.values()]
    return (
        {SEEN: "; ".join(found)} if (found := sorted({m[SEEN] for m in made if SEEN in m})) else {}
    )
