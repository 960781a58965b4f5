"""From a recipe to its graph: the only place where the stages meet.

specs -> plan -> documents -> curate -> midtrain -.
preferences ------> chats --> curate ------------> finetune -> scores, answers
evaluation sets --> items (curate drops what mentions them) ------^
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from midspec import bases, chats, curate, train
from midspec.errors import StoreError
from midspec.experiment.arms import AFT, INSTRUCTION, Step
from midspec.experiment.contamination import check_training
from midspec.experiment.files import EVENLY_VERSION, evenly, evenly_of
from midspec.experiment.graph import Stage, in_order
from midspec.experiment.measuring import Measures, checkpoint_of
from midspec.experiment.reasoning import reasons_of
from midspec.experiment.recipe import Recipe
from midspec.experiment.sources import Sources
from midspec.experiment.specs import read_specs
from midspec.progress import Progress
from midspec.records import Conversation, Document, Spec, digest
from midspec.store import Artifact, read_records
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
        task_sizes: items that tasks ask about, by the name of their set.
        reasons: patterns of reasoning in all arms' answers, if the recipe asks for them.
    """

    recipe: Recipe
    specs: Mapping[str, Spec]
    items: Stage
    corpora: Mapping[tuple[str, int], Stage]
    chats: Mapping[str, Stage]
    scores: Mapping[tuple[str, int], Stage]
    training: Mapping[tuple[str, int, int], Stage]
    sets: Mapping[str, tuple[str, ...]]
    task_sizes: Mapping[str, int]
    reasons: Stage | None = None

    @property
    def goals(self) -> list[Stage]:
        """What has to be done for the report."""
        made = [self.items, *self.scores.values(), *self.chats.values(), *self.corpora.values()]
        return [*made, self.reasons] if self.reasons else made


# What the instruction control keeps: chats that show no preference, value or rule.
PLAIN_CHATS = ("identity", "instruction")


def build_flows(recipe: Recipe) -> list[Flow]:
    """A graph for each base model of a recipe; stages that do not need the base are shared."""
    return [build_flow(one) for one in recipe.each()]


