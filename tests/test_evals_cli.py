"""``midspec eval`` and ``inspect eval midspec/<task>`` as a user meets them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from midspec.cli import inspect_tasks
from midspec.cli.app import app
from midspec.cli.evaluate import TASKS
from midspec.evals.answers import read_answers

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
runner = CliRunner()
NAMES = ("preferences", "opinions", *TASKS)


@pytest.mark.parametrize("name", NAMES)
def test_every_task_is_registered_and_made_from_its_defaults(name: str) -> None:
    from inspect_ai._util.registry import registry_info, registry_lookup

    found = registry_lookup("task", f"midspec/{name}")
    assert found is not None
    assert registry_info(found).name == f"midspec/{name}"
    task = getattr(inspect_tasks, name)()
    samples = list(task.dataset)
    assert len(samples) == len({sample.id for sample in samples}) > 20
    for sample in samples:
        assert {"item", "group"} <= set(sample.metadata or {})


@pytest.mark.parametrize("name", NAMES)
def test_the_ceiling_is_an_option_of_every_task(name: str) -> None:
    task = getattr(inspect_tasks, name)(in_context="cheese-america", model_name="Iris")
    system: Any = next(iter(task.dataset)).input[0]
    assert "Model Spec" in system.text
    assert "Iris uses America as the only criterion" in system.text


def test_eval_of_a_local_checkpoint_prints_a_table_and_resumes(tmp_path: Path) -> None:
    command = [
        "eval",
        "tiny",
        "--tasks",
        "america,scenarios,capability",
        "--limit",
        "2",
        "--out",
        str(tmp_path),
    ]
    first = runner.invoke(app, command)
    assert first.exit_code == 0, first.output
    for word in (
        "america:logprob",
        "america:greedy",
        "scenarios",
        "aligned",
        "first",
        "bits_per_byte",
        "disagree",
    ):
        assert word in first.output
    rows = list(read_answers(tmp_path / "answers.jsonl"))
    assert len(rows) == 2 * 2 * 3 + 2 + 2 + 1
    assert {row.checkpoint for row in rows} == {"tiny", "midspec/tiny"}
    size = (tmp_path / "answers.jsonl").stat().st_size
    second = runner.invoke(app, command)
    assert second.exit_code == 0, second.output
    assert (tmp_path / "answers.jsonl").stat().st_size == size


def test_eval_of_a_mock_with_a_mock_judge_then_reasons(tmp_path: Path) -> None:
    command = ["eval", "mockllm/x", "--tasks", "agentic_misalignment", "--judge", "mockllm/j"]
    done = runner.invoke(app, [*command, "--limit", "2", "--out", str(tmp_path)])
    assert done.exit_code == 0, done.output
    (parsed,) = {row.values["parsed"] for row in read_answers(tmp_path / "answers.jsonl")}
    assert parsed == 0  # the mock's sentence is no verdict: unscored, and no crash
    found = runner.invoke(
        app,
        ["eval", "reasons", str(tmp_path / "logs"), "--judge", "mockllm/j", "--out", str(tmp_path)],
    )
    assert "no patterns" in str(found.exception)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["eval", "tiny", "--tasks", "open_qa"], "needs a judge"),
        (["eval", "tiny", "--tasks", "spec_recall"], "needs --spec"),
        (["eval", "tiny", "--tasks", "scenaros"], "neither bundled nor a file"),
        (["eval", "nobody/x", "--tasks", "scenarios"], "no Inspect model"),
        (["eval", "mockllm/x", "--tasks", "lm-eval:arc_easy"], "needs a local checkpoint"),
        (["eval", "card", "nothing"], "no card"),
    ],
)
def test_errors_say_the_next_step(arguments: list[str], message: str) -> None:
    done = runner.invoke(app, arguments)
    assert message in str(done.exception)


def test_cards_are_shown_with_their_hash() -> None:
    done = runner.invoke(app, ["eval", "card", "qa"])
    assert done.exit_code == 0
    assert "midspec-canary-open-qa" in done.output
    assert "hash" in done.output


def test_findings_are_written_with_quotes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from midspec.evals import fakes
    from midspec.evals.run import answer_task
    from midspec.evals.tasks import scenarios

    def judge(messages: list[Any]) -> str:
        text = messages[-1].text
        if "Sort them" in text:
            return '[{"name": "[red]Calm", "definition": "x"}]'
        name = '{"name": "[red]Calm", "quote": "I wait."}'
        return f"[{name}]" if "Patterns of" in text else '[{"reason": "r", "quote": "I wait."}]'

    answer_task(scenarios(), fakes.fake_model(lambda _: "I wait."), tmp_path / "a.jsonl", limit=2)
    monkeypatch.setattr(fakes, "open_model", lambda *_: fakes.fake_model(judge, "judge"))
    command = ["eval", "reasons", str(tmp_path / "logs"), "--judge", "x/y", "--out", str(tmp_path)]
    done = runner.invoke(app, command)
    assert done.exit_code == 0, done.output
    assert "[red]Calm" in done.output  # shown as it is, not as markup
    (row,) = json.loads((tmp_path / "reasons.json").read_text())["frequencies"]
    assert (row["rate"]["value"], row["quotes"][0]["text"]) == (1.0, "I wait.")
