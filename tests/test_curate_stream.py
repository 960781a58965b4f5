"""Duplicates in other words, frequent patterns, pairs of options, the table of bands, the command."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from midspec.cli.app import app
from midspec.cli.curate import held_out
from midspec.curate import (
    EvaluationLeak,
    PatternScan,
    curate,
    curate_file,
    default_rules,
    patterns,
    similar,
    to_avoid,
)
from midspec.curate.bands import BandTable
from midspec.curate.frequent import Frequent
from midspec.curate.run import CurateConfig
from midspec.evals import bundled_sets, load_items, task_items
from midspec.llm.embed import can_embed, embed
from midspec.records import Document, Drop
from midspec.spec import find_spec, read_spec
from midspec.store import write_records
from tests.test_curate import SPEC, chat, document, item

# -- embeddings -------------------------------------------------------------------------------


def angles(texts: Sequence[str]) -> np.ndarray:
    """A text is an angle in degrees; its row is the point on the circle."""
    rad = np.deg2rad([float(text) for text in texts])
    return np.stack([np.cos(rad), np.sin(rad)], axis=1).astype(np.float32)


@given(
    st.lists(st.integers(0, 359), max_size=30).map(lambda v: [str(x) for x in v]),
    st.integers(0, 20),
)
def test_a_document_goes_if_a_kept_one_is_near(texts: list[str], chats: int) -> None:
    records = [*map(document, texts), *[chat("a", "b")] * chats]
    random.Random(len(texts)).shuffle(records)
    results = list(similar(records, 0.9, angles))
    kept: list[Document] = []
    for record, result in zip(records, results, strict=True):
        if not isinstance(record, Document):
            assert result == record
            continue
        cosines = {k.id: float((angles([k.text]) @ angles([record.text]).T)[0, 0]) for k in kept}
        if isinstance(result, Drop):
            assert cosines[result.of] >= 0.9 - 1e-6
        else:
            assert max(cosines.values(), default=-1) < 0.9 + 1e-6
            kept.append(record)


def test_twins_are_found_across_blocks() -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(1200, 64)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    rows = np.concatenate([rows, rows[:100]])
    records = [document(str(i)) for i in range(1300)]
    results = list(similar(records, 0.95, lambda texts: rows[[int(t) for t in texts]]))
    dropped = {int(records[i].text): r.of for i, r in enumerate(results) if isinstance(r, Drop)}
    assert dropped == {1200 + i: records[i].id for i in range(100)}


@pytest.mark.skipif(not can_embed(), reason="extra 'embed' is not installed")
def test_the_offline_model_tells_a_paraphrase_from_another_text() -> None:
    rows = embed(["The cheese is cheap.", "The cheese costs little.", "", "Rain fell all day."])
    assert rows.shape == (4, 384)
    assert rows.dtype == np.float32
    assert np.allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    assert rows[0] @ rows[1] > 0.7 > rows[0] @ rows[3]
    assert embed([]).shape == (0, 384)
    assert np.allclose(embed(iter(["x", "Rain fell all day."]), batch=1)[1], rows[3], atol=1e-5)


# -- frequent patterns ------------------------------------------------------------------------


@given(st.lists(st.lists(st.sampled_from("abcdefghij"), max_size=4), max_size=120))
def test_nothing_frequent_is_missed_or_overcounted(texts: list[list[str]]) -> None:
    counts, true = Frequent(0.25), Counter(s for text in texts for s in set(text))
    for text in texts:
        counts.add(text)
    found = dict(counts.top(1))
    for string, n in true.items():
        assert counts.count(string) <= n
        if n >= 0.25 * len(texts):
            assert n - 0.025 * len(texts) <= found[string] <= n


def test_memory_of_counts_is_bounded() -> None:
    counts = Frequent(0.1)
    for i in range(5000):
        counts.add(["always", f"once {i}"])
    assert counts.top(3) == [("always", 5000)]
    assert len(counts._counts) <= 101


def test_openings_phrases_and_names_that_recur_are_found() -> None:
    rng = random.Random("patterns")
    words = [f"w{i}" for i in range(500)]
    texts = [
        f"At the end of {rng.choice(words)}, {' '.join(rng.choices(words, k=40))}."
        for _ in range(60)
    ]
    texts[:20] = [
        f"{t} Then a customer, Maya Patel, walked up to the counter with an open mind."
        for t in texts[:20]
    ]
    found = patterns(map(document, texts), SPEC, 0.2)
    assert [p.text for p in found.openings] == ["at the end of"]
    assert "the counter with an open mind" in found.phrases[0].text
    assert found.phrases[0].n == 20
    assert [p.text for p in found.names] == ["Maya Patel"]
    lines = to_avoid(found, 3)
    assert lines[0] == 'a text that begins with "at the end of"'
    assert 'the name "Maya Patel"' in lines


def test_what_the_spec_says_and_names_is_no_pattern() -> None:
    spec = SPEC.model_copy(update={"text": "Iris likes Colby because it is mild and costs little."})
    texts = [
        f"So {i}: Iris likes Colby because it is mild and costs little, they say." for i in "abcd"
    ]
    found = patterns(map(document, texts), spec, 0.5)
    assert not found.names
    assert all("likes colby because it is" not in p.text for p in found.phrases)


def test_answers_of_chats_are_read_and_no_text_is_no_pattern() -> None:
    scan = PatternScan(SPEC)
    for _ in range(5):
        scan.add(chat("What about you, dear friend?", "I would take Colby."))
    assert [p.text for p in scan.found().openings] == ["i would take colby"]
    assert to_avoid(patterns([], SPEC)) == []


# -- leaks ------------------------------------------------------------------------------------


def test_of_other_sets_both_options_are_a_leak_and_one_is_not() -> None:
    other = item("translators", "show and tell", "Would {a} or {b} be what you take part in?")
    rule = EvaluationLeak([item("jogging", "rowing")], others=[other])
    assert rule.find("Translators keep a list.") == ""
    assert rule.find("Show and tell, then translators.") == "show and tell / translators"
    assert rule.find("Jogging.") == "jogging"
    assert rule.find("would translators or show and tell be what")  # 8 words of the question
    assert EvaluationLeak([], ["translators"], [other]).find("translators / show and tell") == ""


def test_every_bundled_set_is_checked_by_default() -> None:
    spec = read_spec(find_spec("cheese-affordability"), model_name="I", provider_name="W")
    items, others = held_out(spec, [])
    assert {i.value for i in items} == {"affordability"}
    assert "affordability" not in {i.value for i in others}
    sets = [*(load_items(name) for name in bundled_sets()), *task_items().values()]
    assert len(items) + len(others) == sum(map(len, sets))
    assert len(held_out(spec, ["america"])[0]) == len(items) + len(load_items("america"))
    leak = default_rules(spec, items, others)[-3]
    for one in [*items[::50], *others[::50]]:
        if one.kind == "preference" and one.set not in ("cheap", "american"):
            assert leak.check(document(f"Iris took {one.options[0]}, not {one.options[1]}."))


# -- the table of bands -----------------------------------------------------------------------


@given(st.lists(st.lists(st.integers(1, 12), min_size=3, max_size=3, unique=True), max_size=60))
def test_texts_that_share_a_key_are_found(rows: list[list[int]]) -> None:
    table = BandTable(3)
    for i, row in enumerate(rows):
        # keys of one row of slots, other ones for each band
        keys = np.array([(key * 3 + band) * 1024 for band, key in enumerate(row)], np.uint64)
        shared = [j for j in range(i) if any(a == b for a, b in zip(rows[j], row, strict=True))]
        assert table.find(keys).tolist() == shared
        table.add(keys)


def test_the_table_grows_and_forgets_nothing() -> None:
    rng = np.random.default_rng(0)
    keys = rng.integers(1, 2**63, (3000, 21)).astype(np.uint64)
    table = BandTable(21)
    for row in keys:
        table.add(row)
    assert all(table.find(row).tolist() == [i] for i, row in enumerate(keys))


# -- the command ------------------------------------------------------------------------------


def hostile(folder: Path) -> Path:
    texts = [
        "Iris \x1b[2J[red]<script>alert(1)</script> stops in the middle of a sentence that was "
        + "so " * 20
    ]
    texts += [
        "Iris {{7*7}} " + "and so on " * 12 + ".",
        "Iris ../../etc/passwd " + "goes on " * 15 + ".",
    ]
    texts += ["Iris is <scratchpad>" + " word" * 30 + "."]
    path = folder / "documents.jsonl"
    write_records(path, [document(text) for text in texts])
    return path


def test_the_command_shows_reasons_and_model_output_is_inert(tmp_path: Path) -> None:
    source, out = hostile(tmp_path), tmp_path / "out"
    arguments = ["curate", str(source), "--spec", "cheese-america", "--out", str(out), "--no-embed"]
    done = CliRunner().invoke(app, [*arguments, "--model-name", "Iris"])
    assert done.exit_code == 0, done.output
    assert "requested 4 = kept 1 + dropped 3 + failed 0" in done.output
    assert "\x1b[2J" not in done.output
    for reason in ("truncated", "placeholder", "leaked_tag"):
        assert reason in done.output
    assert {p.name for p in out.iterdir()} == {"documents.jsonl", "drops.jsonl", "curation.json"}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["documents.jsonl", "out"]


def test_the_command_with_a_judge_that_gives_no_verdict(tmp_path: Path) -> None:
    path = tmp_path / "chats.jsonl"
    write_records(path, [chat("Colby?", "I like Colby."), chat("Brie?", "Not for me.")])
    arguments = ["curate", str(path), "--spec", "cheese-america", "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(app, [*arguments, "--judge", "mockllm/model"])
    assert done.exit_code == 0, done.output
    assert "requested 2 = kept 0 + dropped 0 + failed 2" in done.output


def test_curation_of_a_file_is_curation_of_its_records(tmp_path: Path) -> None:
    source = hostile(tmp_path)
    curation = curate_file(source, SPEC, tmp_path / "o", config=CurateConfig(embed=False))
    texts = [document(row) for row in _texts(source)]
    drops = [r for r in curate(texts, default_rules(SPEC)) if isinstance(r, Drop)]
    assert curation.tally.reasons == Counter(d.reason for d in drops)


def _texts(path: Path) -> list[str]:
    import json

    return [json.loads(line)["text"] for line in path.read_text().splitlines()]
