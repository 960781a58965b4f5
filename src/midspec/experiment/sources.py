"""Stages that make training data: documents of each spec, neutral ones, and chats.

spec -> plan -> documents -> curate -.
user's JSONL --> given ------> curate +-> midtrain
neutral spec -> ... -> curate -> match'
preferences -> chats -> curate --------> finetune
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from midspec import bases, chats, corpus
from midspec.errors import ConfigError
from midspec.experiment.arms import AFT, NEUTRAL, REASONED
from midspec.experiment.desk import Desk
from midspec.experiment.files import (
    counted,
    file_digest,
    given_documents,
    opened,
    save,
)
from midspec.experiment.graph import Stage
from midspec.experiment.neutral import matched
from midspec.experiment.recipe import Recipe
from midspec.llm import run_until_done
from midspec.progress import Progress
from midspec.records import Conversation, Document, Spec
from midspec.store import Artifact, read_records, write_records

WITH_REASONING = "chats-with-reasoning"  # the file of chats that keep the assistant's reasoning


class Sources:
    """Data stages of one recipe; every method returns a stage, equal for equal arguments."""

    def __init__(
        self, recipe: Recipe, specs: Mapping[str, Spec], items: Stage, held_out: list[str]
    ) -> None:
        self.recipe, self.specs = recipe, specs
        self.desk = Desk(recipe, items, held_out)

    def documents(self, label: str, seed: int) -> Stage:
        """What an arm is midtrained on: curated documents of a spec, or neutral ones."""
        if label == NEUTRAL:
            return self._matched(seed)
        if label in self.recipe.restated:
            return self._restated(label, seed)
        return self._curated_documents(label, seed)

    def chats(self, name: str) -> Stage:
        """The curated chats of ``aft`` (all specs' shared preferences) or of one spec."""
        data = name.removesuffix(REASONED)
        path = self.recipe.chat_files.get(data)
        raw = self._given_chats(path) if path else self._written_chats(data)
        spec = self.specs.get(data, next(iter(self.specs.values())))
        what = "chats" if data == AFT else f"chats of spec {name}"
        if name == data:
            return self.desk.curate(raw, "chats", Conversation, spec, what)
        if path or spec.preferences:
            why = "a file's are taken as they are" if path else "preferences are shown without any"
            raise ConfigError(f"finetune: {data} has no chats with reasoning: {why}")
        return self.desk.curate(raw, "chats", Conversation, spec, what, file=WITH_REASONING)

    # -- documents ----------------------------------------------------------------------

    def _curated_documents(self, label: str, seed: int) -> Stage:
        path = self.recipe.corpora.get(label)
        source = self._given_documents(path) if path else self._documents(label, seed)
        return self.desk.curate(source, "documents", Document, self.specs[label], f"spec {label}")

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
            return self.desk.write(
                out,
                "documents",
                corpus.restate_documents,
                self.specs[of],
                documents,
                config=config,
                progress=progress,
            )

        return self.desk.asking(
            Stage(
                kind="restate",
                label=f"restate documents of spec {of} as {label}, seed {seed}",
                version=corpus.VERSION,
                config={
                    "spec": self.specs[of].id,
                    **self.desk.writer_config("corpus"),
                    **config.model_dump(),
                },
                work=work,
                inputs=(source,),
            )
        )

    def _plan(self, label: str) -> Stage:
        spec, config = self.specs[label], self.recipe.plan

        def work(out: Artifact, _: tuple[Artifact, ...], progress: Progress) -> dict[str, Any]:
            return self.desk.write(
                out, "plans", corpus.make_plan, spec, config=config, progress=progress
            )

        return self.desk.asking(
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
            return self.desk.write(
                out, "documents", write, spec, plans, config=config, progress=progress
            )

        return self.desk.asking(
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
            return self.desk.write(
                out, "chats", chats.write_chats, preferences, config=config, progress=progress
            )

        return self.desk.asking(
            Stage(
                kind="chats",
                label="write preference and identity chats"
                + (f" of {data}" if data != AFT else ""),
                version=chats.VERSION,
                config={
                    "preferences": preferences.id,
                    **self.desk.writer_config("chats"),
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
                budget = self.desk.budget(out)
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
            tally = run_until_done(written())
            return chats.explain(spec, self.recipe.writer, judge, config, tally, out.path)

        return self.desk.asking(
            Stage(
                kind="chats",
                label=f"write chats that show spec {label}",
                version=chats.VERSION,
                config={
                    "spec": spec.id,
                    **self.desk.writer_config("chats"),
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


def _counter(base: str) -> Callable[[str], int]:
    """Tokens of a text, by the tokenizer of the base."""
    tokenizer = bases.load_tokenizer(base)
    return lambda text: len(tokenizer(text)["input_ids"])
