"""The steps behind the corpus commands, where its stages meet those of curation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from midspec import corpus, curate
from midspec.cli import corpus_options as options
from midspec.cli.curate import held_out
from midspec.cli.show import progress_bar
from midspec.errors import ConfigError
from midspec.llm import Budget, Writer, open_writer, prompt_hash, run_until_done
from midspec.llm.embed import can_embed
from midspec.records import Document, Drop, Item, Spec, digest
from midspec.store import Artifact, read_records, read_rows, write_atomic

T = TypeVar("T")
_PLAN_KEY = "plan.key"


@dataclass(frozen=True)
class Access:
    """How language models are reached, and what may be spent on them (0: no limit)."""

    writer: str
    concurrency: int
    max_cost: float = 0.0
    batch: bool = False
    judge: str = ""
    prices: str = ""


def run_with(
    access: Access, folder: Path, job: Callable[[Writer], Awaitable[T]], batches: str = "batches"
) -> T:
    """Do a job with the writer, and close it; replies in the folder's journals are paid already."""

    async def go() -> T:
        writer = _opened(access.writer, access, folder, batches)
        try:
            return await job(writer)
        finally:
            if close := getattr(writer, "close", None):
                await close()

    return run_until_done(go())


def _opened(name: str, access: Access, folder: Path, batches: str = "batches") -> Writer:
    prices, journals = options.read_table(access.prices), corpus.journals(folder)
    return open_writer(
        name,
        budget=Budget.resume(access.max_cost, journals, prices) if access.max_cost else None,
        prices=prices,
        batches=folder / batches if access.batch and name != "scribe" else None,
    )


async def make_tree(
    spec: Spec, writer: Writer, plan: corpus.PlanConfig, out: Path, concurrency: int
) -> tuple[corpus.Tree, Counter[str]]:
    """The plan in a folder, made now or earlier with the same settings."""
    settings = corpus.settings(spec, writer.name, plan, corpus.PLAN_STEPS)
    key, marker = digest(corpus.VERSION, spec.id, settings), out / _PLAN_KEY
    drops = Counter[str]()
    if not (marker.exists() and marker.read_text() == key and (out / corpus.PLANS).exists()):
        marker.unlink(missing_ok=True)
        corpus.save_spec(spec, out)
        with progress_bar("plan") as progress:
            made = corpus.make_plan(
                spec, writer, plan, out / corpus.PLAN_REPLIES, progress, concurrency=concurrency
            )
            async with aclosing(made) as nodes:
                _, drops = await corpus.save_plan(nodes, out)
        if not drops["error"]:
            write_atomic(marker, key)
    if tree := corpus.read_tree(out / corpus.PLANS):
        return tree, drops
    marker.unlink(missing_ok=True)
    raise ConfigError(_no_ideas(out))


def _no_ideas(out: Path) -> str:
    """Why a plan came to nothing: what was left out of it first."""
    path = out / corpus.PLAN_DROPS
    first = next(read_records(path, Drop), None)
    why = f" ({first.reason}, {first.evidence[:200]})" if first else ""
    # A reply that came is not asked for again, however useless it is.
    again = "run again" if first and first.reason == "error" else "run again with another --seed"
    return (
        f"the plan holds no ideas{why}; all reasons are in {path}; {again}, or use another --writer"
    )


async def measure(
    spec: Spec,
    writer: Writer,
    plan: corpus.PlanConfig,
    documents: corpus.DocumentConfig,
    out: Path,
    concurrency: int,
) -> tuple[corpus.Tree, Counter[str], corpus.Pilot]:
    """The plan, what was left out of it, and what its pilot documents took."""
    tree, drops = await make_tree(spec, writer, plan, out, concurrency)
    with progress_bar("pilot"):
        pilot = await corpus.run_pilot(
            spec, tree, writer, documents, out / corpus.REPLIES, concurrency=concurrency
        )
    return tree, drops, pilot


@dataclass(frozen=True)
class Curating:
    """How what was written is curated: sets that will be asked, and whether texts are embedded."""

    against: tuple[str, ...] = ()
    embed: bool | None = None

    def config(self, writer: str, concurrency: int) -> curate.CurateConfig:
        """Unless said otherwise, texts of the scribe, which are of few patterns, are not embedded."""
        embed = self.embed if self.embed is not None else can_embed() and writer != "scribe"
        return curate.CurateConfig(embed=embed, concurrency=concurrency)


