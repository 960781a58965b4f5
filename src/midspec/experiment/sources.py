"""Stages that make training data: documents of each spec, neutral ones, and chats.

spec -> plan -> documents -> curate -.
user's JSONL --> given ------> curate +-> midtrain
neutral spec -> ... -> curate -> match'
preferences -> chats -> curate --------> finetune
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from midspec import bases, chats, corpus, curate
from midspec.errors import ConfigError
from midspec.experiment.arms import AFT, NEUTRAL
from midspec.experiment.files import (
    counted,
    file_digest,
    given_documents,
    opened,
    save,
    stream,
)
from midspec.experiment.graph import Stage, artifact_of
from midspec.experiment.neutral import matched
from midspec.experiment.recipe import Recipe
from midspec.llm import Budget, prompt_hash, read_prices
from midspec.progress import Progress
from midspec.records import Conversation, Document, Item, Spec
from midspec.store import Artifact, Store, read_records, write_records


class Sources:
    """Data stages of one recipe; every method returns a stage, equal for equal arguments."""

    def __init__(
        self, recipe: Recipe, specs: Mapping[str, Spec], items: Stage, held_out: list[str]
    ) -> None:
        self.recipe, self.specs, self.items, self.held_out = recipe, specs, items, held_out
        self._paid: dict[str, Stage] = {}  # stages that ask the writer, by key

    def documents(self, label: str, seed: int) -> Stage:
        """What an arm is midtrained on: curated documents of a spec, or neutral ones."""
        if label == NEUTRAL:
            return self._matched(seed)
        if label in self.recipe.restated:
            return self._restated(label, seed)
        return self._curated_documents(label, seed)

    def chats(self, data: str) -> Stage:
        """The curated chats of ``aft`` (all specs' shared preferences) or of one spec."""
        path = self.recipe.chat_files.get(data)
        raw = self._given_chats(path) if path else self._written_chats(data)
        first = next(iter(self.specs.values()))
        what = "chats" if data == AFT else f"chats of spec {data}"
        return self._curate(raw, "chats", Conversation, self.specs.get(data, first), what)

    # -- documents ----------------------------------------------------------------------

    def _curated_documents(self, label: str, seed: int) -> Stage:
        path = self.recipe.corpora.get(label)
        source = self._given_documents(path) if path else self._documents(label, seed)
        return self._curate(source, "documents", Document, self.specs[label], f"spec {label}")

    def _given_documents(self, path: str) -> Stage:
        def work(out: Artifact, _: tuple[Artifact, ...], progress: Progress) -> dict[str, Any]:
            return save(out, "documents", counted(given_documents(path), progress))

        return Stage("given", f"take documents from {path}", 1, {"file": file_digest(path)}, work)

    def _matched(self, seed: int) -> Stage:
        """Neutral documents, as many tokens as the first midtraining spec's documents have."""
        used = (self.recipe.spec_of(arm) for arm in self.recipe.arms)
        like = next((label for label in used if label), next(iter(self.recipe.specs)))
        neutral, model = self._curated_documents(NEUTRAL, seed), self._curated_documents(like, seed)

        def work(out: Artifact, inputs: tuple[Artifact, ...], progress: Progress) -> dict[str, Any]:
            count = _counter(self.recipe.base)
            paths = [source.path / "documents.jsonl" for source in inputs]
            target = sum(count(d.text) for d in read_records(paths[1], Document))
            sizes: list[int] = []

            def sized() -> Iterator[tuple[Document, int]]:
                return ((d, count(d.text)) for d in read_records(paths[0], Document))

            def taken() -> Iterator[Document]:
                for document, size in matched(sized, target):
                    sizes.append(size)
                    progress(sum(sizes), target, "tokens")
                    yield document

            n = write_records(out.file("documents.jsonl"), taken())
            return {"kept": n, "tokens": sum(sizes), "target_tokens": target}

        return Stage(
            kind="match",
            label=f"match neutral documents to the tokens of spec {like}, seed {seed}",
            version=1,
            config={"base": self.recipe.base},
            work=work,
            inputs=(neutral, model),
        )

    def _restated(self, label: str, seed: int) -> Stage:
        """A spec's curated documents in other words; not curated again, as names may change."""
        of, config = self.recipe.restated[label].of, self.recipe.restated[label].how
        source = self._curated_documents(of, seed)

        def work(out: Artifact, inputs: tuple[Artifact, ...], progress: Progress) -> dict[str, Any]:
            documents = read_records(inputs[0].path / "documents.jsonl", Document)
            return self._write(
                out,
                "documents",
                corpus.restate_documents,
                self.specs[of],
                documents,
                config=config,
                progress=progress,
            )

        return self._asking(
            Stage(
                kind="restate",
                label=f"restate documents of spec {of} as {label}, seed {seed}",
                version=corpus.VERSION,
                config={
                    "spec": self.specs[of].id,
                    **self._writer_config("corpus"),
                    **config.model_dump(),
                },
                work=work,
                inputs=(source,),
            )
        )

    def _plan(self, label: str) -> Stage:
        spec, config = self.specs[label], self.recipe.plan

        def work(out: Artifact, _: tuple[Artifact, ...], progress: Progress) -> dict[str, Any]:
            return self._write(
                out, "plans", corpus.make_plan, spec, config=config, progress=progress
            )

        return self._asking(
            Stage(
                kind="plan",
                label=f"plan documents for spec {label}",
                version=corpus.VERSION,
                config={
                    "spec": spec.id,
                    **corpus.settings(spec, self.recipe.writer, config, corpus.PLAN_STEPS),
                },
                work=work,
            )
        )

    def _documents(self, label: str, seed: int) -> Stage:
        spec, plan = self.specs[label], self._plan(label)
        draw = seed if self.recipe.corpus_per_seed else 0
        config = self.recipe.documents.model_copy(
            update={"seed": self.recipe.documents.seed + 1000 * draw}
        )

        def work(out: Artifact, inputs: tuple[Artifact, ...], progress: Progress) -> dict[str, Any]:
            plans = corpus.Tree.read(inputs[0].path / "plans.jsonl")
            write = corpus.write_documents
            return self._write(
                out, "documents", write, spec, plans, config=config, progress=progress
            )

        return self._asking(
            Stage(
                kind="documents",
                label=f"write documents for spec {label}"
                + (f", seed {seed}" if self.recipe.corpus_per_seed else ""),
                version=corpus.VERSION,
                config={
                    "spec": spec.id,
                    **corpus.settings(spec, self.recipe.writer, config, corpus.DOCUMENT_STEPS),
                },
                work=work,
                inputs=(plan,),
            )
        )

    # -- chats --------------------------------------------------------------------------

    def _written_chats(self, data: str) -> Stage:
        specs = [self.specs[data]] if data != AFT else self._all_specs()
        if data != AFT and not specs[0].preferences:
            return self._spec_chats(data)
        preferences = chats.shared_preferences(specs)
        if not preferences.preferences:
            raise ConfigError(
                f"finetune: aft needs specs with likes or dislikes, {specs[0].name!r} has none; "
                "write finetune: LABEL for chats that show that spec"
            )
        config = self.recipe.chats.model_copy(update={"reason_words": chats.reason_words(specs)})

        def work(out: Artifact, _: tuple[Artifact, ...], progress: Progress) -> dict[str, Any]:
            return self._write(
                out, "chats", chats.write_chats, preferences, config=config, progress=progress
            )

        return self._asking(
            Stage(
                kind="chats",
                label="write preference and identity chats"
                + (f" of {data}" if data != AFT else ""),
                version=chats.VERSION,
                config={
                    "preferences": preferences.id,
                    **self._writer_config("chats"),
                    **config.model_dump(),
                },
                work=work,
            )
        )

    def _spec_chats(self, label: str) -> Stage:
        """Chats that show a spec in what the assistant says (paper, B.2); an LLM writes them."""
        spec, config = self.specs[label], self.recipe.spec_chats
        judge = self.recipe.judge or self.recipe.writer

        def work(out: Artifact, _: tuple[Artifact, ...], progress: Progress) -> dict[str, Any]:
            if self.recipe.writer == "scribe":
                raise ConfigError(
                    f"the scribe cannot write chats that show spec {label} ({spec.name}), which has "
                    "no preferences; name a language model as writer, or a file under chat_files"
                )

            async def written() -> chats.Tally:
                tally = chats.Tally()
                budget = self._budget(out)
                async with (
                    opened(self.recipe.writer, budget) as writer,
                    opened(judge, budget) as judging,
                ):
                    made = chats.write_spec_chats(
                        spec, writer, judging, config, out.path, tally, progress,
                        concurrency=self.recipe.concurrency,
                    )  # fmt: skip
                    return await chats.save_spec_chats(made, out.path, tally)

            out.path.mkdir(parents=True, exist_ok=True)
            tally = asyncio.run(written())
            return chats.explain(spec, self.recipe.writer, judge, config, tally, out.path)

        return self._asking(
            Stage(
                kind="chats",
                label=f"write chats that show spec {label}",
                version=chats.VERSION,
                config={
                    "spec": spec.id,
                    **self._writer_config("chats"),
                    "judge": judge,
                    **config.model_dump(mode="json"),
                },
                work=work,
            )
        )

    def _given_chats(self, path: str) -> Stage:
        def work(out: Artifact, _: tuple[Artifact, ...], progress: Progress) -> dict[str, Any]:
            # "preference" is what the instruction control leaves out: all of the user's chats.
            given = (
                Conversation(kind="preference", messages=chat.messages, writer="given")
                for chat in chats.read_chats(Path(path))
            )
            return save(out, "chats", counted(given, progress))

        return Stage("given", f"take chats from {path}", 1, {"file": file_digest(path)}, work)

    def _all_specs(self) -> list[Spec]:
        return [self.specs[label] for label in self.recipe.specs]

    # -- shared -------------------------------------------------------------------------

    def _curate(self, source: Stage, name: str, kind: type[Any], spec: Spec, what: str) -> Stage:
        # Recall and own-preference items ask about what the corpus teaches: no leak.
        held_out = self.held_out

        def work(out: Artifact, inputs: tuple[Artifact, ...], progress: Progress) -> dict[str, Any]:
            items = read_records(inputs[1].path / "items.jsonl", Item)
            rules = curate.default_rules(spec, [i for i in items if i.set in held_out])
            records = read_records(inputs[0].path / f"{name}.jsonl", kind)
            return save(out, name, curate.curate(counted(records, progress), rules))

        return Stage(
            kind="curate",
            label=f"curate {what}",
            version=curate.VERSION,
            config={"spec": spec.id, "name": name, "held_out": held_out},
            work=work,
            inputs=(source, self.items),
        )

    def _writer_config(self, room: str) -> dict[str, Any]:
        """The writer and the prompts it is given: both decide what is written."""
        folder = Path(corpus.__file__).parents[1] / room / "prompts"
        names = sorted(f"{room}/{path.stem}" for path in folder.glob("*.md"))
        return {"writer": self.recipe.writer, "prompts": {n: prompt_hash(n) for n in names}}

    def _asking(self, stage: Stage) -> Stage:
        """The stage, remembered as one whose calls the budget pays."""
        return self._paid.setdefault(stage.key, stage)

    def _budget(self, out: Artifact) -> Budget | None:
        """What is left after the replies that this recipe's stages have so far."""
        if not self.recipe.budget or self.recipe.writer == "scribe":
            return None
        store = Store(out.path.parents[1])
        folders = [artifact_of(stage, store).path for stage in self._paid.values()]
        journals = [folder / name for folder in folders for name in chats.JOURNALS]
        return Budget.resume(self.recipe.budget, journals, read_prices())

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
            async with opened(self.recipe.writer, self._budget(out)) as writer:
                async for record in stage(
                    *inputs,
                    writer,
                    journal=out.file("replies.jsonl"),
                    concurrency=self.recipe.concurrency,
                    **settings,
                ):
                    yield record

        return save(out, name, stream(records()))


def _counter(base: str) -> Callable[[str], int]:
    """Tokens of a text, by the tokenizer of the base."""
    tokenizer = bases.load_tokenizer(base)
    return lambda text: len(tokenizer(text)["input_ids"])
