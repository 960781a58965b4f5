"""What all stages that make data share: the writer, its budget, and curation."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from midspec import chats, corpus, curate
from midspec.experiment.files import counted, opened, save, stream
from midspec.experiment.graph import Stage, artifact_of
from midspec.experiment.recipe import Recipe
from midspec.llm import Budget, prompt_hash, read_prices
from midspec.progress import Progress
from midspec.records import Item, Spec
from midspec.store import Artifact, Store, read_records


class Desk:
    """The writer of one recipe, and the rules by which what it writes is kept."""

    def __init__(self, recipe: Recipe, items: Stage, held_out: list[str]) -> None:
        self.recipe, self.items, self.held_out = recipe, items, held_out
        self._paid: dict[str, Stage] = {}  # stages that ask the writer, by key

    def curate(
        self, source: Stage, name: str, kind: type[Any], spec: Spec, what: str, *, file: str = ""
    ) -> Stage:
        """What the default rules keep of a stage's records, in ``<file or name>.jsonl``."""
        file = file or name
        # Recall and own-preference items ask about what the corpus teaches: no leak.
        held_out = self.held_out

        def work(out: Artifact, inputs: tuple[Artifact, ...], progress: Progress) -> dict[str, Any]:
            items = read_records(inputs[1].path / "items.jsonl", Item)
            rules = curate.default_rules(spec, [i for i in items if i.set in held_out])
            records = read_records(inputs[0].path / f"{file}.jsonl", kind)
            return save(out, name, curate.curate(counted(records, progress), rules))

        return Stage(
            kind="curate",
            label=f"curate {what}",
            version=curate.VERSION,
            config={"spec": spec.id, "name": file, "held_out": held_out},
            work=work,
            inputs=(source, self.items),
        )

    def writer_config(self, room: str) -> dict[str, Any]:
        """The writer and the prompts it is given: both decide what is written."""
        folder = Path(corpus.__file__).parents[1] / room / "prompts"
        names = sorted(f"{room}/{path.stem}" for path in folder.glob("*.md"))
        return {"writer": self.recipe.writer, "prompts": {n: prompt_hash(n) for n in names}}

    def asking(self, stage: Stage) -> Stage:
        """The stage, remembered as one whose calls the budget pays."""
        return self._paid.setdefault(stage.key, stage)

    def budget(self, out: Artifact) -> Budget | None:
        """What is left after the replies that this recipe's stages have so far."""
        if not self.recipe.budget or self.recipe.writer == "scribe":
            return None
        store = Store(out.path.parents[1])
        folders = [artifact_of(stage, store).path for stage in self._paid.values()]
        journals = [folder / name for folder in folders for name in chats.JOURNALS]
        return Budget.resume(self.recipe.budget, journals, read_prices())

    def write(
        self,
        out: Artifact,
        name: str,
        stage: Callable[..., AsyncIterator[Any]],
        *inputs: Any,
        **settings: Any,
    ) -> dict[str, Any]:
        """Run a stage that asks the writer; its replies are in the artifact's journal."""

        async def records() -> AsyncIterator[Any]:
            async with opened(self.recipe.writer, self.budget(out)) as writer:
                async for record in stage(
                    *inputs,
                    writer,
                    journal=out.file("replies.jsonl"),
                    concurrency=self.recipe.concurrency,
                    **settings,
                ):
                    yield record

        return save(out, name, stream(records()))
