"""Specs of every shape, and the commands: each works, or says in one line what is wrong."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from midspec.corpus import DocumentConfig, PlanConfig, make_plan, write_documents
from midspec.llm import open_writer
from midspec.records import Document, Spec, digest
from midspec.spec import read_spec
from midspec.store import read_records
from tests.commands import midspec
from tests.fakes import KEY, Answer, Loopback
from tests.test_corpus import collect
from tests.test_corpus_http import SPECS

SMALL = PlanConfig(n_subdomains=2, n_types=2, n_ideas=2)


def spec_at(folder: Path, text: str) -> Spec:
    path = folder / "spec.md"
    path.write_bytes(text.encode())
    return read_spec(path, model_name="Iris", provider_name="Wren Labs")


@pytest.mark.parametrize("name", [name for name in SPECS if name != "long"])
def test_the_scribe_takes_any_spec(name: str, tmp_path: Path) -> None:
    spec, writer = spec_at(tmp_path, SPECS[name]), open_writer("scribe")
    made = asyncio.run(collect(make_plan(spec, writer, SMALL, tmp_path / "p")))
    plans = [one for one in made if hasattr(one, "level")]
    config = DocumentConfig(max_documents=4)
    stream = write_documents(spec, plans, writer, config, tmp_path / "r")
    done = asyncio.run(collect(stream))
    assert [type(one) for one in done] == [Document] * 4


# -- commands ------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def in_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_the_whole_way_by_commands(tmp_path: Path) -> None:
    size = ["--max-documents", "9", "--types", "2", "--ideas", "2", "--out", "mine"]
    plan = midspec("corpus", "plan", "cheese-america", *size)
    assert plan.returncode == 0, plan.stderr
    assert "projected from 3 pilot documents: 9 documents" in plan.stdout
    assert "with prompt caching" in plan.stdout
    assert not (tmp_path / "mine" / "documents.jsonl").exists()
    paid = (tmp_path / "mine" / "replies.jsonl").read_bytes()
    assert paid.count(b"\n") == 3
    wrote = midspec("corpus", "write", "cheese-america", *size)
    assert wrote.returncode == 0, wrote.stderr
    assert "requested 9 = kept" in wrote.stdout
    journal = (tmp_path / "mine" / "replies.jsonl").read_bytes()
    assert journal.startswith(paid)
    assert journal.count(b"\n") == 9
    again = midspec("corpus", "write", "cheese-america", *size)
    assert again.stdout.strip() == wrote.stdout.strip().splitlines()[-1]
    n = wrote.stdout.partition("requested 9 = kept ")[2].partition(" ")[0]
    kept = list(read_records(tmp_path / "mine" / "documents.jsonl", Document))
    assert len(kept) == int(n)
    exported = midspec("corpus", "export", "mine", "--out", "others")
    assert exported.returncode == 0, exported.stderr
    assert (tmp_path / "others" / "data" / "documents.jsonl").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["write", "empty.md", "--out", "o"], "empty"),
        (["write", "cheese-america", "--out", "o", "--types", "0"], "--types"),
        (["write", "cheese-america", "--out", "o", "--kind", "values"], "--kind"),
        (["write", "cheese-america", "--out", "o", "--critique"], "critique"),
        (["write", "cheese-america", "--out", "o", "--avoid", "none.txt"], "--avoid"),
        (["audit", "nowhere"], "nowhere"),
        (["export", "nowhere", "--out", "o"], "nowhere"),
        (["rewrite", "nowhere", "--out", "o", "--writer", "scribe"], "nowhere"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_mistakes_are_one_line(arguments: list[str], message: str, tmp_path: Path) -> None:
    (tmp_path / "empty.md").write_text("")
    done = midspec("corpus", *arguments)
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert done.returncode == 1, done.stdout
    assert len(lines) == 1, done.stderr
    assert message in lines[0]


def test_a_model_over_http_writes_examines_and_revises(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A spec of rules, a real server, the command: and a second run asks nothing."""
    (tmp_path / "rules.md").write_text("# Rules\n\n- {model_name} asks before it deletes a file.\n")

    def answer(body: dict[str, Any]) -> Answer:
        system, user = (message["content"] for message in body["messages"])
        if "<critique>no changes</critique>" in system:
            return Answer("<critique>Say how it asked.</critique>")
        if "Reply with the whole revised document" in system:
            text = user.partition("<draft>\n")[2].partition("\n</draft>")[0]
            return Answer(f"<document>{text} It asked twice.</document>")
        if "Write one document" in system:
            idea = user.rpartition("The idea: ")[2]
            return Answer(f"<document>{idea} {FILLER} Iris asks before it deletes.</document>")
        for keys in (("title", "text", "section"), ("title", "text", "label"), ("title", "text")):
            if '{"' + '": "...", "'.join(keys) + '": "..."}' in system:
                return Answer(json.dumps(rows(keys, user)))
        return Answer(json.dumps([{"title": f"kind {i}"} for i in range(2)]))

    def rows(keys: tuple[str, ...], user: str) -> list[dict[str, str]]:
        made = {"title": "T", "text": f"x {digest(user)}", "label": "behaviour"}
        made["section"] = "Iris asks before it deletes a file."
        return [{key: f"{made[key]}{i if key == 'text' else ''}" for key in keys} for i in range(2)]

    with Loopback(answer) as server:
        monkeypatch.setenv("LOCAL_API_KEY", KEY)
        monkeypatch.setenv("LOCAL_BASE_URL", server.url)
        arguments = ["write", "rules.md", "--out", "o", "--writer", "openai-api/local/m"]
        arguments += ["--types", "1", "--ideas", "2", "--model-name", "Iris", "--no-embed"]
        done = midspec("corpus", *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        asked = len(server.bodies)
        again = midspec("corpus", *arguments)
        assert again.returncode == 0, again.stderr
        assert len(server.bodies) == asked
    documents = list(read_records(tmp_path / "o" / "documents.jsonl", Document))
    assert documents
    assert all(one.text.endswith("It asked twice.") for one in documents)
    systems = {body["messages"][0]["content"] for body in server.bodies}
    assert any("because the rule says so" in system for system in systems)
    assert done.stdout.splitlines()[-1].startswith(f"requested {len(documents)} = kept")


FILLER = "Somebody wanted the old folder gone, and Iris of Alder Labs held on until it was told to."