def find_stage(flows: Iterable[Flow], key: str) -> Stage:
    """The stage of a key.

    Raises:
        StoreError: no graph has it, as when two machines have different code.
    """
    stages = in_order(goal for flow in flows for goal in flow.goals)
    if found := next((stage for stage in stages if stage.key == key), None):
        return found
    raise StoreError(
        f"no stage has the key {key!r} here; install the same midspec, specs and bases on all nodes"
    )


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
        self.measures = Measures(recipe, self.specs, self.system)
        self.sources = Sources(recipe, self.specs, self.measures.listed, self.measures.held_out)

    def flow(self) -> Flow:
        recipe = self.recipe
        scores, training = {}, {}
        for arm in recipe.arms:
            for seed in recipe.seeds:
                trained = None
                for place, step in enumerate(arm.steps):
                    trained = self._train(step, trained, seed)
                    training[arm.name, seed, place] = trained
                scores[arm.name, seed] = self.measures.measure(arm, trained)
        steps = [step for arm in recipe.arms for step in arm.steps]
        labels = dict.fromkeys(s.data for s in steps if s.stage == "midtrain")
        tuned = dict.fromkeys(
            data
            for step in steps
            if step.stage == "finetune"
            for data in (self._chats_of(step), step.opposed_chats)
            if data
        )
        return Flow(
            recipe=recipe,
            specs=self.specs,
            items=self.measures.items,
            corpora={(n, s): self.sources.documents(n, s) for n in labels for s in recipe.seeds},
            chats={data: self.sources.chats(data) for data in tuned},
            scores=scores,
            training=training,
            sets=self.measures.sets,
            task_sizes=Counter(i.set for found in self.measures.asked.values() for i in found),
            reasons=reasons_of(self.measures.reasoned, recipe.evals.judge)
            if recipe.evals.reasons
            else None,
        )

    # -- training ------------------------------------------------------------

    def _train(self, step: Step, start: Stage | None, seed: int) -> Stage:
        config, data = self._config(step), self._data(step, seed)
        names, is_given = self._names(step, data[0]), self._is_given(step)

        def work(out: Artifact, inputs: tuple[Artifact, ...], progress: Progress) -> dict[str, Any]:
            begin = checkpoint_of(self.recipe, inputs[-1] if start else None)
            seen = self._seen(inputs, step) if is_given else {}
            if step.stage == "midtrain":
                made, stage = _texts(inputs[0], step.rows), train.midtrain
            else:
                made, stage = self._finetuning_rows(inputs, step), train.finetune
            stage(begin, made, config, out.path, seed=seed, progress=progress, names=names | seen)
            return {"base": self.recipe.base, **seen}

        after = f" after {start.label}" if start else ""
        dose = "".join(f", {name} {value}" for name, value in step.options().items())
        return Stage(
            kind=step.stage,
            label=f"{step.stage} {step.chats}{dose}, seed {seed}{after}",
            version=train.VERSION,
            config={
                **self.measures.base,
                **config.model_dump(exclude=set(config.cosmetic)),
                "data": step.data,
                "instructions": self._instructions_digest(),
                "seed": seed,
                **({"rows": step.rows} if step.rows else {}),
                **({"opposed": step.opposed, "share": step.share} if step.share else {}),
                **({"evenly": EVENLY_VERSION} if step.rows or step.share else {}),
                **({"allow_items": True} if is_given and self.recipe.allow_items else {}),
            },
            work=work,
            inputs=(*data, start) if start else data,
        )

    def _data(self, step: Step, seed: int) -> tuple[Stage, ...]:
        """What a step trains on: documents, or chats and, if some are opposed, those."""
        if step.stage == "midtrain":
            return (self.sources.documents(step.data, seed),)
        own = self.sources.chats(self._chats_of(step))
        return (own, self.sources.chats(step.opposed_chats)) if step.share else (own,)

    def _is_given(self, step: Step) -> bool:
        """Whether a step trains on a file of the user's: what is written here leaks no item."""
        recipe, label = self.recipe, step.data
        if step.stage == "midtrain":
            of = recipe.restated[label].of if label in recipe.restated else label
            return of in recipe.corpora
        used = {self._chats_of(step), step.opposed}
        return bool(recipe.instructions or used & set(recipe.chat_files))

    def _seen(self, inputs: tuple[Artifact, ...], step: Step) -> dict[str, str]:
        """The evaluation items in what a step trains on; an error unless the recipe allows them."""
        texts = (
            _texts(inputs[0], step.rows)
            if step.stage == "midtrain"
            else map(curate.text_of, self._finetuning_rows(inputs, step))
        )
        return check_training(
            texts, allowed=self.recipe.allow_items, allow="allow_items: true in the recipe"
        )

    def _names(self, step: Step, data: Stage) -> dict[str, str]:
        """What the model card says of the data."""
        spec = self.specs.get(step.label or "")
        names = {"recipe": self.recipe.name, "corpus": f"{data.kind}/{data.key}"}
        return names | ({"spec": f"{spec.name} {spec.id}"} if spec else {})

    def _chats_of(self, step: Step) -> str:
        """Whose chats a fine-tuning takes; the instruction control, the first that an arm takes."""
        if step.data != INSTRUCTION:
            return step.chats
        used = [arm.chats for arm in self.recipe.arms if arm.aft]
        return AFT if AFT in used or not used else used[0]

    def _config(self, step: Step) -> TrainConfig:
        config = self.recipe.midtrain if step.stage == "midtrain" else self.recipe.finetune
        update: dict[str, Any] = {"system": self.system}
        if step.steps:
            update["max_steps"] = step.steps
        return config.model_copy(update=update)

    def _finetuning_rows(self, inputs: tuple[Artifact, ...], step: Step) -> list[Conversation]:
        """AFT rows: all chats and the instruction mix; the instruction control: no preferences."""
        written = list(read_records(inputs[0].path / "chats.jsonl", Conversation))
        aft = [c for c in written if c.kind not in PLAIN_CHATS]
        n = 0 if step.data == INSTRUCTION else step.rows or len(aft)
        n_opposed = round(n * step.share)
        chosen = {c.id for c in evenly(aft, n - n_opposed)} if n > n_opposed else set()
        kept = [c for c in written if c.kind in PLAIN_CHATS or c.id in chosen]
        if n_opposed:
            against = read_records(inputs[1].path / "chats.jsonl", Conversation)
            kept += evenly([c for c in against if c.kind not in PLAIN_CHATS], n_opposed)
        if self.recipe.instructions:
            return kept + list(chats.read_chats(Path(self.recipe.instructions)))
        return kept + chats.instruction_chats(
            self.language, self.recipe.model_name, self.recipe.provider_name
        )

    def _instructions_digest(self) -> str:
        path = self.recipe.instructions
        return digest(Path(path).read_text()) if path else self.language


def _texts(source: Artifact, n: int) -> Iterator[str]:
    path = source.path / "documents.jsonl"
    for document in evenly_of(path, read_records(path, Document), n):
        yield document.text
