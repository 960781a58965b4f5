"""Run a recipe: do what is missing in its graph, then write the report."""

from __future__ import annotations

import platform
from collections import Counter
from itertools import islice
from pathlib import Path
from typing import Any

import torch
import transformers
import yaml
from filelock import FileLock, Timeout

import midspec
from midspec import bases, corpus
from midspec.errors import StoreError
from midspec.experiment.flow import Flow, build_flow
from midspec.experiment.graph import Observer, Stage, artifact_of, execute, in_order
from midspec.experiment.recipe import Recipe
from midspec.records import Conversation, Document, Frozen, Spec
from midspec.report import (
    Analysis,
    ArmInfo,
    BaseModelInfo,
    ChatInfo,
    CorpusInfo,
    CurveInfo,
    ReportInput,
    Sample,
    SpecInfo,
    read_inputs,
    write_report,
)
from midspec.store import Store, read_records, write_atomic

N_SAMPLES = 4  # documents and chats shown in the report, for each spec


class Outcome(Frozen):
    """What a run ends with: the page, and its verdict in plain English."""

    page: Path
    verdict: str


def run(recipe: Recipe, artifacts: Path, out: Path, observer: Observer) -> Outcome:
    """Do every stage of the recipe that is not done, then write ``out/<name>/index.html``.

    Killed at any moment, the same call goes on where it was. Two runs at once may not share
    an artifacts folder: the second raises StoreError.
    """
    store = Store(artifacts)
    artifacts.mkdir(parents=True, exist_ok=True)
    lock = FileLock(artifacts / "lock")
    try:
        with lock.acquire(timeout=0):
            flow = build_flow(recipe)
            execute(flow.goals, store, observer)
            return _report(flow, store, out / recipe.name)
    except Timeout as error:
        raise StoreError(
            f"{artifacts} is in use by another run; wait for it, or give another --artifacts"
        ) from error


def rebuild_report(folder: Path) -> Outcome:
    """Write a run's report again from its ``inputs.json``."""
    return _outcome(write_report(read_inputs(folder), folder))


def _report(flow: Flow, store: Store, folder: Path) -> Outcome:
    recipe_yaml = yaml.safe_dump(flow.recipe.model_dump(mode="json"), sort_keys=False)
    write_atomic(folder / "recipe.yaml", recipe_yaml)
    inputs = _report_input(flow, store, recipe_yaml)
    page = write_report(inputs, folder)
    write_atomic(folder / "artifacts.txt", _artifact_list(flow, store))
    return _outcome(page)


def _outcome(page: Path) -> Outcome:
    analysis = Analysis.model_validate_json((page.parent / "analysis.json").read_text())
    return Outcome(page=page, verdict=analysis.verdict)


def _artifact_list(flow: Flow, store: Store) -> str:
    lines = [f"{artifact_of(s, store).path}\t{s.label}" for s in in_order(flow.goals)]
    return "\n".join(lines) + "\n"


def _report_input(flow: Flow, store: Store, recipe_yaml: str) -> ReportInput:
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
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "machine": platform.machine(),
        "threads": torch.get_num_threads(),
        "base weights": bases.fingerprint(flow.recipe.base),
        "specs": {label: spec.id for label, spec in flow.specs.items()},
        "seconds by stage": {kind: round(value, 1) for kind, value in seconds.items()},
    }
