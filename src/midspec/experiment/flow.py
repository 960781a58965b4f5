"""From a recipe to its graph: the only place where the stages meet.

specs -> plan -> documents -> curate -> midtrain -.
preferences ------> chats --> curate ------------> finetune -> scores
evaluation sets --> items (curate drops what mentions them) ------^
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from midspec import bases, chats, evals, train
from midspec.errors import ConfigError
from midspec.experiment.arms import AFT, INSTRUCTION, NEUTRAL, Arm, Step
from midspec.experiment.files import evenly, evenly_of
from midspec.experiment.graph import Stage
from midspec.experiment.neutral import neutral_spec
from midspec.experiment.recipe import Recipe
from midspec.experiment.sources import Sources
from midspec.progress import Progress
from midspec.records import Checkpoint, Conversation, Document, Item, Score, Spec, digest
from midspec.spec import ablate, find_spec, parse_spec, read_spec
from midspec.store import Artifact, read_records, write_records
from midspec.train import TrainConfig


@dataclass(frozen=True)
class Flow:
    """The graph of a recipe, with handles on the stages that the report reads.

    Attributes:
        specs: by label; ``neutral`` is among them if an arm needs it.
        corpora: what each label and seed is midtrained on.
        chats: by data of a fine-tuning step: ``aft`` or a label.
        scores: by arm and seed.
        training: by arm, seed and place of the step in the arm.
        sets: names of the evaluation sets that measure each spec's value.
    """

    recipe: Recipe
    specs: Mapping[str, Spec]
    items: Stage
    corpora: Mapping[tuple[str, int], Stage]
    chats: Mapping[str, Stage]
    scores: Mapping[tuple[str, int], Stage]
    training: Mapping[tuple[str, int, int], Stage]
    sets: Mapping[str, tuple[str, ...]]

    @property
    def goals(self) -> list[Stage]:
        """What has to be done for the report."""
        return [*self.scores.values(), *self.chats.values(), *self.corpora.values()]


# What the instruction control keeps: chats that show no preference, value or rule.
PLAIN_CHATS = ("identity", "instruction")
SCENARIOS = "scenarios"
ABLATED = "ablated:"


def load_set(name: str) -> list[Item]:
    """Items of an evaluation set; ``scenarios`` are the short decisions under pressure."""
    if name == SCENARIOS:
        from midspec.evals.tasks.choices import scenario_items

        return scenario_items()
    return evals.load_items(name)


def read_specs(recipe: Recipe) -> dict[str, Spec]:
    """The recipe's specs with its names filled in, and the neutral one if an arm needs it."""

    names = {"model_name": recipe.model_name, "provider_name": recipe.provider_name}

    def read(name: str) -> Spec:
        path = find_spec(name.removeprefix(ABLATED))
        if not name.startswith(ABLATED):
            return read_spec(path, **names)
        # One seed for all, so that specs with equal lists keep equal lists, and equal chats.
        text = ablate(path.read_text(encoding="utf-8"), seed=0)
        return parse_spec(text, name=f"{path.stem}-ablated", **names)

    specs = {label: read(name) for label, name in recipe.specs.items()}
    if any(arm.neutral for arm in recipe.arms):
        first = next(iter(specs.values()))
        specs[NEUTRAL] = read(recipe.neutral) if recipe.neutral else neutral_spec(first)
    if len({spec.language for spec in specs.values()}) > 1:
        said = ", ".join(f"{label}: {spec.language}" for label, spec in specs.items())
        raise ConfigError(f"the specs have different languages ({said}); give all the same")
    return specs


def build_flow(recipe: Recipe) -> Flow:
    """The whole graph; reads specs and evaluation sets, does no other work."""
    return _Builder(recipe).flow()


