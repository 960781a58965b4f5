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
from midspec.experiment.flow import Flow
from midspec.experiment.graph import Stage, artifact_of, in_order
from midspec.records import Conversation, Document, Spec
from midspec.report import (
    ArmInfo,
    BaseModelInfo,
    ChatInfo,
    CorpusInfo,
    CurveInfo,
    ReportInput,
    Sample,
    SpecInfo,
)
from midspec.store import Store, read_records

N_SAMPLES = 4  # documents and chats shown in the report, for each spec


def report_input(flow: Flow, store: Store, recipe_yaml: str) -> ReportInput:
    """Everything the page shows: specs, arms, scores, curves, corpus figures, samples."""
    recipe = flow.recipe
    return ReportInput(
        name=recipe.name,
        base=BaseModelInfo(name=recipe.base, n_parameters=bases.n_parameters(recipe.base)),
        writer=recipe.writer,
        model_name=recipe.model_name,
        specs=tuple(_spec_info(label, flow) for label in flow.specs),
        arms=tuple(
            ArmInfo(
                name=arm.name,
                spec=arm.spec,
                msm=arm.spec is not None,
                aft=arm.aft,
            )
            for arm in recipe.arms
        ),
        seeds=recipe.seeds,
        items=(artifact_of(flow.items, store).path / "items.jsonl",),
        scores={
            arm.name: {
                seed: artifact_of(flow.scores[arm.name, seed], store).path / "scores.jsonl"
                for seed in recipe.seeds
            }
            for arm in recipe.arms
        },
        curves=tuple(
            CurveInfo(
                arm=arm,
                stage=stage,  # type: ignore[arg-type]
                seed=seed,
                path=artifact_of(trained, store).path / "curve.jsonl",
            )
            for (arm, seed, stage), trained in flow.training.items()
        ),
        corpora=tuple(_corpus_info(label, flow, store) for label in flow.specs),
        corpus_per_seed=recipe.corpus_per_seed,
        chats=_chat_info(flow, store),
        recipe_yaml=recipe_yaml,
        manifest=_manifest(flow, store),
        command=f"midspec run {recipe.name}",
    )


def _spec_info(label: Any, flow: Flow) -> SpecInfo:
    spec: Spec = flow.specs[label]
    return SpecInfo(
        label=label,
        name=spec.name,
        value=spec.value or spec.name,
        text=spec.text,
        sets=tuple(flow.sets[label]),
    )


def _corpus_info(label: Any, flow: Flow, store: Store) -> CorpusInfo:
    """Figures of the first seed's corpus: kept documents, and what was dropped on the way."""
    curated = flow.corpora[label, flow.recipe.seeds[0]]
    path = artifact_of(curated, store).path / "documents.jsonl"
    measured = corpus.diversity(d.text for d in read_records(path, Document))
    types = Counter(d.type for d in read_records(path, Document))
    samples = islice(
        read_records(path, Document), 0, None, max(1, sum(types.values()) // N_SAMPLES)
    )
    numbers = {k: v for k, v in measured.model_dump().items() if isinstance(v, int | float)}
    return CorpusInfo(
        spec=label,
        n_documents=sum(types.values()),
        n_tokens=int(measured.n_words),
        types=dict(types.most_common()),
        drops=_drops(curated, store),
        diversity=numbers,
        samples=tuple(Sample(type=d.type, text=d.text) for d in islice(samples, N_SAMPLES)),
    )


def _chat_info(flow: Flow, store: Store) -> ChatInfo:
    path = artifact_of(flow.chats, store).path / "chats.jsonl"
    counts = Counter(c.kind for c in read_records(path, Conversation))
    samples = islice(
        read_records(path, Conversation), 0, None, max(1, sum(counts.values()) // (2 * N_SAMPLES))
    )
    return ChatInfo(
        counts=dict(counts),
        drops=_drops(flow.chats, store),
        samples=tuple(
            Sample(
                type=chat.question_type or chat.kind,
                text="\n".join(f"{m.role}: {m.content}" for m in chat.messages),
            )
            for chat in islice(samples, 2 * N_SAMPLES)
        ),
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
    }
