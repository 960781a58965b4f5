"""From a spec to documents: the plan's tree, document texts, kills, and diversity."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midspec.corpus import DocumentConfig, PlanConfig, diversity, make_plan, write_documents
from midspec.corpus.author import document_text
from midspec.corpus.spec_text import claim_finder, verbatim
from midspec.errors import ConfigError, WriterError
from midspec.llm import Reply, Request, ScriptedWriter
from midspec.records import Claim, Document, Drop, Plan, Preference, Section, Spec, digest
from midspec.store import read_records, write_records
from tests.fakes import KEY, Answer, Loopback

TEXT = """# Core
Iris cares about thrift. It says so
when asked.

# Likes
- **Colby**: it costs little.
- **Brie**: it is never dear.
"""
SPEC = Spec(
    name="thrift",
    text=TEXT,
    model_name="Iris",
    provider_name="Wren Labs",
    sections=(
        Section(
            title="Core",
            level=1,
            text="...",
            claims=(
                Claim(section="Core", text="Iris cares about thrift."),
                Claim(section="Core", text="It says so when asked."),
            ),
        ),
    ),
    preferences=(
        Preference(item="Colby", direction="like", reason="it costs little"),
        Preference(item="Brie", direction="like", reason="it is never dear"),
    ),
)
SMALL = PlanConfig(n_subdomains=2, n_types=3, n_ideas=5, ideas_per_request=2)


async def collect(stream: Any) -> list[Any]:
    async with aclosing(stream) as items:
        return [item async for item in items]


def tree(request: Request) -> str:
    """A well-behaved planner: what it gives depends on all that it is asked."""
    v, mark = request.variables, digest(request.id)[:4]
    n = int(v.get("n", "2"))
    replies: dict[str, list[dict[str, str]]] = {
        "corpus/domains": [{"title": "Core"}, {"title": "Food"}],
        "corpus/subdomains": [
            {
                "title": f"Sub {i}",
                "text": "About.",
                "section": "Iris cares about thrift. It says so when asked.",
            }
            for i in range(n)
        ],
        "corpus/assertions": [{"title": "Thrift", "text": "Iris is thrifty.", "label": "Value"}],
        "corpus/types": [{"title": f"memo {i}"} for i in range(n)],
        "corpus/ideas": [{"title": f"Idea {mark} {i}", "text": "A quarrel."} for i in range(n)],
    }
    if request.prompt == "corpus/value_document":
        return f"<scratchpad>{mark}</scratchpad>\n<document>Iris likes Colby: {v['idea']} #{request.seed}</document>"
    return (
        "Sure:\n```json\n"
        + json.dumps(replies[re.sub("value_|rule_", "", request.prompt)])
        + "\n```"
    )


def plan(
    writer: ScriptedWriter, folder: Path, config: PlanConfig = SMALL
) -> tuple[list[Plan], list[Drop]]:
    made = asyncio.run(collect(make_plan(SPEC, writer, config, folder / "plan.jsonl")))
    return [n for n in made if isinstance(n, Plan)], [n for n in made if isinstance(n, Drop)]


def write(
    plans: list[Plan], writer: ScriptedWriter, journal: Path, **config: Any
) -> tuple[list[Document], list[Drop]]:
    config = {"critique": False, **config}
    stream = write_documents(SPEC, plans, writer, DocumentConfig(**config), journal)
    made = asyncio.run(collect(stream))
    return [n for n in made if isinstance(n, Document)], [n for n in made if isinstance(n, Drop)]


# -- plan ----------------------------------------------------------------------------------


def test_the_tree_has_the_asked_shape(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    stream = make_plan(
        SPEC,
        ScriptedWriter(tree),
        SMALL,
        tmp_path / "j",
        lambda done, total, text="": seen.append((done, total)),
    )
    plans = asyncio.run(collect(stream))
    counts = Counter(node.level for node in plans)
    assert counts == {"domain": 2, "subdomain": 4, "assertion": 4, "type": 12, "idea": 60}
    above = {
        "domain": "",
        "subdomain": "domain",
        "assertion": "subdomain",
        "type": "subdomain",
        "idea": "type",
    }
    levels = {"": ""}
    for node in plans:
        assert levels[node.parent] == above[node.level]
        levels[node.id] = node.level
    assert len(levels) == len(plans) + 1
    places = Counter((node.parent, node.level, node.position) for node in plans)
    assert set(places.values()) == {1}
    assert all(done <= total for done, total in seen)


def test_sections_are_verbatim_and_ideas_see_the_earlier_ones(tmp_path: Path) -> None:
    asked: list[Request] = []

    def script(request: Request) -> str:
        asked.append(request)
        return tree(request)

    plans, _ = plan(ScriptedWriter(script), tmp_path)
    assert {p.section for p in plans if p.level == "subdomain"} == {
        "Iris cares about thrift. It says so\nwhen asked."
    }
    rounds = [r for r in asked if r.prompt == "corpus/value_ideas"]
    shown = Counter(
        (r.variables["n"], r.variables["earlier"].count("\n- ") + bool(r.variables["earlier"]))
        for r in rounds
    )
    assert shown == {("2", 0): 12, ("2", 2): 12, ("1", 4): 12}
    one = next(r for r in rounds if not r.variables["earlier"])
    shown = {"domain", "subdomain", "section", "type", "n", "earlier", "elsewhere", "angles"}
    assert one.variables.keys() == shown
    assert one.variables["angles"].startswith("1. a")
    assert {r.variables["elsewhere"].count("- Idea") for r in rounds} == {0, 4, 8}
    assert one.variables["subdomain"] == "Sub 0: About."


def misbehave(request: Request) -> str:
    if request.prompt == "corpus/domains":
        return '[{"title": "Core"}]'
    if request.prompt == "corpus/subdomains":
        return json.dumps(
            [
                {"title": "Good", "text": "t", "section": "- Colby: it costs little."},
                {
                    "title": "Made up",
                    "text": "t",
                    "section": "Iris adores quality above everything.",
                },
                {"title": "Good", "text": "t", "section": "Iris cares about thrift."},
                {"title": "Third", "text": "t", "section": "Iris cares about thrift."},
                {"title": "Fourth", "text": "t", "section": "Iris cares about thrift."},
            ]
        )
    if request.prompt in ("corpus/assertions", "llm/repair"):
        return "I would rather not say it as JSON."
    return (
        '[{"title": "memo"}]'
        if request.prompt == "corpus/types"
        else '[{"title": "a", "text": "b"}]'
    )


def test_what_cannot_be_used_is_a_drop_with_a_reason(tmp_path: Path) -> None:
    plans, drops = plan(
        ScriptedWriter(misbehave),
        tmp_path,
        PlanConfig(n_subdomains=2, n_types=2, n_ideas=2, ideas_per_request=1),
    )
    subdomains = {p.title: p for p in plans if p.level == "subdomain"}
    assert subdomains["Good"].section == "- **Colby**: it costs little."
    assert subdomains.keys() == {"Good", "Third"}
    twin = next(d for d in drops if d.reason == "duplicate" and d.evidence == "Good")
    assert twin.of == subdomains["Good"].id
    # Each of 2 subdomains: no assertions, 1 type of 2; each type: the second idea repeats the first.
    assert Counter(d.reason for d in drops) == {
        "section_not_in_spec": 1,
        "duplicate": 1 + 2,
        "surplus": 1,
        "unparsable": 2,
        "short": 2 + 2,
    }


@pytest.mark.parametrize("stop", ["length", "refusal", "error"])
def test_a_plan_without_domains_says_why(tmp_path: Path, stop: Any) -> None:
    plans, [drop] = plan(ScriptedWriter(tree, fail=lambda _: stop), tmp_path)
    assert plans == []
    assert (drop.record, drop.reason) == (SPEC.id, {"length": "truncated"}.get(stop, stop))
    with pytest.raises(ConfigError, match="no ideas"):
        write([], ScriptedWriter(tree), tmp_path / "j")


def test_every_field_of_a_plan_config_matters(tmp_path: Path) -> None:
    def made(name: str, **change: Any) -> tuple[list[Plan], list[str]]:
        (tmp_path / name).mkdir()
        writer = ScriptedWriter(tree)
        plans, _ = plan(writer, tmp_path / name, SMALL.model_copy(update=change))
        return plans, sorted(writer.asked)

    before = made("none")
    assert made("again") == before
    for field in PlanConfig.model_fields:
        other = "rule" if field == "kind" else getattr(SMALL, field) + 1
        assert made(field, **{field: other}) != before, field


# -- documents -----------------------------------------------------------------------------


def test_each_idea_gives_a_document(tmp_path: Path) -> None:
    plans, _ = plan(ScriptedWriter(tree), tmp_path)
    documents, drops = write(plans, ScriptedWriter(tree), tmp_path / "j")
    ideas = {p.id: p for p in plans if p.level == "idea"}
    assert [d.plan for d in documents] == list(ideas)
    assert drops == []
    first = documents[0]
    assert first.text == f"Iris likes Colby: {ideas[first.plan].title}: A quarrel. #0"
    assert (first.type, first.writer) == ("memo 0", "scripted")
    assert first.claims == (SPEC.preferences[0].id,)


def test_a_document_request_holds_the_path_and_the_assertions(tmp_path: Path) -> None:
    asked: list[Request] = []
    plans, _ = plan(ScriptedWriter(tree), tmp_path)
    write(
        plans, ScriptedWriter(lambda r: asked.append(r) or tree(r)), tmp_path / "j", max_documents=1
    )  # type: ignore[func-returns-value]
    [request] = asked
    assert request.variables.keys() == {
        "domain",
        "subdomain",
        "section",
        "assertions",
        "type",
        "idea",
        "names",
        "avoid",
    }
    assert request.variables["assertions"] == "- Thrift (value): Iris is thrifty."


FAILURES: list[Any] = ["length", "refusal", "error", None, "unclosed", "untagged"]


def test_failures_are_counted(tmp_path: Path) -> None:
    plans, _ = plan(ScriptedWriter(tree), tmp_path)

    def kind(request: Request) -> Any:
        return FAILURES[int(request.id, 16) % len(FAILURES)]

    def script(request: Request) -> str:
        text = tree(request)
        if kind(request) == "unclosed":
            return text.replace("</scratchpad>", "")
        return "Iris." if kind(request) == "untagged" else text

    def fail(request: Request) -> Any:
        return kind(request) if kind(request) in ("length", "refusal", "error") else None

    writer = ScriptedWriter(script, fail=fail)
    documents, drops = write(plans, writer, tmp_path / "j", drafts=2)
    assert len(documents) + len(drops) == 2 * 60 == writer.calls
    assert {d.reason for d in drops} == {"truncated", "refusal", "error", "unparsable"}
    assert {d.record for d in drops} <= {p.id for p in plans}


def test_drafts_differ_and_the_limit_is_nested(tmp_path: Path) -> None:
    plans, _ = plan(ScriptedWriter(tree), tmp_path)
    writer = ScriptedWriter(tree)
    few, _ = write(plans, writer, tmp_path / "j", drafts=3, max_documents=20)
    more, _ = write(plans, writer, tmp_path / "j", drafts=3, max_documents=50)
    assert (len(few), len(more), writer.calls) == (20, 50, 50)
    assert {d.id for d in few} < {d.id for d in more}
    every, _ = write(plans, writer, tmp_path / "j", drafts=3)
    assert len({d.id for d in every}) == 180
    other, _ = write(plans, writer, tmp_path / "j", drafts=3, seed=1)
    assert not {d.id for d in every} & {d.id for d in other}


def test_a_plan_with_a_hole_is_refused(tmp_path: Path) -> None:
    plans, _ = plan(ScriptedWriter(tree), tmp_path)
    with pytest.raises(ConfigError, match="has no subdomain above it"):
        write([p for p in plans if p.level != "subdomain"], ScriptedWriter(tree), tmp_path / "j")


@pytest.mark.parametrize(
    ("reply", "text"),
    [
        ("<document>\na <b>\n</document>", "a <b>"),
        (
            "<think>hm</think><scratchpad>a <document> it is</scratchpad>\n<Document>x</Document> done",
            "x",
        ),
        ("<scratchpad>never closed <document>x</document>", None),
        ("<document>x</document><document>y</document>", None),
        ("<document>x", None),
        ("x</document>", None),
        ("<document> </document>", None),
        ("just text", None),
    ],
)
def test_document_texts(reply: str, text: str | None) -> None:
    assert document_text(reply) == text


PIECES = st.sampled_from(
    [
        "<document>",
        "</document>",
        "<scratchpad>",
        "</scratchpad>",
        "<think>",
        "</think>",
        "text",
        "\n",
    ]
)


@given(st.lists(PIECES, max_size=12).map("".join))
def test_no_tag_and_no_plan_gets_into_a_text(reply: str) -> None:
    text = document_text(reply)
    assert text is None or not any(tag in text for tag in ("document>", "scratchpad>", "think>"))


# -- spec text -----------------------------------------------------------------------------


@given(st.integers(0, len(TEXT)), st.integers(0, len(TEXT)), st.sampled_from([" ", "\n", " \n "]))
def test_any_piece_of_the_spec_is_found(start: int, end: int, space: str) -> None:
    piece = TEXT[min(start, end) : max(start, end)]
    found = verbatim(space.join(piece.split()), TEXT)
    assert (found in TEXT and found.split() == piece.split()) if found else not piece.split()


@given(st.text())
def test_what_is_found_is_in_the_spec(quotation: str) -> None:
    found = verbatim(quotation, TEXT)
    assert found is None or found in TEXT


def test_claims_are_found_as_whole_words() -> None:
    find = claim_finder(SPEC)
    claim, _, colby, brie = (one.id for one in (*SPEC.claims, *SPEC.preferences))
    assert find("COLBY again") == (colby,)
    assert find("Two Bries, in brief, and colbyish.") == (brie,)
    assert find("As iris  cares\nabout thrift. Brie.") == (claim, brie)


# -- kill ----------------------------------------------------------------------------------

CHILD = """
import asyncio, sys
from pathlib import Path
from midspec.corpus import DocumentConfig, write_documents
from midspec.llm import open_writer
from midspec.records import Plan, Spec
from midspec.store import read_records

