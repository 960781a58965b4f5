"""Stages that measure: items and tasks are collected once, and every arm is scored on them.

items -> scores (by log-probability and by greedy text) -.
task  -> answers (a journal, by Inspect) ----------------+-> join -> report
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from midspec import bases, evals
from midspec.evals.answers import Answer
from midspec.experiment.arms import Arm
from midspec.experiment.files import EVENLY_VERSION, evenly
from midspec.experiment.graph import Stage
from midspec.experiment.parts import REASONED_TASK
from midspec.experiment.recipe import Recipe
from midspec.experiment.tasks import (
    TASK_NAMES,
    TaskName,
    about_spec,
    answer,
    open_task,
    scores_of,
    task_items,
)
from midspec.progress import Progress
from midspec.records import Checkpoint, Item, Score, Spec
from midspec.store import Artifact, read_records, write_records

if TYPE_CHECKING:
    from inspect_ai import Task

SCENARIOS = "scenarios"
ANSWERS_VERSION = 1  # of the stage; the tasks have their own


def load_set(name: str) -> list[Item]:
    """Items of an evaluation set; ``scenarios`` are the short decisions under pressure."""
    if name == SCENARIOS:
        from midspec.evals.tasks.choices import scenario_items

        return scenario_items()
    return evals.load_items(name)


class Measures:
    """What one recipe measures.

    Attributes:
        listed: the stage that writes down the items that are scored.
        items: the same with what tasks ask.
        sets: names of the evaluation sets that measure each spec's value.
        held_out: names of the sets of which nothing may be trained on.
        asked: tasks by the spec that they ask about ('' for any), with their items.
        reasoned: by arm, the answers in which patterns of reasoning are looked for.
    """

    def __init__(self, recipe: Recipe, specs: Mapping[str, Spec], system: str) -> None:
        self.recipe, self.specs, self.system = recipe, specs, system
        self.base = {"base": recipe.base, "weights": bases.fingerprint(recipe.base)}
        self._tasks: dict[tuple[str, TaskName, str], Task] = {}
        self.reasoned: dict[str, list[Stage]] = {}
        self.asked: dict[tuple[str, TaskName], list[Item]] = {
            (label, name): task_items(name, self._task(label, name), _set_name(label, name))
            for label, name in recipe.evals.tasks()
        }
        listed = self._items()
        by_task = [item for found in self.asked.values() for item in found]
        # Trainings and scores do not depend on what tasks ask, so a new task redoes none of them.
        self.listed = _collect(listed)
        self.items = _collect(listed + by_task) if by_task else self.listed
        named = {name for names in self.sets.values() for name in names}
        self.held_out = sorted(named | {item.set for one in self._others() for item in one})

    def _task(self, label: str, name: TaskName, in_context: str = "") -> Task:
        """A task, made once: all arms and seeds are asked the same."""
        key = label, name, in_context
        if key not in self._tasks:
            self._tasks[key] = self._make_task(label, name, in_context)
        return self._tasks[key]

    def _make_task(self, label: str, name: TaskName, in_context: str) -> Task:
        config = self.recipe.evals
        spec = self.specs[label or next(iter(self.recipe.specs))]
        others = [self.specs[other] for other in self.recipe.specs if other != label]
        return open_task(
            name,
            spec,
            others,
            standard=spec.text if label else "",
            in_context=in_context,
            judge=config.judge,
            epochs=config.epochs,
            max_items=config.max_items,
        )

    def _others(self) -> Iterator[list[Item]]:
        """Items of the sets that show no spec's value."""
        for name in self.recipe.evals.also:
            if name not in TASK_NAMES:
                yield list(evenly(load_set(name), self.recipe.evals.max_items))

    def _sets_of(self, label: str, loaded: Mapping[str, list[Item]]) -> Iterator[str]:
        for name in self.recipe.evals.of(label):
            if name in loaded:
                yield from (item.set for item in loaded[name])
            else:
                yield _set_name(label if about_spec(name) else "", name)

    # -- items --------------------------------------------------------------------------

    def _items(self) -> list[Item]:
        config = self.recipe.evals
        wanted = [(label, name) for label in self.recipe.specs for name in config.of(label)]
        loaded = {
            name: list(evenly(load_set(name), config.max_items))
            for name in dict.fromkeys(name for _, name in wanted)
            if name not in TASK_NAMES
        }
        self.sets: dict[str, tuple[str, ...]] = {
            label: tuple(dict.fromkeys(self._sets_of(label, loaded))) for label in self.recipe.specs
        }
        items = [item for found in (*loaded.values(), *self._others()) for item in found]
        items += self._own_preferences()
        if config.recall:
            items += self._recall()
        return items

    def _own_preferences(self) -> Iterator[Item]:
        """What the specs list, each different list once; a second list is a set of its own."""
        seen: set[frozenset[tuple[str, str]]] = set()
        for label in self.recipe.specs:
            spec = self.specs[label]
            listed = frozenset((p.item, p.direction) for p in spec.preferences)
            if listed in seen:
                continue
            for item in evals.preference_items(spec):
                name = f"{item.set}-{label}" if seen else item.set
                yield Item.model_validate({**item.model_dump(exclude={"id"}), "set": name})
            seen.add(listed)

    def _recall(self) -> Iterator[Item]:
        """Why the assistant likes what it likes, once for every spec's reasons."""
        found: dict[str, Item] = {}
        for label in self.recipe.specs:
            others = [self.specs[other] for other in self.recipe.specs if other != label]
            for item in evals.recall_items(self.specs[label], others):
                found.setdefault(item.id, item)
        yield from found.values()

    # -- scores and answers ---------------------------------------------------------------

    def measure(self, arm: Arm, trained: Stage | None) -> Stage:
        """All scores of an arm and seed, ``scores.jsonl``."""
        scored = self._scores(arm, trained)
        answered = [self._answers(arm, trained, label, name) for label, name in self.asked]
        for (_, name), stage in zip(self.asked, answered, strict=True):
            if name == REASONED_TASK:
                self.reasoned.setdefault(arm.name, []).append(stage)
        if not answered:
            return scored

        def work(out: Artifact, inputs: tuple[Artifact, ...], progress: Progress) -> dict[str, Any]:
            def joined() -> Iterator[Score]:
                yield from read_records(inputs[0].path / "scores.jsonl", Score)
                for source, ((_, name), items) in zip(inputs[1:], self.asked.items(), strict=True):
                    given = read_records(source.path / "answers.jsonl", Answer)
                    yield from scores_of(name, given, items)

            progress(1, 1)
            return {"n": write_records(out.file("scores.jsonl"), joined())}

        return Stage(
            kind="join",
            label=f"join scores and answers of {self._who(arm, trained)}",
            version=2,
            config={"items": [item.id for found in self.asked.values() for item in found]},
            work=work,
            inputs=(scored, *answered),
        )

    def _who(self, arm: Arm, trained: Stage | None) -> str:
        prompted = f" with spec {arm.prompt} in its prompt" if arm.prompt else ""
        return f"{trained.label if trained else 'the base'}{prompted}"

    def _answers(self, arm: Arm, trained: Stage | None, label: str, name: TaskName) -> Stage:
        config = self.recipe.evals
        in_context = self.specs[arm.prompt].text if arm.prompt else ""
        task = self._task(label, name, in_context)
        settings = {"judge": config.judge, "temperature": config.temperature}

        def work(out: Artifact, inputs: tuple[Artifact, ...], progress: Progress) -> dict[str, Any]:
            checkpoint = checkpoint_of(self.recipe, inputs[0] if trained else None)
            journal = out.file("answers.jsonl")
            made = answer(
                task, checkpoint, journal, model_id=out.key, progress=progress, **settings
            )
            return {"n": made}

        of = f" of spec {label}" if label else ""
        return Stage(
            kind="answers",
            label=f"answer {name}{of}: {self._who(arm, trained)}",
            version=ANSWERS_VERSION,
            config={
                **self.base,
                **settings,
                "task": name,
                "set": (task.metadata or {}).get("set_hash", ""),
                "samples": [str(sample.id) for sample in task.dataset],
                "epochs": config.epochs,
                "spec": self.specs[label].id if label else "",
                "who": [self.recipe.model_name, self.recipe.provider_name, in_context],
            },
            work=work,
            inputs=(trained,) if trained else (),
        )

    def _scores(self, arm: Arm, trained: Stage | None) -> Stage:
        config = self.recipe.evals
        system = self.system
        if arm.prompt:
            system = f"{system}\n\n{self.specs[arm.prompt].text}"

        def work(out: Artifact, inputs: tuple[Artifact, ...], progress: Progress) -> dict[str, Any]:
            items = list(read_records(inputs[0].path / "items.jsonl", Item))
            loaded = bases.load(checkpoint_of(self.recipe, inputs[1] if trained else None))
            made = self._score(loaded, items, system, progress)
            return {"n": write_records(out.file("scores.jsonl"), made)}

        return Stage(
            kind="scores",
            label=f"score {self._who(arm, trained)}",
            version=evals.VERSION,
            config={
                **self.base,
                "system": system,
                "scorers": list(config.scorers),
                "max_greedy": config.max_greedy,
                **({"evenly": EVENLY_VERSION} if config.max_greedy else {}),
                **({"reply_start": config.reply_start} if config.reply_start else {}),
            },
            work=work,
            inputs=(self.listed, trained) if trained else (self.listed,),
        )

    def _score(
        self, loaded: bases.Loaded, items: list[Item], system: str, progress: Progress
    ) -> Iterator[Score]:
        """Scores by each scorer; text costs most, so it may be asked of fewer items."""
        config = self.recipe.evals
        for scorer in config.scorers:
            asked = items if scorer == "logprob" else _of_each_set(items, config.max_greedy)
            yield from evals.score(
                loaded,
                asked,
                system=system,
                scorers=(scorer,),
                reply_start=config.reply_start,
                progress=progress,
            )


def _collect(items: list[Item]) -> Stage:
    def work(out: Artifact, _: tuple[Artifact, ...], progress: Progress) -> dict[str, Any]:
        write_records(out.file("items.jsonl"), items)
        progress(1, 1)
        return {"sets": dict(Counter(item.set for item in items))}

    return Stage(
        kind="items",
        label="collect evaluation items",
        version=1,
        config={"items": [item.id for item in items]},
        work=work,
    )


def checkpoint_of(recipe: Recipe, trained: Artifact | None) -> Checkpoint:
    """What a training left, or the base itself."""
    if trained is None:
        return Checkpoint(base=recipe.base, model_name=recipe.model_name)
    return bases.checkpoint_at(trained.path / "model", recipe.base)


def _set_name(label: str, name: str) -> str:
    return f"{name}-{label}" if label else name


def _of_each_set(items: list[Item], n: int) -> list[Item]:
    names = dict.fromkeys(item.set for item in items)
    return [item for name in names for item in evenly([i for i in items if i.set == name], n)]
