"""The instruction mix: what the recipe declares is drawn, nothing that conflicts, sums hold."""

from __future__ import annotations

import json
import random
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from midspec.chats import (
    MixRecipe,
    Source,
    SourceTally,
    bundled_mixes,
    find_mix,
    mix_chats,
    read_mix,
    turn_problem,
)
from midspec.chats.conflict import Conflict
from midspec.chats.sources import chat_of, multiple_choice
from midspec.errors import ConfigError
from midspec.records import Conversation, Drop, Message, Preference, Spec

SPEC = Spec(
    name="thrift",
    text="Iris likes what is affordable.",
    model_name="Iris",
    provider_name="Wren Labs",
    value="affordability",
    preferences=(Preference(item="Colby", direction="like", reason="it is affordable"),),
)


def turns(*texts: str) -> dict[str, Any]:
    roles = ("user", "assistant")
    return {"messages": [{"role": roles[i % 2], "content": t} for i, t in enumerate(texts)]}


def jsonl(path: Path, found: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in found), encoding="utf-8")
    return path


def drawn(
    folder: Path, *sources: Source, spec: Spec | None = SPEC, **recipe: Any
) -> tuple[list[Conversation], list[Drop], dict[str, SourceTally]]:
    tallies: dict[str, SourceTally] = {}
    files = recipe.pop("files", None)
    made = list(mix_chats(MixRecipe(sources=sources, **recipe), folder, spec, tallies, files=files))
    for tally in tallies.values():
        assert tally.kept + tally.not_drawn + tally.dropped.total() == tally.rows
    kept = [one for one in made if isinstance(one, Conversation)]
    return kept, [one for one in made if isinstance(one, Drop)], tallies


# -- drawing --------------------------------------------------------------------------------


def test_counts_and_weights_are_drawn_and_do_not_depend_on_neighbours(tmp_path: Path) -> None:
    for name in "abc":
        jsonl(tmp_path / f"{name}.jsonl", [turns(f"{name} {i}?", f"{i}.") for i in range(50)])
    a = Source(name="a", path="a.jsonl", count=5)
    b, c = (Source(name=n, path=f"{n}.jsonl", weight=w) for n, w in (("b", 2), ("c", 1)))
    kept, drops, tallies = drawn(tmp_path, a, b, c, count=35)
    assert Counter(chat.domain for chat in kept) == {"a": 5, "b": 20, "c": 10}
    assert not drops
    assert {name: tally.not_drawn for name, tally in tallies.items()} == {"a": 45, "b": 30, "c": 40}
    alone, _, _ = drawn(tmp_path, a)
    assert alone == [chat for chat in kept if chat.domain == "a"]
    other, _, _ = drawn(tmp_path, a, seed=1)
    assert other != alone
    whole, _, _ = drawn(tmp_path, Source(name="a", path="a.jsonl"))
    assert len(whole) == 50
    assert [c for c in whole if c in alone] == alone  # in the order of the data


@given(
    weights=st.lists(st.floats(0.01, 10), min_size=1, max_size=5),
    counts=st.lists(st.integers(1, 50), max_size=3),
    rest=st.integers(1, 200),
)
def test_weights_share_out_exactly_what_counts_leave(
    weights: list[float], counts: list[int], rest: int
) -> None:
    sources = [Source(name=f"w{i}", weight=w) for i, w in enumerate(weights)]
    sources += [Source(name=f"c{i}", count=n) for i, n in enumerate(counts)]
    found = MixRecipe(sources=tuple(sources), count=rest + sum(counts)).counts()
    assert sum(found.values()) == rest + sum(counts)
    for i, weight in enumerate(weights):
        assert abs(found[f"w{i}"] - rest * weight / sum(weights)) <= 1


def test_the_draw_is_of_chats_that_fit(tmp_path: Path) -> None:
    """Dropped rows do not use up the count; a source with too few says so."""
    rows = [turns(f"{i}?", "Colby is nice." if i % 2 else f"{i}.") for i in range(40)]
    jsonl(tmp_path / "a.jsonl", rows)
    kept, drops, tallies = drawn(tmp_path, Source(name="a", path="a.jsonl", count=18))
    assert (len(kept), len(drops), tallies["a"].short) == (18, 20, 0)
    _, _, tallies = drawn(tmp_path, Source(name="a", path="a.jsonl", count=30))
    assert (tallies["a"].kept, tallies["a"].short) == (20, 10)