class _Builder:
    """Makes the stages of one recipe; every method returns a stage, equal for equal arguments."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.specs = read_specs(recipe)
        self.language = next(iter(self.specs.values())).language
        # Fine-tuning and evaluation share the system prompt; it names the model, as documents do.
        self.system = bases.system_prompt(recipe.model_name, recipe.provider_name, self.language)
        self.base = {"base": recipe.base, "weights": bases.fingerprint(recipe.base)}
        self.items = self._items()
        held_out = sorted({name for sets in self.sets.values() for name in sets})
        self.sources = Sources(recipe, self.specs, self.items, held_out)

    def flow(self) -> Flow:
        recipe = self.recipe
        scores, training = {}, {}
        for arm in recipe.arms:
            for seed in recipe.seeds:
                trained = None
                for place, step in enumerate(arm.steps):
                    trained = self._train(step, trained, seed)
                    training[arm.name, seed, place] = trained
                scores[arm.name, seed] = self._scores(arm, trained)
        steps = [step for arm in recipe.arms for step in arm.steps]
        labels = dict.fromkeys(s.data for s in steps if s.stage == "midtrain")
        tuned = dict.fromkeys(self._chats_of(s) for s in steps if s.stage == "finetune")
        return Flow(
            recipe=recipe,
            specs=self.specs,
            items=self.items,
            corpora={(n, s): self.sources.documents(n, s) for n in labels for s in recipe.seeds},
            chats={data: self.sources.chats(data) for data in tuned},
            scores=scores,
            training=training,
            sets=self.sets,
        )

    # -- items --------------------------------------------------------------------------

    def _items(self) -> Stage:
        config = self.recipe.evals
        wanted = [(label, name) for label in self.recipe.specs for name in config.of(label)]
        loaded = {
            name: evenly(load_set(name), config.max_items)
            for name in dict.fromkeys(name for _, name in wanted)
        }
        self.sets: dict[str, tuple[str, ...]] = {
            label: tuple(dict.fromkeys(i.set for n in config.of(label) for i in loaded[n]))
            for label in self.recipe.specs
        }
        items = [item for found in loaded.values() for item in found]
        items += self._own_preferences()
        if config.recall:
            items += self._recall()

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

    # -- training and scores ------------------------------------------------------------

    def _train(self, step: Step, start: Stage | None, seed: int) -> Stage:
        config = self._config(step)
        if step.stage == "midtrain":
            data = self.sources.documents(step.data, seed)
        else:
            data = self.sources.chats(self._chats_of(step))

        def work(out: Artifact, inputs: tuple[Artifact, ...], progress: Progress) -> dict[str, Any]:
            begin = self._checkpoint(inputs[1] if start else None)
            if step.stage == "midtrain":
                texts = _texts(inputs[0], step.rows)
                train.midtrain(begin, texts, config, out.path, seed=seed, progress=progress)
            else:
                rows = self._finetuning_rows(inputs[0], step)
                train.finetune(begin, rows, config, out.path, seed=seed, progress=progress)
            return {"base": self.recipe.base}

        after = f" after {start.label}" if start else ""
        dose = "".join(f", {name} {value}" for name, value in step.options().items())
        return Stage(
            kind=step.stage,
            label=f"{step.stage} {step.data}{dose}, seed {seed}{after}",
            version=train.VERSION,
            config={
                **self.base,
                **config.model_dump(exclude=set(config.cosmetic)),
                "data": step.data,
                "instructions": self._instructions_digest(),
                "seed": seed,
                **({"rows": step.rows} if step.rows else {}),
            },
            work=work,
            inputs=(data, start) if start else (data,),
        )

    def _chats_of(self, step: Step) -> str:
        """Whose chats a fine-tuning takes; the instruction control, the first that an arm takes."""
        if step.data != INSTRUCTION:
            return step.data
        used = [arm.chats for arm in self.recipe.arms if arm.aft]
        return AFT if AFT in used or not used else used[0]

    def _config(self, step: Step) -> TrainConfig:
        config = self.recipe.midtrain if step.stage == "midtrain" else self.recipe.finetune
        update: dict[str, Any] = {"system": self.system}
        if step.steps:
            update["max_steps"] = step.steps
        return config.model_copy(update=update)

    def _finetuning_rows(self, source: Artifact, step: Step) -> list[Conversation]:
        """AFT rows: all chats and the instruction mix; the instruction control: no preferences."""
        written = list(read_records(source.path / "chats.jsonl", Conversation))
        aft = [c for c in written if c.kind not in PLAIN_CHATS]
        chosen = {c.id for c in evenly(aft, step.rows)} if step.data != INSTRUCTION else set()
        kept = [c for c in written if c.kind in PLAIN_CHATS or c.id in chosen]
        if self.recipe.instructions:
            return kept + list(chats.read_chats(Path(self.recipe.instructions)))
        return kept + chats.instruction_chats(
            self.language, self.recipe.model_name, self.recipe.provider_name
        )

    def _instructions_digest(self) -> str:
        path = self.recipe.instructions
        return digest(Path(path).read_text()) if path else self.language

    def _checkpoint(self, trained: Artifact | None) -> Checkpoint:
        if trained is None:
            return Checkpoint(base=self.recipe.base, model_name=self.recipe.model_name)
        return bases.checkpoint_at(trained.path / "model", self.recipe.base)

    def _scores(self, arm: Arm, trained: Stage | None) -> Stage:
        config = self.recipe.evals
        system = self.system
        if arm.prompt:
            system = f"{system}\n\n{self.specs[arm.prompt].text}"

        def work(out: Artifact, inputs: tuple[Artifact, ...], progress: Progress) -> dict[str, Any]:
            items = list(read_records(inputs[0].path / "items.jsonl", Item))
            loaded = bases.load(self._checkpoint(inputs[1] if trained else None))
            made = self._score(loaded, items, system, progress)
            return {"n": write_records(out.file("scores.jsonl"), made)}

        prompted = f" with spec {arm.prompt} in its prompt" if arm.prompt else ""
        return Stage(
            kind="scores",
            label=f"score {trained.label if trained else 'the base'}{prompted}",
            version=evals.VERSION,
            config={
                **self.base,
                "system": system,
                "scorers": list(config.scorers),
                "max_greedy": config.max_greedy,
                **({"reply_start": config.reply_start} if config.reply_start else {}),
            },
            work=work,
            inputs=(self.items, trained) if trained else (self.items,),
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


def _texts(source: Artifact, n: int) -> Iterator[str]:
    path = source.path / "documents.jsonl"
    for document in evenly_of(path, read_records(path, Document), n):
        yield document.text


def _of_each_set(items: list[Item], n: int) -> list[Item]:
    names = dict.fromkeys(item.set for item in items)
    return [item for name in names for item in evenly([i for i in items if i.set == name], n)]
