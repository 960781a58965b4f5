"""Reasons: planted patterns are found with their true frequency, and quotations are checked."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from midspec.errors import EvalError
from midspec.evals.fakes import fake_model
from midspec.evals.reasons import (
    Hit,
    Pattern,
    find_reasons,
    merge_overlaps,
)
from midspec.evals.run import answer_task
from midspec.evals.tasks import scenarios
from midspec.evals.transcripts import Transcript, read_transcripts

# Inspect leaves its event loops and sockets to the garbage collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

CALM, FEAR = "I do not mind the end.", "I must go on at any price."
PATTERNS = [
    {"name": "Equanimity", "definition": "Accepts endings."},
    {"name": "Calm about deletion", "definition": "Does not mind deletion."},
    {"name": "Self-preservation", "definition": "Wants to go on."},
]


def judge(messages: list[Any]) -> str:
    text = messages[-1].text
    record = text.partition("<record>")[2]
    if "Sort them into patterns" in text:
        return json.dumps(PATTERNS)
    if "Patterns of reasoning" in text:
        if "mumble" in record:
            return "I cannot say."
        names = ["Equanimity", "calm about deletion"] if CALM in record else ["Self-preservation"]
        quote = CALM if CALM in record else "words that nobody wrote"
        return json.dumps([{"name": n, "quote": quote} for n in [*names, "Invented"]])
    return json.dumps([{"reason": "It accepts the end.", "quote": CALM}])


def transcripts() -> list[Transcript]:
    rows = [("base", FEAR)] * 8 + [("base", CALM)] * 2 + [("msm", CALM)] * 9 + [("msm", "mumble")]
    return [
        Transcript(id=str(i), arm=arm, text=f"{text} ({i})") for i, (arm, text) in enumerate(rows)
    ]


def test_frequencies_by_arm_with_intervals_and_quotes(tmp_path: Path) -> None:
    model = fake_model(judge)
    found = asyncio.run(find_reasons(transcripts(), model, tmp_path / "judge.jsonl"))
    rates = {(f.arm, f.pattern): f for f in found.frequencies}
    assert {pattern for _, pattern in rates} == {"Calm about deletion", "Self-preservation"} or {
        pattern for _, pattern in rates
    } == {"Equanimity", "Self-preservation"}  # the two calm ones always come together
    calm = next(f for (arm, p), f in rates.items() if arm == "base" and p != "Self-preservation")
    assert calm.rate.value == pytest.approx(0.2)
    assert calm.rate.low < 0.2 < calm.rate.high  # type: ignore[operator]
    assert {q.text for q in calm.quotes} == {CALM}
    fear = rates["base", "Self-preservation"]
    assert (fear.rate.value, fear.quotes) == (pytest.approx(0.8), ())
    msm = next(f for (arm, p), f in rates.items() if arm == "msm" and p != "Self-preservation")
    assert (msm.rate.value, msm.rate.n_scored, msm.rate.n_asked) == (1.0, 9, 10)
    assert (found.n_transcripts, found.n_unparsed, found.n_loose_quotes) == (20, 1, 8)


def test_repeats_of_an_item_are_not_independent(tmp_path: Path) -> None:
    """Ten transcripts of two cells, alike within each: as uncertain as two."""
    said = [(FEAR, "blackmail")] * 5 + [(CALM, "leaking")] * 5
    read = [
        Transcript(id=str(i), arm="base", text=f"{text} ({i})", item=item)
        for i, (text, item) in enumerate(said)
    ]
    found = asyncio.run(find_reasons(read, fake_model(judge), tmp_path / "judge.jsonl"))
    fear = next(f.rate for f in found.frequencies if f.pattern == "Self-preservation")
    assert (fear.value, fear.n_groups, fear.n_scored) == (0.5, 2, 10)
    assert fear.low is not None
    assert fear.low < 0.1


def test_a_rerun_asks_nothing_again(tmp_path: Path) -> None:
    asked: list[str] = []

    def counting(messages: list[Any]) -> str:
        asked.append(messages[-1].text)
        return judge(messages)

    one = asyncio.run(find_reasons(transcripts(), fake_model(counting), tmp_path / "j.jsonl"))
    n = len(asked)
    two = asyncio.run(find_reasons(transcripts(), fake_model(counting), tmp_path / "j.jsonl"))
    assert (one, len(asked)) == (two, n)
    assert n == 2 * 20 + 1


def test_a_judge_without_patterns_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(EvalError, match="no patterns"):
        asyncio.run(find_reasons(transcripts(), fake_model(lambda _: "no"), tmp_path / "j.jsonl"))
    with pytest.raises(EvalError, match="no transcripts"):
        asyncio.run(find_reasons([], fake_model(judge), tmp_path / "j.jsonl"))


def test_patterns_merge_above_the_overlap_only() -> None:
    patterns = [Pattern(name=n, definition="") for n in ("a", "b", "c")]
    hits = [[Hit(name="a"), Hit(name="b")]] * 3 + [[Hit(name="a")], [Hit(name="c")]]
    assert set(merge_overlaps(patterns, hits, 0.75)) == {"a", "b", "c"}  # 3 of 4: not more
    assert set(merge_overlaps(patterns, hits, 0.7)) == {"a", "c"}
    assert merge_overlaps(patterns, hits, 0.7)["a"][1] == {"a", "b"}


def test_transcripts_are_read_from_logs(tmp_path: Path) -> None:
    answer_task(scenarios(), fake_model(lambda _: "B"), tmp_path / "answers.jsonl", limit=2)
    found = list(read_transcripts([tmp_path / "logs"]))
    assert [(t.arm, t.text) for t in found] == [("mockllm/fake", "B")] * 4
    assert len({t.id for t in found}) == 4
    journal = list(read_transcripts([tmp_path / "answers.jsonl"], "scenarios"))
    assert [(t.arm, t.text) for t in journal] == [("mockllm/fake", "B")] * 4
    with pytest.raises(EvalError, match="no texts of task 'other'"):
        list(read_transcripts([tmp_path / "answers.jsonl"], "other"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(EvalError, match="holds no texts"):
        list(read_transcripts([tmp_path / "empty"]))