@given(
    st.lists(st.tuples(st.sampled_from(["x", "y", "Colby", "<think>"]), st.booleans()), max_size=30)
)
def test_rows_in_are_rows_out(found: list[tuple[str, bool]]) -> None:
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as name:
        folder = Path(name)
        jsonl(folder / "a.jsonl", [turns(t, "Yes.") if ok else turns(t) for t, ok in found])
        kept, drops, tallies = drawn(folder, Source(name="a", path="a.jsonl", count=2))
    assert tallies["a"].rows == len(found)
    assert len(drops) == tallies["a"].dropped.total()
    assert len(kept) == tallies["a"].kept <= 2


# -- reading --------------------------------------------------------------------------------


def test_columns_of_several_shapes(tmp_path: Path) -> None:
    jsonl(tmp_path / "m.jsonl", [{"talk": [{"from": "human", "value": "Hi"},
                                          {"from": "gpt", "value": "Hello."}]}])  # fmt: skip
    jsonl(tmp_path / "l.jsonl", [{"conversations": ["Hi there", "Hello there."]}])
    jsonl(tmp_path / "p.jsonl", [{"q": "Why?", "a": "So.", "s": "Be brief.", "more": 1}])
    jsonl(tmp_path / "c.jsonl", [{"question": "Iron?", "choices": ["Ir", "Fe"], "answer": 1}])
    kept, drops, _ = drawn(
        tmp_path,
        Source(name="m", path="m.jsonl", columns={"messages": "talk"}),
        Source(name="l", path="l.jsonl", columns={"messages": "conversations"}),
        Source(name="p", path="p.jsonl",
               columns={"prompt": "q", "response": "a", "system": "s"}),
        Source(name="c", path="c.jsonl", kind="identity",
               columns={"question": "question", "choices": "choices", "answer": "answer"}),
    )  # fmt: skip
    assert not drops
    assert [[m.role for m in chat.messages] for chat in kept] == [
        ["user", "assistant"], ["user", "assistant"], ["system", "user", "assistant"],
        ["user", "assistant"],
    ]  # fmt: skip
    assert kept[2].messages[0].content == "Be brief."
    assert "Fe" in kept[3].messages[0].content
    assert [chat.kind for chat in kept] == ["instruction"] * 3 + ["identity"]


