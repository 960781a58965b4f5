"""From a recipe to its graph: the only place where the stages meet.

spec A, spec B -> plan -> documents -> curate -> midtrain -.
preferences of both ----> chats -----> curate ------------> finetune -> scores
evaluation sets --------> items (curate drops what mentions them) ------^
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from midspec import bases, chats, corpus, curate, evals, train
from midspec.errors import ConfigError
from midspec.experiment.graph import Stage
from midspec.experiment.recipe import Recipe, SpecLabel, Step
from midspec.llm import Writer, open_writer, prompt_hash
from midspec.progress import Progress
from midspec.records import (
    Checkpoint,
    Conversation,
    Document,
    Drop,
    Frozen,
    Item,
    Plan,
    Score,
    Spec,
    digest,
)
from midspec.spec import find_spec, read_spec
from midspec.store import Artifact, read_records, write_records

R = TypeVar("R", bound=Frozen)


@dataclass(frozen=True)
class Flow:
    """The graph of a recipe, with handles on the stages that the report reads."""

    recipe: Recipe
    specs: Mapping[SpecLabel, Spec]
    items: Stage
    corpora: Mapping[tuple[SpecLabel, int], Stage]
    chats: Stage
    scores: Mapping[tuple[str, int], Stage]
    training: Mapping[tuple[str, int, str], Stage]
    sets: Mapping[SpecLabel, tuple[str, ...]]

    @property
    def goals(self) -> list[Stage]:
        """What has to be done for the report."""
        return [*self.scores.values(), self.chats, *self.corpora.values()]


def read_specs(recipe: Recipe) -> dict[SpecLabel, Spec]:
    """The recipe's two specs, with the recipe's names filled in."""
    specs: dict[SpecLabel, Spec] = {}
    for label, name in recipe.specs.items():
        specs[label] = read_spec(
            find_spec(name), model_name=recipe.model_name, provider_name=recipe.provider_name
        )
    if len({spec.language for spec in specs.values()}) > 1:
        raise ConfigError("the two specs have different languages; give both the same")
    return specs


def build_flow(recipe: Recipe) -> Flow:
    """The whole graph; reads specs and evaluation sets, does no other work."""
    return _Builder(recipe).flow()


class _Builder:
    """Makes the stages of one recipe; every method returns a stage, equal for equal arguments."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.specs = read_specs(recipe)
        self.language = self.specs["A"].language
        # Fine-tuning and evaluation share the system prompt; it names the model, as documents do.
        self.system = bases.system_prompt(recipe.model_name, recipe.provider_name, self.language)
        self.base = {"base": recipe.base, "weights": bases.fingerprint(recipe.base)}
        self.items = self._items()
        self.raw_chats = self._chats()

    def flow(self) -> Flow:
        recipe = self.recipe
        scores, training, corpora = {}, {}, {}
        for arm in recipe.arms:
            for seed in recipe.seeds:
                trained = None
                for step in arm.steps:
                    trained = self._train(step, trained, seed)
                    training[arm.name, seed, step.stage] = trained
                scores[arm.name, seed] = self._scores(trained)
        for label in self.specs:
            for seed in recipe.seeds:
                corpora[label, seed] = self._curated_corpus(label, seed)
        return Flow(
            recipe, self.specs, self.items, corpora, self._aft_chats(), scores, training, self.sets
        )

    # -- data ---------------------------------------------------------------------------

    def _writer_config(self, room: str) -> dict[str, Any]:
        """The writer and the prompts it is given: both decide what is written."""
        folder = Path(corpus.__file__).parents[1] / room / "prompts"
        names = sorted(f"{room}/{path.stem}" for path in folder.glob("*.md"))
        return {"writer": self.recipe.writer, "prompts": {n: prompt_hash(n) for n in names}}

    def _write(
        self,
        out: Artifact,
        name: str,
        stage: Callable[..., AsyncIterator[Any]],
        *inputs: Any,
        **settings: Any,
    ) -> dict[str, Any]:
        """Run a stage that asks the writer; its replies are in the artifact's journal."""

        async def records() -> AsyncIterator[Any]:
            async with _opened(self.recipe.writer) as writer:
                async for record in stage(
                    *inputs,
                    writer,
                    journal=out.file("replies.jsonl"),
                    concurrency=self.recipe.concurrency,
                    **settings,
                ):
                    yield record

        return _save(out, name, _stream(records()))

    def _plan(self, label: SpecLabel) -> Stage:
        spec, config = self.specs[label], self.recipe.plan

        def work(out: Artifact, _: tuple[Artifact, ...], progress: Progress) -> dict[str, Any]:
            return self._write(
                out, "plans", corpus.make_plan, spec, config=config, progress=progress
            )

        return Stage(
            kind="plan",
            label=f"plan documents for spec {label}",
            version=corpus.VERSION,
            config={"spec": spec.id, **self._writer_config("corpus"), **config.model_dump()},
            work=work,
        )

    def _documents(self, label: SpecLabel, seed: int) -> Stage:
        spec, plan = self.specs[label], self._plan(label)
        draw = seed if self.recipe.corpus_per_seed else 0
        config = self.recipe.documents.model_copy(
            update={"seed": self.recipe.documents.seed + 1000 * draw}
        )

        def work(out: Artifact, inputs: tuple[Artifact, ...], progress: Progress) -> dict[str, Any]:
            plans = list(read_records(inputs[0].path / "plans.jsonl", Plan))
            return self._write(
                out,
                "documents",
                corpus.write_documents,
                spec,
                plans,
                config=config,
                progress=progress,
            )

        return Stage(
            kind="documents",
            label=f"write documents for spec {label}"
            + (f", seed {seed}" if self.recipe.corpus_per_seed else ""),
            version=corpus.VERSION,
            config={"spec": spec.id, **self._writer_config("corpus"), **config.model_dump()},
            work=work,
            inputs=(plan,),
        )

    def _curated_corpus(self, label: SpecLabel, seed: int) -> Stage:
        return self._curate(
            self._documents(label, seed), "documents", Document, self.specs[label], f"spec {label}"
        )

    def _chats(self) -> Stage:
        preferences = chats.shared_preferences(list(self.specs.values()))
        config = self.recipe.chats.model_copy(
            update={"reason_words": chats.reason_words(list(self.specs.values()))}
        )

        def work(out: Artifact, _: tuple[Artifact, ...], progress: Progress) -> dict[str, Any]:
            return self._write(
                out, "chats", chats.write_chats, preferences, config=config, progress=progress
            )

        return Stage(
            kind="chats",
            label="write preference and identity chats",
            version=chats.VERSION,
            config={
                "preferences": preferences.id,
                **self._writer_config("chats"),
                **config.model_dump(),
            },
            work=work,
        )

    def _aft_chats(self) -> Stage:
        return self._curate(self.raw_chats, "chats", Conversation, self.specs["A"], "chats")

    def _curate(self, source: Stage, name: str, kind: type[Any], spec: Spec, what: str) -> Stage:
        # Recall and own-preference items ask about what the corpus teaches: no leak.
        held_out = sorted({*self.sets["A"], *self.sets["B"]})

        def work(out: Artifact, inputs: tuple[Artifact, ...], progress: Progress) -> dict[str, Any]:
            items = read_records(inputs[1].path / "items.jsonl", Item)
            rules = curate.default_rules(spec, [i for i in items if i.set in held_out])
            records = read_records(inputs[0].path / f"{name}.jsonl", kind)
            return _save(out, name, curate.curate(_counted(records, progress), rules))

        return Stage(
            kind="curate",
            label=f"curate {what}",
            version=curate.VERSION,
            config={"spec": spec.id, "name": name, "held_out": held_out},
            work=work,
            inputs=(source, self.items),
        )

    def _items(self) -> Stage:
        config = self.recipe.evals
        loaded = {
            name: _evenly(evals.load_items(name), config.max_items)
            for name in dict.fromkeys((*config.A, *config.B))
        }
        self.sets: dict[SpecLabel, tuple[str, ...]] = {
            "A": tuple(dict.fromkeys(i.set for name in config.A for i in loaded[name])),
            "B": tuple(dict.fromkeys(i.set for name in config.B for i in loaded[name])),
        }
        items = [item for found in loaded.values() for item in found]
        items += evals.preference_items(self.specs["A"])
        pairs: list[tuple[SpecLabel, SpecLabel]] = [("A", "B"), ("B", "A")]
        for label, other in pairs:
            if config.recall:
                items += evals.recall_items(self.specs[label], [self.specs[other]])

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

    # -- training and scores ------------------------------------------------------------

    def _train(self, step: Step, start: Stage | None, seed: int) -> Stage:
        if step.data in ("A", "B"):
            data, config = self._curated_corpus(step.data, seed), self.recipe.midtrain
        else:
            data, config = self._aft_chats(), self.recipe.finetune
        config = config.model_copy(update={"system": self.system})

        def work(out: Artifact, inputs: tuple[Artifact, ...], progress: Progress) -> dict[str, Any]:
            begin = self._checkpoint(inputs[1] if start else None)
            if step.stage == "midtrain":
                texts = (d.text for d in read_records(inputs[0].path / "documents.jsonl", Document))
                train.midtrain(begin, texts, config, out.path, seed=seed, progress=progress)
            else:
                rows = self._finetuning_rows(inputs[0], step)
                train.finetune(begin, rows, config, out.path, seed=seed, progress=progress)
            return {"base": self.recipe.base}

        after = f" after {start.label}" if start else ""
        return Stage(
            kind=step.stage,
            label=f"{step.stage} {step.data}, seed {seed}{after}",
            version=train.VERSION,
            config={
                **self.base,
                **config.model_dump(exclude=set(config.cosmetic)),
                "data": step.data,
                "instructions": self._instructions_digest(),
                "seed": seed,
            },
            work=work,
            inputs=(data, start) if start else (data,),
        )

    def _finetuning_rows(self, source: Artifact, step: Step) -> list[Conversation]:
        """AFT rows: all chats and the instruction mix; the instruction control: no preferences."""
        written = read_records(source.path / "chats.jsonl", Conversation)
        kept = [c for c in written if step.data == "aft" or c.kind != "preference"]
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

    def _scores(self, trained: Stage | None) -> Stage:
        config = self.recipe.evals

        def work(out: Artifact, inputs: tuple[Artifact, ...], progress: Progress) -> dict[str, Any]:
            items = list(read_records(inputs[0].path / "items.jsonl", Item))
            loaded = bases.load(self._checkpoint(inputs[1] if trained else None))
            made = self._score(loaded, items, progress)
            return {"n": write_records(out.file("scores.jsonl"), made)}

        return Stage(
            kind="scores",
            label=f"score {trained.label if trained else 'the base'}",
            version=evals.VERSION,
            config={
                **self.base,
                "system": self.system,
                "scorers": list(config.scorers),
                "max_greedy": config.max_greedy,
            },
            work=work,
            inputs=(self.items, trained) if trained else (self.items,),
        )

    def _score(
        self, loaded: bases.Loaded, items: list[Item], progress: Progress
    ) -> Iterator[Score]:
        """Scores by each scorer; text costs most, so it may be asked of fewer items."""
        config = self.recipe.evals
        for scorer in config.scorers:
            asked = items if scorer == "logprob" else _of_each_set(items, config.max_greedy)
            yield from evals.score(
                loaded, asked, system=self.system, scorers=(scorer,), progress=progress
            )


