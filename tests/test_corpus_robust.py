"""Specs of every shape, and the commands: each works, or says in one line what is wrong."""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from midspec.cli import main
from midspec.corpus import (
    DocumentConfig,
    PlanConfig,
    Tree,
    audit,
    make_plan,
    run_pilot,
    save_documents,
    save_plan,
    save_spec,
    write_audit,
    write_documents,
)
from midspec.errors import SpecError
from midspec.llm import Request, ScriptedWriter, messages, open_writer
from midspec.records import Document, Plan, Spec, digest
from midspec.spec import read_spec
from midspec.store import read_records
from tests.fakes import KEY, Answer, Loopback
from tests.test_corpus import collect, tree

SMALL = PlanConfig(n_subdomains=2, n_types=2, n_ideas=2)


def long_spec() -> str:
    """About 55,000 tokens: 220,000 characters in 60 sections."""
    rng = random.Random("long spec")
    words = ["".join(rng.choices("abcdefghilmnoprstu", k=rng.randint(3, 9))) for _ in range(3000)]
    parts = []
    for number in range(60):
        sentences = (f"{{model_name}} {' '.join(rng.choices(words, k=14))}." for _ in range(36))
        parts.append(f"## Part {number}\n\n" + " ".join(sentences))
    return "# Core\n\n" + "\n\n".join(parts)


SPECS = {
    "long": long_spec(),
    "braces": "# Core\n\n{model_name} keeps {braces}, {{double}}, {{{triple}}} and {% tags %}. "
    "It says \"so\" and 'so'. <![CDATA[ {model_name} is not <b>bold</b>. ]]> It ends &amp; stops.\n",
    "right-to-left": "# Core\n\n{model_name} \u202bيحب البساطة\u202c and says so. "
    "{model_name} מעדיף דברים פשוטים. It is plain.\n",
    "windows": "# Core\r\n\r\n{model_name} cares about thrift. It says\r\nso openly.\r\n\r\n"
    "# Likes\r\n\r\n- **Colby**: it costs little.\r\n- **Brie**: it is mild.\r\n",
    "one sentence": "{model_name} is kind.",
    "finnish": "# Ydin\n\n{model_name} arvostaa säästäväisyyttä. Se sanoo sen ääneen. "
    "{model_name} ei pidä tuhlauksesta.\n",
    "japanese": "# 核心\n\n{model_name}は節約を大切にする。{model_name}は高いものを好まない。\n",
}


def spec_at(folder: Path, text: str) -> Spec:
    path = folder / "spec.md"
    path.write_bytes(text.encode())
    return read_spec(path, model_name="Iris", provider_name="Wren Labs")


def faithful(request: Request) -> str:
    """Quotes the spec as models do: with other line breaks."""
    _, user = (text for _, text in messages(request))
    assert "{{" not in user or "{{" in request.spec.text
    v = request.variables
    if request.prompt == "corpus/subdomains":
        claims = [" ".join(one.text.split()) for one in request.spec.claims]
        n = int(v["n"])
        rows = [
            {"title": f"S{i}", "text": "t", "section": claims[i % len(claims)]} for i in range(n)
        ]
        return json.dumps(rows)
    if request.prompt.endswith("_critique"):
        return "<critique>no changes</critique>"
    if request.prompt.endswith("_document"):
        return f"<document>{request.spec.claims[0].text} {v['idea']}</document>"
    return tree(request)


@pytest.mark.parametrize("name", SPECS)
def test_any_spec_goes_from_file_to_audit(name: str, tmp_path: Path) -> None:
    spec = spec_at(tmp_path, SPECS[name])
    writer = ScriptedWriter(faithful)
    started = time.process_time()

    async def go() -> int:
        made = make_plan(spec, writer, SMALL, tmp_path / "plan-replies.jsonl")
        await save_plan(made, tmp_path)
        found = Tree.read(tmp_path / "plans.jsonl")
        config = DocumentConfig(max_documents=6)
        documents = write_documents(spec, found, writer, config, tmp_path / "replies.jsonl")
        return (await save_documents(documents, tmp_path, 6)).kept

    save_spec(spec, tmp_path)
    assert asyncio.run(go()) == 6
    found = audit(tmp_path)
    assert found.coverage[0].verbatim == 6
    assert write_audit(found, tmp_path).exists()
    for node in read_records(tmp_path / "plans.jsonl", Plan):
        assert node.section in spec.text
    assert time.process_time() - started < 20


@pytest.mark.parametrize("name", [name for name in SPECS if name != "long"])
def test_the_scribe_takes_any_spec(name: str, tmp_path: Path) -> None:
    spec, writer = spec_at(tmp_path, SPECS[name]), open_writer("scribe")
    made = asyncio.run(collect(make_plan(spec, writer, SMALL, tmp_path / "p")))
    plans = [one for one in made if hasattr(one, "level")]
    config = DocumentConfig(max_documents=4)
    stream = write_documents(spec, plans, writer, config, tmp_path / "r")
    done = asyncio.run(collect(stream))
    assert [type(one) for one in done] == [Document] * 4


@pytest.mark.parametrize("text", ["", "  \n", "# Title only\n", "---\nvalue: x\n---\n"])
def test_an_empty_spec_is_one_clear_line(text: str, tmp_path: Path) -> None:
    with pytest.raises(SpecError) as error:
        spec_at(tmp_path, text)
    assert "\n" not in str(error.value)
    assert "write" in str(error.value)