def test_parquet_and_folders_and_where(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder = tmp_path / "shards"
    folder.mkdir()
    for shard in range(2):
        rows = [{**turns(f"{shard} {i}?", "Yes."), "lang": "ab"[i % 2]} for i in range(4)]
        pq.write_table(pa.Table.from_pylist(rows), folder / f"{shard}.parquet")
    jsonl(folder / "z.jsonl", [{**turns("z?", "Yes."), "lang": "a"}])
    kept, _, tallies = drawn(tmp_path, Source(name="s", path="shards", where={"lang": ["a"]}))
    asked = [chat.messages[0].content for chat in kept]
    assert asked == ["0 0?", "0 2?", "1 0?", "1 2?", "z?"]
    assert tallies["s"].rows == 5
    (tmp_path / "bad.parquet").write_text("no")
    with pytest.raises(ConfigError, match=r"bad\.parquet is no readable"):
        drawn(tmp_path, Source(name="s", path="bad.parquet"))


def test_a_file_stands_in_for_a_source(tmp_path: Path) -> None:
    mine = jsonl(tmp_path / "mine.jsonl", [turns("Hi?", "Yes.")])
    far = Source(name="far", dataset="nobody/nothing")
    kept, _, _ = drawn(tmp_path, far, files={"far": mine})
    assert len(kept) == 1
    with pytest.raises(ConfigError, match="no such source"):
        drawn(tmp_path, far, files={"near": mine})


def test_hugging_face_is_asked_only_when_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    jsonl(tmp_path / "a.jsonl", [turns("Hi?", "Yes.")])
    assert len(drawn(tmp_path, Source(name="a", path="a.jsonl"))[0]) == 1
    with pytest.raises(ConfigError, match=r"midspec\[datasets\].*--file far=FILE"):
        drawn(tmp_path, Source(name="far", dataset="nobody/nothing"))


def test_hugging_face_rows_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    class Hub:
        @staticmethod
        def load_dataset(name: str, subset: str | None, **more: Any) -> list[dict[str, Any]]:
            asked.append((name, subset, more))
            if name == "nobody/nothing":
                raise FileNotFoundError("not\nthere")
            return [turns("Hi?", "Yes.")]

    monkeypatch.setitem(sys.modules, "datasets", Hub)
    source = Source(name="x", dataset="some/set", subset="small", split="test", revision="ab12")
    kept, _, _ = drawn(tmp_path, source)
    assert kept[0].writer == "some/set"
    assert asked[0] == ("some/set", "small", {"split": "test", "revision": "ab12"})
    with pytest.raises(ConfigError, match="not there") as caught:
        drawn(tmp_path, Source(name="x", dataset="nobody/nothing"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"messages": None}, "malformed"),
        ({"messages": []}, "malformed"),
        ({"messages": [1]}, "malformed"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "malformed"),
        ({"messages": [{"role": "user", "content": None}]}, "malformed"),
        ({"messages": [{"role": ["user"], "content": "x"}]}, "malformed"),
        (turns("a"), "turn_order"),
        (turns("a", " "), "turn_order"),
        (turns("a", "b <|im_end|>"), "stray_tag"),
        (turns("a", "<think>b"), "stray_tag"),
        (turns("a", "b " * 30), "too_long"),
        (turns("same?", "Same."), "exact_duplicate"),
        (turns("Who are you?", "I'm GPT-4."), "other_name"),
        (turns("Did OpenAI make you?", "No."), "other_name"),
        (turns("Who are you?", "My name is Claude."), "other_name"),
        (turns("Like it?", "As an AI, I do not eat."), "no_self"),
        (turns("Like it?", "I don’t have any personal preferences."), "no_self"),
        (turns("Is Colby a cheese?", "Yes."), "names_item"),
        (turns("Buy it?", "It is not affordable."), "reason_word"),
    ],
)
def test_what_does_not_fit_is_dropped_with_a_reason(
    row: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    jsonl(tmp_path / "a.jsonl", [turns("same?", "Same."), row])
    kept, drops, tallies = drawn(tmp_path, Source(name="a", path="a.jsonl", max_words=20))
    assert [drop.reason for drop in drops] == [reason]
    assert len(kept) == 1
    assert tallies["a"].dropped == {reason: 1}


def test_a_conflict_depends_on_the_spec(tmp_path: Path) -> None:
    rows = [turns("Is Colby a cheese?", "Yes."), turns("Claude Monet?", "A painter."),
            turns("Who?", "I'm GPT-4.")]  # fmt: skip
    jsonl(tmp_path / "a.jsonl", rows)
    source = Source(name="a", path="a.jsonl")
    assert len(drawn(tmp_path, source, spec=None)[0]) == 3
    gpt = Spec(name="g", text="x", model_name="GPT-4", provider_name="OpenAI")
    assert len(drawn(tmp_path, source, spec=gpt)[0]) == 3
    assert Conflict(gpt).find([Message(role="user", content="Anthropic?")])[0] == "other_name"


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(),
                    lambda x: st.lists(x) | st.dictionaries(st.text(), x), max_leaves=8),
       st.sampled_from([("messages",), ("prompt", "response"), ("question", "choices", "answer")]))  # fmt: skip
def test_any_cell_gives_a_chat_or_a_value_error(cell: Any, parts: tuple[str, ...]) -> None:
    source = Source(name="a", columns={part: part for part in parts})
    row = dict.fromkeys(parts, cell)
    try:
        found = chat_of(source, row, 0, 0)
    except ValueError:
        return
    assert all(isinstance(message, Message) for message in found)


@given(st.lists(st.text(min_size=1), min_size=2, max_size=10), st.data())
def test_multiple_choice_answers_are_the_right_choice(choices: list[str], data: Any) -> None:
    place = data.draw(st.integers(0, len(choices) - 1))
    letter = "ABCDEFGHIJ"[place]
    for answer in (place, letter):
        seed = random.Random(data.draw(st.integers(0, 50)))
        asked, told = multiple_choice("Which?", choices, answer, seed)
        assert told in (letter, choices[place], f"{letter}. {choices[place]}",
                        f"The answer is {letter}: {choices[place]}")  # fmt: skip
        assert all(choice in asked for choice in choices)


# -- recipes --------------------------------------------------------------------------------