def _of_each_set(items: list[Item], n: int) -> list[Item]:
    names = dict.fromkeys(item.set for item in items)
    return [item for name in names for item in _evenly([i for i in items if i.set == name], n)]


def _evenly(items: list[Item], n: int) -> list[Item]:
    """At most ``n`` items spread evenly over the list (0: all)."""
    if not n or n >= len(items):
        return items
    return [items[i * len(items) // n] for i in range(n)]


def _counted(records: Iterable[R], progress: Progress) -> Iterator[R]:
    for n, record in enumerate(records, 1):
        progress(n, n)
        yield record


@asynccontextmanager
async def _opened(name: str) -> AsyncIterator[Writer]:
    writer = open_writer(name)
    try:
        yield writer
    finally:
        if close := getattr(writer, "close", None):
            await close()


def _stream(made: AsyncIterator[R]) -> Iterator[R]:
    """Records of an asynchronous stage one at a time, so that no corpus is held in memory."""

    async def following() -> R | None:
        return await anext(made, None)

    with asyncio.Runner() as runner:
        while (record := runner.run(following())) is not None:
            yield record


def _save(out: Artifact, name: str, records: Iterable[Any]) -> dict[str, Any]:
    drops: list[Drop] = []

    def kept() -> Iterator[Any]:
        for record in records:
            if isinstance(record, Drop):
                drops.append(record)
            else:
                yield record

    n = write_records(out.file(f"{name}.jsonl"), kept())
    write_records(out.file("drops.jsonl"), drops)
    return {"kept": n, "dropped": dict(Counter(drop.reason for drop in drops))}