def write_corpus(
    spec: Spec,
    access: Access,
    plan: corpus.PlanConfig,
    documents: corpus.DocumentConfig,
    curating: Curating,
    out: Path,
) -> corpus.Tally:
    """Plan, write and curate into a folder; one that is done with equal settings is left alone."""
    config = curating.config(access.writer, access.concurrency)
    held = held_out(spec, list(curating.against))
    if access.judge:  # a judge that cannot be had is better known before anything is paid for
        curate.refuse_scribe(access.judge)
        _opened(access.judge, replace(access, batch=False), out)  # batches would open files
    settings = {
        "spec": spec.id,
        "plan": corpus.settings(spec, access.writer, plan, corpus.PLAN_STEPS),
        "documents": corpus.settings(spec, access.writer, documents, corpus.DOCUMENT_STEPS),
        "curate": {**config.model_dump(exclude={"concurrency"}), "against": _digests(held[0])},
        "judge": {access.judge: prompt_hash(curate.JUDGE_PROMPT)} if access.judge else {},
    }
    artifact, key = Artifact(out), digest(corpus.VERSION, curate.VERSION, settings)
    if artifact.done and artifact.manifest().get("corpus_key") == key:
        return corpus.Tally.model_validate(artifact.manifest()["tally"])
    (out / "done").unlink(missing_ok=True)
    corpus.save_spec(spec, out)
    written = run_with(
        access, out, lambda model: _written(spec, model, plan, documents, out, access.concurrency)
    )
    tally = _curated(spec, access, config, held, written, out)
    _finish(artifact, tally, {"corpus_key": key, **settings})
    return tally


def _digests(items: list[Item]) -> str:
    """One digest of the items whose options are leaks, so that an edited set curates anew."""
    return digest("items", [item.id for item in items])


async def _written(
    spec: Spec,
    writer: Writer,
    plan: corpus.PlanConfig,
    documents: corpus.DocumentConfig,
    out: Path,
    concurrency: int,
) -> corpus.Tally:
    tree, _ = await make_tree(spec, writer, plan, out, concurrency)
    journal, requested = out / corpus.REPLIES, documents.n_requested(len(tree.ideas))
    with progress_bar("write") as progress:
        made = corpus.write_documents(
            spec, tree, writer, documents, journal, progress, concurrency=concurrency
        )
        async with aclosing(made) as records:
            return await corpus.save_documents(records, out / corpus.WRITTEN, requested)


def _curated(
    spec: Spec,
    access: Access,
    config: curate.CurateConfig,
    held: tuple[list[Item], list[Item]],
    written: corpus.Tally,
    out: Path,
) -> corpus.Tally:
    """What is kept of the written documents, and the sum of all that came of the request."""
    if not written.kept:
        for name in (corpus.DOCUMENTS, corpus.DROPS):
            write_atomic(out / name, "")
        return written
    items, others = held
    with progress_bar("curate") as progress:
        found = curate.curate_file(
            out / corpus.WRITTEN / corpus.DOCUMENTS,
            spec,
            out,
            items=items,
            others=others,
            judge=_opened(access.judge, access, out, "judge-batches") if access.judge else None,
            config=config,
            progress=progress,
        )
    reasons = written.reasons + found.tally.reasons
    return corpus.Tally(requested=written.requested, kept=found.tally.kept, reasons=reasons).check()


async def restate_corpus(
    spec: Spec,
    writer: Writer,
    settings: corpus.RestateConfig,
    source: Path,
    out: Path,
    concurrency: int,
) -> corpus.Tally:
    """Restate the documents of one folder into another, which may not be the same."""
    if source.resolve() == out.resolve():
        raise ConfigError(f"--out {out} is the corpus itself; give another folder")
    path = source / corpus.DOCUMENTS
    requested = sum(1 for _ in read_rows(path))
    if not requested:
        raise ConfigError(f"{source} has no documents; give the folder that `corpus write` made")
    out.mkdir(parents=True, exist_ok=True)
    corpus.save_spec(spec, out)
    for name in (corpus.PLANS,):
        if (source / name).exists():
            write_atomic(out / name, (source / name).read_text(encoding="utf-8"))
    with progress_bar("rewrite") as progress:
        made = corpus.restate_documents(
            spec,
            read_records(path, Document),
            writer,
            settings,
            out / corpus.REPLIES,
            progress,
            concurrency=concurrency,
        )
        async with aclosing(made) as records:
            tally = await corpus.save_documents(records, out, requested)
    _finish(Artifact(out), tally, {"spec": spec.id, "restated": settings.model_dump()})
    return tally


def _finish(artifact: Artifact, tally: corpus.Tally, manifest: dict[str, Any]) -> None:
    """Write the manifest; the corpus is done unless something will be asked for again."""
    artifact.finish({"tally": tally.model_dump(mode="json"), **manifest})
    if tally.asked_again:
        (artifact.path / "done").unlink()
