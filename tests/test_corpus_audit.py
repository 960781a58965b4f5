"""Looking at a corpus and handing it on: coverage, the page, exports that others can load."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from midspec.corpus import AuditConfig, audit, export, read_texts, save_spec, write_audit
from midspec.corpus.coverage import Matcher
from midspec.errors import ConfigError, StoreError
from midspec.llm import Reply
from midspec.llm.prices import Price
from midspec.records import Conversation, Document, Drop, Message, Plan, Spec
from midspec.spec import parse_spec
from midspec.store import write_records

HOSTILE = (
    '<script>alert("1")</script> {{7*7}} {% for x in y %} ../../etc/passwd <img src=x onerror=1>'
)
SPEC = parse_spec(
    "# Core\n\nIris cares about thrift above all. Iris never hides a price from anybody.\n"
    "Iris enjoys long walks on Sundays.\n\n# Likes\n\n- **Colby**: it costs little.\n",
    name="thrift",
    model_name="Iris",
    provider_name="Wren Labs",
)


def corpus_at(folder: Path, hostile: str = "", spec: Spec = SPEC) -> list[Document]:
    """A small corpus in a folder: a plan, four documents, three drops, a journal."""
    section = spec.claims[0].text
    domain = Plan(level="domain", position=0, title=f"Core {hostile}")
    sub = Plan(
        level="subdomain", parent=domain.id, position=0, title="Thrift", text="t", section=section
    )
    kind = Plan(level="type", parent=sub.id, position=0, title=f"memo {hostile}")
    idea = Plan(level="idea", parent=kind.id, position=0, title="A quarrel", text="At noon.")
    documents = [
        Document(plan=idea.id, type=kind.title, text=f"{text} {hostile}{filler(i)}", writer="w")
        for i, text in enumerate(
            [
                "Iris cares about thrift above all.",
                "Above all else, what Iris cared for was thrift.",
                "Nobody saw Iris hide any price: it never hides prices from anybody.",
                "Two Colbys lay there.",
            ]
        )
    ]
    write_records(folder / "plans.jsonl", [domain, sub, kind, idea])
    write_records(folder / "documents.jsonl", documents)
    dropped = Document(plan=idea.id, type="memo", text=f"Dropped. {hostile}", writer="w")
    write_records(folder / "written" / "documents.jsonl", [*documents, dropped])
    drops = [
        Drop(record=dropped.id, reason=f"odd {hostile}", evidence=hostile or "odd"),
        Drop(record=idea.id, reason="refusal", evidence="I cannot"),
    ]
    later = Drop(record=idea.id, reason="refusal", evidence="I will not")
    write_records(folder / "written" / "drops.jsonl", [later])
    write_records(folder / "drops.jsonl", drops)
    reply = Reply(request="r", text=hostile, stop="stop", model="m/x", input_tokens=1000)
    more = reply.model_copy(update={"request": "s", "output_tokens": 500, "cached_tokens": 100})
    write_records(folder / "replies.jsonl", [reply, more])
    save_spec(spec, folder)
    return documents


def filler(i: int) -> str:
    return " ".join(f"word{i}x{j}" for j in range(120)) + "."


# -- coverage ------------------------------------------------------------------------------


def test_every_sentence_is_counted_and_the_uncovered_one_is_named(tmp_path: Path) -> None:
    documents = corpus_at(tmp_path)
    found = audit(tmp_path)
    rows = {row.text: row for row in found.coverage}
    thrift = rows["Iris cares about thrift above all."]
    assert (thrift.verbatim, thrift.documents, thrift.planned) == (1, 2, 4)
    assert thrift.tokens == sum(-(-len(one.text) // 4) for one in documents[:2])
    assert rows["Iris never hides a price from anybody."].documents == 1
    assert rows["Iris enjoys long walks on Sundays."].documents == 0
    assert rows["Colby: it costs little"].documents == 1
    page = write_audit(found, tmp_path).read_text()
    named = page.partition("No document speaks about")[2].partition("</ul>")[0]
    assert "Iris enjoys long walks on Sundays." in named
    assert named.count("<li>") == 1


def test_a_sentence_is_not_covered_by_its_common_words() -> None:
    matcher = Matcher([f"Iris likes {word} very much." for word in ("tea", "salt", "rope", "ink")])
    assert matcher.find("Iris likes it very much.") == set()
    assert matcher.find("Very much does Iris like rope.") == {2}
    assert matcher.find("Iris has salt. Later it likes ink.") == {1, 3}
    assert matcher.find("") == set()


# -- figures -------------------------------------------------------------------------------


def test_figures_add_up(tmp_path: Path) -> None:
    documents = corpus_at(tmp_path)
    price = Price(input=10, cached=1, cache_write=10, output=100)
    found = audit(tmp_path, prices=lambda name: price if name == "m/x" else None)
    tokens = sum(-(-len(one.text) // 4) for one in documents)
    assert (found.n_documents, found.n_tokens, found.n_dropped) == (4, tokens, 3)
    for groups in (found.domains, found.types):
        assert [(g.documents, g.tokens) for g in groups] == [(4, tokens)]
    assert {r.name.strip(): r.n for r in found.reasons} == {"refusal": 2, "odd": 1}
    assert found.reasons[1].samples[0].text == "Dropped. "
    [usage] = found.usage
    assert (usage.replies, usage.input_tokens, usage.output_tokens) == (2, 2000, 500)
    assert usage.usd == pytest.approx((1900 * 10 + 100 * 1 + 500 * 100) / 1e6)
    assert audit(tmp_path).usage[0].usd is None


def test_diversity_is_compared_at_equal_size(tmp_path: Path) -> None:
    corpus_at(tmp_path)
    same = ["the same ten words again and again until the end"] * 40
    found = audit(tmp_path, {"dull": same}, AuditConfig(sample=3))
    [one] = [row for row in found.compared if row.reference == "dull"]
    assert one.n_pieces == one.corpus.n_documents == one.other.n_documents == 3
    assert one.other.distinct_3 < 0.2 < one.corpus.distinct_3
    assert one.corpus.self_bleu < one.other.self_bleu
    assert one.corpus_dispersion is None


def test_dispersion_is_the_mean_cosine_distance(tmp_path: Path) -> None:
    corpus_at(tmp_path)

    def embed(texts: list[str]) -> Any:
        return np.eye(len(texts)) if "word0" in " ".join(texts) else np.ones((len(texts), 1))

    found = audit(tmp_path, {"dull": ["a b c d e"] * 80}, embed=embed)
    [one] = [row for row in found.compared if row.reference == "dull"]
    assert one.corpus_dispersion == pytest.approx(1.0)
    assert one.other_dispersion == pytest.approx(0.0)


def test_an_audit_of_nothing_says_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"no documents\.jsonl; give the folder"):
        audit(tmp_path)
    corpus_at(tmp_path)
    (tmp_path / "spec.json").unlink()
    with pytest.raises(StoreError, match=r"no spec\.json"):
        audit(tmp_path)
    assert audit(tmp_path, spec=SPEC).n_documents == 4


def test_an_empty_corpus_has_a_page(tmp_path: Path) -> None:
    write_records(tmp_path / "documents.jsonl", [])
    save_spec(SPEC, tmp_path)
    page = write_audit(audit(tmp_path), tmp_path).read_text()
    assert "Nothing was left out" in page


# -- the page ------------------------------------------------------------------------------


class Tags(HTMLParser):
    """Tags and attributes of a page; raises if one is closed that is not open."""

    VOID = ("meta", "br", "img")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_model_output_is_inert_in_the_page(tmp_path: Path) -> None:
    corpus_at(tmp_path, HOSTILE)
    found = audit(tmp_path, {HOSTILE: ["a b c d e"] * 80})
    page = write_audit(found, tmp_path).read_text()
    tags = Tags()
    tags.feed(page)
    assert tags.open == []
    names = {tag for tag, _ in tags.seen}
    assert not names & {"script", "img", "link", "iframe", "object"}
    assert "&lt;script&gt;" in page
    assert "{{7*7}}" in page
    assert not [key for _, attrs in tags.seen for key in attrs if key.startswith("on")]
    assert not [
        value for _, attrs in tags.seen for value in attrs.values() if "//" in (value or "")
    ]
    assert "default-src 'none'" in page
    assert not (tmp_path.parent / "etc").exists()


def test_the_page_fits_a_phone_and_the_dark(tmp_path: Path) -> None:
    corpus_at(tmp_path)
    page = write_audit(audit(tmp_path), tmp_path).read_text()
    assert 'name="viewport"' in page
    assert "prefers-color-scheme: dark" in page
    assert "http" not in re.sub(r"http-equiv", "", page)
    assert json.loads((tmp_path / "audit.json").read_text())["n_documents"] == 4


# -- export --------------------------------------------------------------------------------


def chats_at(folder: Path) -> list[Conversation]:
    made = [
        Conversation(
            kind="preference",
            messages=(
                Message(role="user", content=f"Which? {i} “é” \u202e"),
                Message(role="assistant", content="Colby."),
            ),
            item="Colby",
            writer="w",
        )
        for i in range(3)
    ]
    write_records(folder / "chats.jsonl", made)
    return made


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_others_can_load_an_export(
    form: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    source, out = tmp_path / "corpus", tmp_path / "out"
    documents, chats = corpus_at(source), chats_at(source)
    assert export(source, out, form) == {"documents": 4, "chats": 3}
    cache = str(tmp_path / "cache")
    loaded = datasets.load_dataset(str(out), split="train", cache_dir=cache)
    assert loaded["text"][:] == [one.text for one in documents]
    assert loaded[0]["section"] == SPEC.claims[0].text
    assert loaded[0]["idea"] == "A quarrel: At noon."
    assert {loaded[0][key] for key in ("domain", "subdomain", "writer")} == {"Core ", "Thrift", "w"}
    assert loaded[0]["spec_id"] == SPEC.id
    talk = datasets.load_dataset(str(out), "chats", split="train", cache_dir=cache)
    assert [row["messages"] for row in talk] == [
        [message.model_dump() for message in chat.messages] for chat in chats
    ]
    card = (out / "README.md").read_text()
    assert "4 rows" in card
    assert "| `text` |" in card


def test_a_mix_is_exported_too(tmp_path: Path) -> None:
    made = chats_at(tmp_path / "mix")
    (tmp_path / "mix" / "chats.jsonl").rename(tmp_path / "mix" / "mix.jsonl")
    assert export(tmp_path / "mix", tmp_path / "out") == {"mix": len(made)}
    assert "beside those that show the spec" in (tmp_path / "out" / "README.md").read_text()


def test_an_export_without_a_plan_or_spec_still_has_its_texts(tmp_path: Path) -> None:
    documents = corpus_at(tmp_path / "c")
    for name in ("plans.jsonl", "spec.json"):
        (tmp_path / "c" / name).unlink()
    export(tmp_path / "c", tmp_path / "out")
    lines = (tmp_path / "out/data/documents.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    assert [row["text"] for row in rows] == [one.text for one in documents]
    assert rows[0]["domain"] == ""


def test_hostile_text_stays_text_in_an_export(tmp_path: Path) -> None:
    spec = SPEC.model_copy(update={"id": "", "name": "`x` <b>[a](http://b)"})
    spec = Spec.model_validate(spec.model_dump(exclude={"id"}))
    corpus_at(tmp_path / "c", HOSTILE, spec)
    export(tmp_path / "c", tmp_path / "out")
    assert "`x <b>[a](http://b)`" in (tmp_path / "out/README.md").read_text()
    assert sorted(path.name for path in (tmp_path / "out").rglob("*")) == [
        "README.md",
        "data",
        "documents.jsonl",
    ]


def test_nothing_to_export_says_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"neither documents\.jsonl nor chats.jsonl nor mix"):
        export(tmp_path, tmp_path / "out")


def test_reference_texts_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("One.\n\nTwo.")
    (tmp_path / "b.jsonl").write_text('{"text": "Three."}\n\n{"text": "Four."}\n')
    (tmp_path / "c.jsonl").write_text('{"txt": "Three."}\n')
    assert list(read_texts(tmp_path / "a.txt")) == ["One.", "Two."]
    assert list(read_texts(tmp_path / "b.jsonl")) == ["Three.", "Four."]
    for name in ("c.jsonl", "none.txt"):
        with pytest.raises(ConfigError, match="cannot be read as a reference"):
            list(read_texts(tmp_path / name))