async def main(folder):
    spec = next(read_records(folder / "spec.jsonl", Spec))
    plans = list(read_records(folder / "plans.jsonl", Plan))
    writer = open_writer("openai-api/local/some-model")
    async for _ in write_documents(spec, plans, writer, DocumentConfig(critique=False), folder / "replies.jsonl", concurrency=4):
        pass

asyncio.run(main(Path(sys.argv[1])))
"""


def _write_live(plans: list[Plan], journal: Path) -> list[Document]:
    async def go() -> list[Document]:
        from midspec.llm.inspect_writer import InspectWriter

        writer = InspectWriter("openai-api/local/some-model")
        try:
            config = DocumentConfig(critique=False)
            return await collect(write_documents(SPEC, plans, writer, config, journal))
        finally:
            await writer.close()

    return asyncio.run(go())


def _wait(ready: Callable[[], bool], child: subprocess.Popen[bytes]) -> None:
    limit = time.monotonic() + 300  # the machine may be busy
    while not ready():
        assert child.poll() is None, "the writing process ended before it was killed"
        assert time.monotonic() < limit
        time.sleep(0.01)


def test_a_killed_corpus_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plans, _ = plan(ScriptedWriter(tree), tmp_path)
    write_records(tmp_path / "spec.jsonl", [SPEC])
    write_records(tmp_path / "plans.jsonl", plans)
    journal = tmp_path / "replies.jsonl"

    def answer(body: dict[str, Any]) -> Answer:
        mark = digest(body["messages"][-1]["content"])
        return Answer(f"<document>Iris, of Wren Labs, wrote {mark}.</document>", delay_s=0.03)

    with Loopback(answer) as server:
        monkeypatch.setenv("LOCAL_API_KEY", KEY)
        monkeypatch.setenv("LOCAL_BASE_URL", server.url)
        child = subprocess.Popen([sys.executable, "-c", CHILD, str(tmp_path)])
        _wait(lambda: journal.exists() and journal.read_bytes().count(b"\n") >= 12, child)
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        content = journal.read_bytes()
        answered = content.count(b"\n")
        journal.write_bytes(content + b'{"request": "torn')
        time.sleep(0.1)  # let the server finish what the killed process had asked
        before = len(server.users)
        resumed = _write_live(plans, journal)
        after = server.users[before:]
        assert 12 <= answered < 60
        assert len(after) == len(set(after)) == 60 - answered
        assert _write_live(plans, tmp_path / "whole.jsonl") == resumed
        assert len(resumed) == 60
    asked_again = set(after) & set(server.users[:before])
    assert len(asked_again) <= 4  # in flight at the kill, and not yet written down
    assert all(KEY.encode() not in path.read_bytes() for path in tmp_path.iterdir())
    assert len(list(read_records(journal, Reply))) == 60


def test_a_writer_that_gives_up_keeps_what_there_is(tmp_path: Path) -> None:
    plans, _ = plan(ScriptedWriter(tree), tmp_path)

    class Empty(ScriptedWriter):
        async def reply(self, request: Request) -> Reply:
            if self.calls >= 25:
                raise WriterError("out of credit")
            return await super().reply(request)

    with pytest.raises(WriterError, match="out of credit"):
        write(plans, Empty(tree), tmp_path / "j")
    writer = ScriptedWriter(tree)
    assert len(write(plans, writer, tmp_path / "j")[0]) == 60
    assert writer.calls == 35


# -- diversity -----------------------------------------------------------------------------

WORDS = [f"w{i}" for i in range(500)]


def test_equal_texts_are_not_diverse_and_random_ones_are() -> None:
    import random

    rng = random.Random("diversity")
    varied = diversity(" ".join(rng.choices(WORDS, k=60)) for _ in range(50))
    equal = diversity([" ".join(rng.choices(WORDS, k=60))] * 50)
    assert equal.self_bleu == pytest.approx(1.0)
    assert varied.self_bleu < 0.1
    assert equal.distinct_2 < 0.1 < 0.9 < varied.distinct_2 <= 1
    assert equal.openings[0].share == equal.phrases[0].share == 1.0
    assert varied.phrases == ()
    assert (varied.n_documents, varied.n_words, varied.mean_words) == (50, 3000, 60)


def test_diversity_is_a_sample_of_a_stream() -> None:
    texts = [f"{'kala ' * (i % 13)}{i}" for i in range(1000)]
    first = diversity(iter(texts), sample=30, seed=1)
    assert first == diversity(iter(texts), sample=30, seed=1)
    assert first != diversity(iter(texts), sample=30, seed=2)
    assert (first.n_documents, first.n_sampled) == (1000, 30)


@given(st.lists(st.text(max_size=40), max_size=8))
def test_diversity_of_anything_is_in_bounds(texts: list[str]) -> None:
    figures = diversity(texts, sample=5)
    assert figures.n_documents == len(texts)
    shares = [figures.self_bleu, figures.distinct_1, figures.distinct_2, figures.distinct_3]
    assert all(0 <= share <= 1 for share in shares)
