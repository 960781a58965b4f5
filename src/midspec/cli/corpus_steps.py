"""The steps behind the corpus commands, where its stages meet those of curation."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from midspec import corpus, curate
from midspec.cli.curate import held_out
from midspec.cli.show import progress_bar
from midspec.errors import ConfigError
from midspec.llm import Budget, Price, Prices, Writer, open_writer, read_prices
from midspec.llm.embed import can_embed, embed
from midspec.records import Document, Frozen, Spec, digest
from midspec.store import Artifact, read_records, write_atomic

T = TypeVar("T")
C = TypeVar("C", bound=Frozen)
_PLAN_KEY = "plan.key"
_JOURNALS = (corpus.PLAN_REPLIES, corpus.REPLIES, corpus.JUDGE_REPLIES)


@dataclass(frozen=True)
class Access:
    """How language models are reached, and what may be spent on them (0: no limit)."""

    writer: str
    concurrency: int
    max_cost: float = 0.0
    batch: bool = False
    judge: str = ""
    prices: str = ""


def run_with(access: Access, folder: Path, job: Callable[[Writer], Awaitable[T]]) -> T:
    """Do a job with the writer, and close it; replies in the folder's journals are paid already."""

    async def go() -> T:
        writer = _opened(access.writer, access, folder)
        try:
            return await job(writer)
        finally:
            if close := getattr(writer, "close", None):
                await close()

    return asyncio.run(go())


def _opened(name: str, access: Access, folder: Path, batches: str = "batches") -> Writer:
    prices, journals = read_table(access.prices), [folder / journal for journal in _JOURNALS]
    return open_writer(
        name,
        budget=Budget.resume(access.max_cost, journals, prices) if access.max_cost else None,
        prices=prices,
        batches=folder / batches if access.batch and name != "scribe" else None,
    )


# -- options -------------------------------------------------------------------------------


def one_of(option: str, given: str, known: Sequence[str]) -> Any:
    """The given value; raises ConfigError, with the known ones, if it is none of them."""
    if given not in known:
        raise ConfigError(f"{option} {given!r}: write one of {', '.join(known)}")
    return given


def config(kind: type[C], /, **values: Any) -> C:
    """A configuration; raises ConfigError that names the wrong option."""
    try:
        return kind(**values)
    except ValidationError as error:
        first = error.errors()[0]
        name = "-".join(str(part) for part in first["loc"]).replace("_", "-").removeprefix("n-")
        raise ConfigError(f"--{name} {first['input']!r}: {first['msg']}") from error


def read_avoid(file: str) -> tuple[str, ...]:
    """The lines of a file of phrases, or those of a ``curation.json``; raises ConfigError if it cannot be read."""
    if not file:
        return ()
    try:
        text = Path(file).read_text(encoding="utf-8")
        lines = json.loads(text)["avoid"] if file.endswith(".json") else text.splitlines()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"--avoid {file!r}: {error}; give a text file with a phrase a line, or curation.json"
        ) from error
    return tuple(str(line).strip() for line in lines if str(line).strip())


def restate_config(language: str, about: str, seed: int) -> corpus.RestateConfig:
    """How to restate; raises ConfigError for a word that is none of the known."""
    given = {"language": language, "about": about}
    return config(corpus.RestateConfig, seed=seed, **{k: v for k, v in given.items() if v})


def read_table(file: str) -> Prices:
    """The price table in a file; without one, that of MIDSPEC_PRICES or the bundled one."""
    return read_prices(Path(file) if file else None)


def price_of(name: str, prices: Prices) -> Price | None:
    """The price of a writer, or None if the table has none."""
    try:
        return prices.of(name)
    except ConfigError:
        return None


def embedder() -> corpus.Embed | None:
    """The embedding model, if it is installed."""
    return embed if can_embed() else None


# -- steps ---------------------------------------------------------------------------------


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
    return corpus.Tree.read(out / corpus.PLANS), drops


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
        pilot = await corpus.run_pilot(spec, tree, writer, documents, out / corpus.REPLIES)
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
    settings = {
        "spec": spec.id,
        "plan": corpus.settings(spec, access.writer, plan, corpus.PLAN_STEPS),
        "documents": corpus.settings(spec, access.writer, documents, corpus.DOCUMENT_STEPS),
        "curate": {**config.model_dump(exclude={"concurrency"}), "against": curating.against},
        "judge": access.judge,
    }
    artifact, key = Artifact(out), digest(corpus.VERSION, curate.VERSION, settings)
    if artifact.done and artifact.manifest().get("corpus_key") == key:
        return corpus.Tally.model_validate(artifact.manifest()["tally"])
    (out / "done").unlink(missing_ok=True)
    corpus.save_spec(spec, out)
    written = run_with(
        access, out, lambda model: _written(spec, model, plan, documents, out, access.concurrency)
    )
    tally = _curated(spec, access, config, curating, written, out)
    _finish(artifact, tally, {"corpus_key": key, **settings})
    return tally


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
    curating: Curating,
    written: corpus.Tally,
    out: Path,
) -> corpus.Tally:
    """What is kept of the written documents, and the sum of all that came of the request."""
    if not written.kept:
        for name in (corpus.DOCUMENTS, corpus.DROPS):
            write_atomic(out / name, "")
        return written
    items, others = held_out(spec, list(curating.against))
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
    reasons = Counter(written.reasons)
    reasons.update({**found.tally.dropped, **found.tally.failed})
    return corpus.tally(written.requested, found.tally.kept, reasons)


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
    requested = sum(1 for _ in path.open("rb")) if path.exists() else 0
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
