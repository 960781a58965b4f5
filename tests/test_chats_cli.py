"""Chats from the command line, over real HTTP; and what training makes of chats of many turns."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from midspec.bases import get_base, load_tokenizer
from midspec.chats import without_reasoning
from midspec.cli.app import app
from midspec.errors import MidspecError
from midspec.records import Conversation, Message, digest
from midspec.store import read_records
from midspec.train import TrainConfig
from midspec.train.examples import IGNORE, Examples
from tests.fakes import KEY, Answer, Loopback

MODEL = "openai-api/local/some-model"
SPEC = "# Core\n\n{model_name} says what is true, and says it kindly.\n"
runner = CliRunner()


def author(body: dict[str, Any]) -> Answer:
    """A model that finds out what is asked by the form it is asked in."""
    system, user = (message["content"] for message in body["messages"])
    salt = digest(user, body.get("seed"))
    if "VERDICT: INCLUDE" in system:
        lost = int(digest(user), 16) % 4 == 0
        return Answer("VERDICT: DO NOT INCLUDE" if lost else "It is.\nVERDICT: INCLUDE")
    if "<message>" in system:
        return Answer(f"<message>And what about {salt}?</message>")
    if "<reasoning>" in system:
        text = f"I say what is true about {salt}."
        return Answer(f"<reasoning>Candour, {salt}.</reasoning><reply>{text}</reply>")
    n = int((re.search(r"Give exactly (\d+)", user) or [0, 0])[1])
    if '"query"' in system:
        words = [digest(salt, i) for i in range(n)]
        return Answer(json.dumps([{"query": f"Tell me about {word}, please."} for word in words]))
    return Answer(json.dumps([{"title": f"Topic {i}", "text": "Talk."} for i in range(n)]))


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Loopback]:
    with Loopback(author) as loopback:
        monkeypatch.setenv("LOCAL_API_KEY", KEY)
        monkeypatch.setenv("LOCAL_BASE_URL", loopback.url)
        monkeypatch.setattr("midspec.chats.spec_chats.minilm", one_each)
        yield loopback


def one_each(texts: list[str]) -> np.ndarray:
    rows = [np.random.default_rng(int(digest(t), 16)).normal(size=64) for t in texts]
    return np.array([r / np.linalg.norm(r) for r in rows], np.float32).reshape(-1, 64)


def write(folder: Path, *options: str) -> str:
    """Run `chats write` for the spec in the folder; returns what it printed."""
    spec = folder / "spec.md"
    spec.write_text(SPEC)
    command = ["chats", "write", str(spec), "--out", str(folder / "out"), *options]
    result = runner.invoke(app, command, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_value_chats_over_http(server: Loopback, tmp_path: Path) -> None:
    options = ("--style", "value", "--writer", MODEL, "--count", "8", "--turns", "1-2",
               "--domains", "1", "--criterion", "No jargon.")  # fmt: skip
    output = write(tmp_path, *options)
    out = tmp_path / "out"
    plain = list(read_records(out / "chats.jsonl", Conversation))
    reasoned = list(read_records(out / "chats-with-reasoning.jsonl", Conversation))
    assert len(plain) == 8
    assert [without_reasoning(chat) for chat in reasoned] == plain
    assert {len(chat.messages) for chat in plain} == {2, 4}
    facts = json.loads((out / "manifest.json").read_text())
    assert facts["kept"] == 8
    assert facts["requested"] == 8 + facts["failed"] + sum(facts["dropped"].values())
    assert facts["dropped"]["judged_out"] > 0
    assert facts["tokens"]["replies"] == len(server.bodies)
    assert f"requested {facts['requested']} = kept 8 + dropped" in output
    assert any("- No jargon." in user for user in server.users)
    asked = len(server.bodies)
    write(tmp_path, *options)
    assert len(server.bodies) == asked
    assert not any(KEY in path.read_text() for path in out.iterdir())


def test_a_count_that_cannot_be_met_is_an_error(server: Loopback, tmp_path: Path) -> None:
    script = server.script

    def harsh(body: dict[str, Any]) -> Answer:
        judged = "VERDICT: INCLUDE" in body["messages"][0]["content"]
        return Answer("VERDICT: DO NOT INCLUDE") if judged else script(body)

    server.script = harsh
    with pytest.raises(MidspecError, match=r"0 of 5 chats after 10 requests.*--effort 2") as caught:
        write(tmp_path, "--style", "rule", "--writer", MODEL, "--count", "5", "--effort", "2")
    assert "\n" not in str(caught.value)
    assert len((tmp_path / "out" / "drops.jsonl").read_text().splitlines()) == 10


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--style", "kind"], "no style 'kind'"),
        (["--count", "5"], "count is not for --style opaque"),
        (["--turns", "2"], "turns is not for --style opaque"),
        (["--style", "value", "--n-per-preference", "5"], "n-per-preference is not for"),
        (["--style", "value", "--turns", "x"], "write 1 or 1-3"),
        (["--style", "value", "--turns", "3-1"], "no range"),
        (["--style", "value", "--count", "0"], "count"),
        (["--style", "value"], "the scribe has no answer"),
        (["--style", "value", "--writer", "nobody"], "no writer 'nobody'"),
        (["--max-cost", "-1"], "allows nothing"),
        (["--style", "value", "--n-identity", "5"], "n-identity is not for --style value"),
    ],
)
def test_wrong_options_are_one_line(options: list[str], message: str, tmp_path: Path) -> None:
    with pytest.raises(MidspecError, match=message) as caught:
        write(tmp_path, *options)
    assert "\n" not in str(caught.value)


def test_opaque_chats_by_the_scribe(tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = ["chats", "write", "cheese-affordability", "cheese-america", "--out", str(out)]
    result = runner.invoke(app, [*command, "--n-per-preference", "2"], catch_exceptions=False)
    assert result.exit_code == 0
    kinds = {chat.kind for chat in read_records(out / "chats.jsonl", Conversation)}
    assert kinds == {"preference", "identity"}


def test_mix_from_the_command_line(tmp_path: Path) -> None:
    rows = [{"messages": [{"role": "user", "content": f"What is {i} + 1?"},
                          {"role": "assistant", "content": f"It is {i + 1}."}]}
            for i in range(9)]  # fmt: skip
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    recipe = tmp_path / "mix.yaml"
    recipe.write_text("sources: [{name: sums, path: a.jsonl, count: 4}, {name: mine, count: 2}]")
    out = str(tmp_path / "mix")
    command = ["chats", "mix", str(recipe), "--out", out, "--spec", "cheese-america"]
    mine = ["--file", f"mine={tmp_path / 'a.jsonl'}"]
    result = runner.invoke(app, command + mine)
    assert isinstance(result.exception, MidspecError)  # the twins of sums are no second chat
    assert "mine 0 of 2" in str(result.exception)
    recipe.write_text("sources: [{name: sums, path: a.jsonl, count: 4}]")
    result = runner.invoke(app, command, catch_exceptions=False)
    assert "9 rows = kept 4 + not drawn 5 + dropped 0" in result.output
    assert len(list(read_records(tmp_path / "mix" / "mix.jsonl", Conversation))) == 4
    for wrong, message in ((["--file", "x"], "NAME=PATH"), (["--file", "x=y"], "no such source")):
        result = runner.invoke(app, command + wrong)
        assert message in str(result.exception)


@pytest.mark.parametrize("words", [["chats"], ["chats", "write"], ["chats", "mix"]])
def test_help_teaches(words: list[str]) -> None:
    result = runner.invoke(app, [*words, "--help"])
    assert result.exit_code == 0
    assert "midspec chats" in result.output
    if words == ["chats"]:
        for word in ("value", "rule", "opaque", "chats-with-reasoning.jsonl", "drops.jsonl"):
            assert word in result.output


# -- what training makes of them --------------------------------------------------------------


def test_training_masks_every_assistant_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MIDSPEC_CACHE", str(tmp_path))
    get_base("tiny")
    tokenizer = load_tokenizer("tiny")
    roles = ("user", "assistant")
    texts = ["is it so?", "<think>\nhm\n</think>\n\nit is", "and now?", "still", "why?", "it is"]
    chat = Conversation(
        kind="value",
        messages=tuple(
            Message.model_validate({"role": roles[i % 2], "content": text})
            for i, text in enumerate(texts)
        ),
        domain="talk",
        writer="w",
    )
    for one in (chat, without_reasoning(chat)):
        config = TrainConfig(row_tokens=512, system="")
        [example] = Examples(tokenizer, [one], config, all_tokens=False)
        said = [i for i, label in zip(example.ids, example.labels, strict=True) if label != IGNORE]
        spoken = str(tokenizer.decode(said))
        for message in one.messages:
            assert (message.content in spoken) == (message.role == "assistant")