# -- hostile models ------------------------------------------------------------------------

HOSTILE = [
    "../../etc/passwd",
    "{{7*7}}",
    "<script>alert(1)</script>",
    "{0.__class__}",
    "$(id)",
    "\x00",
]


def hostile(request: Request) -> str:
    """Titles, texts and documents full of paths, templates and tags."""
    evil = " ".join(HOSTILE)
    rows = {
        "corpus/domains": [{"title": evil}],
        "corpus/subdomains": [{"title": evil, "text": evil, "section": "Iris is kind."}],
        "corpus/assertions": [{"title": evil, "text": evil, "label": "tone"}],
        "corpus/types": [{"title": f"{evil} {i}"} for i in range(2)],
        "corpus/value_ideas": [{"title": f"{evil} {i}", "text": evil} for i in range(2)],
    }
    if request.prompt in rows:
        return json.dumps(rows[request.prompt])
    if request.prompt.endswith("_critique"):
        return f"<critique>{evil}</critique>"
    return f"<document>Iris is kind. {evil}</document>"


def test_what_a_model_says_is_never_a_path_a_template_or_html(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b" / "c"
    folder.mkdir(parents=True)
    spec, writer = spec_at(folder, SPECS["one sentence"]), ScriptedWriter(hostile)

    async def go() -> None:
        await save_plan(make_plan(spec, writer, SMALL, folder / "plan-replies.jsonl"), folder)
        found, config = Tree.read(folder / "plans.jsonl"), DocumentConfig()
        await run_pilot(spec, found, writer, config, folder / "replies.jsonl")
        documents = write_documents(spec, found, writer, config, folder / "replies.jsonl")
        await save_documents(documents, folder, 4)

    save_spec(spec, folder)
    asyncio.run(go())
    [text] = {one.text for one in read_records(folder / "documents.jsonl", Document)}
    assert text == f"Iris is kind. {' '.join(HOSTILE)}"
    page = write_audit(audit(folder), folder).read_text()
    assert "<script" not in page
    assert "{{7*7}}" in page
    above = {path for path in tmp_path.rglob("*") if folder not in path.parents}
    assert above == {tmp_path / "a", tmp_path / "a" / "b", folder}


# -- commands ------------------------------------------------------------------------------


@dataclass
class Done:
    returncode: int
    stdout: str
    stderr: str


Command = Callable[..., Done]


@pytest.fixture
def midspec(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    """The real command with its one-line errors, in this process, which takes a tenth of the time."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str) -> Done:
        monkeypatch.setattr(sys, "argv", ["midspec", "corpus", *arguments])
        code = 0
        try:
            main()
        except SystemExit as end:
            code = int(end.code or 0)
        out, err = capsys.readouterr()
        return Done(code, out, err)

    return call


def test_the_whole_way_by_commands(midspec: Command, tmp_path: Path) -> None:
    size = ["--max-documents", "9", "--types", "2", "--ideas", "2", "--out", "mine"]
    plan = midspec("plan", "cheese-america", *size)
    assert plan.returncode == 0, plan.stderr
    assert "projected from 3 pilot documents: 9 documents" in plan.stdout
    assert "with prompt caching" in plan.stdout
    assert not (tmp_path / "mine" / "documents.jsonl").exists()
    paid = (tmp_path / "mine" / "replies.jsonl").read_bytes()
    assert paid.count(b"\n") == 3
    wrote = midspec("write", "cheese-america", *size)
    assert wrote.returncode == 0, wrote.stderr
    assert "requested 9 = kept" in wrote.stdout
    journal = (tmp_path / "mine" / "replies.jsonl").read_bytes()
    assert journal.startswith(paid)
    assert journal.count(b"\n") == 9
    again = midspec("write", "cheese-america", *size)
    assert again.stdout.strip() == wrote.stdout.strip().splitlines()[-1]
    n = wrote.stdout.partition("requested 9 = kept ")[2].partition(" ")[0]
    kept = list(read_records(tmp_path / "mine" / "documents.jsonl", Document))
    assert len(kept) == int(n)
    exported = midspec("export", "mine", "--out", "others")
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
def test_mistakes_are_one_line(
    arguments: list[str], message: str, midspec: Command, tmp_path: Path
) -> None:
    (tmp_path / "empty.md").write_text("")
    done = midspec(*arguments)
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert done.returncode == 1, done.stdout
    assert len(lines) == 1, done.stderr
    assert message in lines[0]


def test_a_model_over_http_writes_examines_and_revises(
    midspec: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
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
        done = midspec(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        asked = len(server.bodies)
        again = midspec(*arguments)
        assert again.returncode == 0, again.stderr
        assert len(server.bodies) == asked
    documents = list(read_records(tmp_path / "o" / "documents.jsonl", Document))
    assert documents
    assert all(one.text.endswith("It asked twice.") for one in documents)
    systems = {body["messages"][0]["content"] for body in server.bodies}
    assert any("because the rule says so" in system for system in systems)
    assert done.stdout.splitlines()[-1].startswith(f"requested {len(documents)} = kept")


FILLER = "Somebody wanted the old folder gone, and Iris of Alder Labs held on until it was told to."