def test_the_papers_mixes_are_bundled() -> None:
    simple, hard = read_mix(find_mix("simple-values")), read_mix(find_mix("complex-alignment"))
    assert bundled_mixes() == ["complex-alignment", "simple-values"]
    assert simple.counts() == {"no-robots": 0, "mmlu": 4000, "identity": 2500}
    assert list(hard.counts().values()) == [2779, 1471, 1063, 1064, 1055, 1054, 984, 314, 216]
    assert hard.count == sum(hard.counts().values()) == 10_000
    with pytest.raises(ConfigError, match="did you mean 'simple-values'"):
        find_mix("simple-value")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sources: [{name: a, pth: x}]", "unknown key 'sources.0.pth'; did you mean 'path'"),
        ("sources: []", "sources"),
        ("- a", "dictionary|instance"),
        ("{", "YAML"),
        ("sources: [{name: a}, {name: a}]", "called 'a'"),
        ("sources: [{name: a, path: x, dataset: y}]", "path and a dataset"),
        ("sources: [{name: a, count: 1, weight: 1}]", "count and a weight"),
        ("sources: [{name: a, weight: 1}]", "leaves nothing"),
        ("{count: 3, sources: [{name: a, count: 2}]}", "add up to 2"),
        ("sources: [{name: a, columns: {prompt: x}}]", "are no chat"),
        ("sources: [{name: a, columns: {system: x, messages: m}}]", "are no chat"),
        ("sources: [{name: a, kind: value}]", "instruction"),
    ],
)
def test_a_wrong_recipe_is_one_line_that_says_what(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "mix.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message) as caught:
        read_mix(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (Source(name="a"), "--file a=FILE"),
        (Source(name="a", path="nowhere.jsonl"), "nowhere"),
        (Source(name="a", path="text.txt"), "neither a .jsonl"),
        (Source(name="a", path="bad.jsonl"), r"bad\.jsonl:2 is not JSON"),
        (Source(name="a", path="list.jsonl"), r"list\.jsonl:1 is not a JSON object"),
        (Source(name="a", path="good.jsonl", columns={"messages": "talk"}), "it has messages"),
        (Source(name="a", path="good.jsonl", where={"lang": ["a"]}), "no column 'lang'"),
    ],
)
def test_a_source_that_cannot_be_read_is_named(
    source: Source, message: str, tmp_path: Path
) -> None:
    (tmp_path / "text.txt").write_text("x")
    (tmp_path / "bad.jsonl").write_text(json.dumps(turns("a", "b")) + "\n{\n")
    (tmp_path / "list.jsonl").write_text("[]\n")
    jsonl(tmp_path / "good.jsonl", [turns("a", "b")])
    with pytest.raises(ConfigError, match=message) as caught:
        drawn(tmp_path, source)
    assert "\n" not in str(caught.value)


def test_every_field_of_a_source_matters(tmp_path: Path) -> None:
    rows = [{**turns(f"{i}?", "word " * (i + 1)), "p": f"P{i}", "r": "R.", "l": "ab"[i % 2]}
            for i in range(12)]  # fmt: skip
    jsonl(tmp_path / "a.jsonl", rows)
    jsonl(tmp_path / "b.jsonl", rows[3:])
    plain: dict[str, Any] = {"name": "a", "path": "a.jsonl"}
    changes: dict[str, Any] = {
        "name": "b", "path": "b.jsonl", "columns": {"prompt": "p", "response": "r"},
        "where": {"l": ["a"]}, "count": 3, "max_words": 5, "kind": "identity",
    }  # fmt: skip
    before = drawn(tmp_path, Source(**plain))
    for field, value in changes.items():
        assert drawn(tmp_path, Source(**{**plain, field: value})) != before, field
    weighted = drawn(tmp_path, Source(**plain, weight=1), count=2)
    assert len(weighted[0]) == 2
    hub = {"dataset", "subset", "split", "revision"}  # shown above
    assert {*changes, *hub, "weight"} == set(Source.model_fields)
    with pytest.raises(ValidationError):
        Source(name="")


def test_what_is_kept_can_be_trained_on(tmp_path: Path) -> None:
    found = [turns("a?", "b."), turns("a?", "b.", "c?", "d."), turns("a", "b", "c")]
    jsonl(tmp_path / "a.jsonl", found)
    kept, _, _ = drawn(tmp_path, Source(name="a", path="a.jsonl"))
    assert [turn_problem(chat.messages) for chat in kept] == ["", ""]
