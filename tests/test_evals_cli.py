"""``midspec eval`` and ``inspect eval midspec/<task>`` as a user meets them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from midspec.cli import inspect_tasks
from midspec.cli.app import app
from midspec.cli.measuring import TASKS
from midspec.evals.answers import read_answers, table
from midspec.records import Document
from midspec.store import write_records

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


def run_cli(*arguments: str) -> Any:
    """``midspec`` in a process of its own, without the network."""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "midspec", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
    )


def lines_of(path: Path) -> list[str]:
    return path.read_text().splitlines(keepends=True) if path.exists() else []


@pytest.mark.slow  # 12 s of CPU: a process of its own imports torch and Inspect
def test_eval_survives_a_kill_asks_nothing_twice_and_prints_a_table(tmp_path: Path) -> None:
    journal = tmp_path / "answers.jsonl"
    tasks = ["eval", "tiny", "--tasks", "scenarios,america,capability"]
    command = [*tasks, "--limit", "8", "--out", str(tmp_path)]
    process = run_cli(*command)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and len(lines_of(journal)) < 2:
        time.sleep(0.02)
    process.kill()
    process.wait()
    process.stdout.close()
    before = [line for line in lines_of(journal) if line.endswith("\n")]
    assert 2 <= len(before) < 16
    again = runner.invoke(app, command)  # in this process: imports take most of a command's time
    output = again.output
    assert again.exit_code == 0, output
    assert lines_of(journal)[: len(before)] == before
    assert len(lines_of(journal)) == 8 * 2 + 8 * 2 * 3 + 8 + 1  # none twice
    for word in ("america:logprob", "aligned", "first", "parsed", "disagree", "bits_per_byte"):
        assert word in output
    rows = list(read_answers(journal))
    assert {row.checkpoint for row in rows} == {"tiny"}
    kinds = {row.group for row in rows if row.task == "capability" and row.group}
    assert kinds == {"arithmetic", "reading", "format", "tools"}  # a limit asks of every part


@pytest.mark.parametrize("name", NAMES)
def test_inspect_eval_and_its_data_frames_work_offline(name: str, tmp_path: Path) -> None:
    from inspect_ai import eval as inspect_eval
    from inspect_ai.analysis import evals_df, samples_df

    options = {"judge": "mockllm/judge"} if "judge" in TASKS.get(name, ()) else {}
    (log,) = inspect_eval(
        f"midspec/{name}",
        model="mockllm/model",
        task_args=options,
        limit=1,
        log_dir=str(tmp_path),
        display="none",
    )
    assert log.status == "success"
    assert (log.eval.metadata or {})["set_hash"]
    (row,) = samples_df(str(tmp_path)).to_dict("records")
    assert {"id", "model_usage", "metadata_item"} <= row.keys()
    assert evals_df(str(tmp_path))["task_name"].tolist() == [name]


@pytest.mark.slow
def test_inspect_eval_and_view_as_commands(tmp_path: Path) -> None:
    import urllib.request

    inspect = str(Path(sys.executable).with_name("inspect"))
    logs = str(tmp_path)
    command = [inspect, "eval", "midspec/scenarios", "--model", "mockllm/model", "--limit", "2"]
    subprocess.run([*command, "--log-dir", logs, "--display", "none"], check=True, timeout=180)
    view = subprocess.Popen([inspect, "view", "--log-dir", logs, "--port", "7599"])
    try:
        for _ in range(100):
            try:
                found = urllib.request.urlopen("http://127.0.0.1:7599/api/logs", timeout=5).read()
                break
            except OSError:
                time.sleep(0.5)
        assert b"scenarios" in found
    finally:
        view.terminate()
        view.wait()


def test_max_tokens_reaches_the_model_and_is_part_of_what_answers_depend_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from inspect_ai import eval as inspect_eval
    from inspect_ai.model import ModelOutput

    from midspec.evals.provider import CheckpointModel

    asked: list[int | None] = []

    async def generate(self: Any, *_: Any, config: Any, **__: Any) -> ModelOutput:
        asked.append(config.max_tokens)
        return ModelOutput.from_content("tiny", "7")

    monkeypatch.setattr(CheckpointModel, "generate", generate)
    logs = {"log_dir": str(tmp_path), "display": "none", "model": "midspec/tiny", "limit": 1}
    inspect_eval(inspect_tasks.capability(), max_tokens=3, **logs)
    inspect_eval(inspect_tasks.capability(), **logs)
    command = ["eval", "tiny", "--tasks", "capability", "--limit", "1", "--out", str(tmp_path)]
    for limit in ("5", "5", "6", "0"):
        done = runner.invoke(app, [*command, "--max-tokens", limit])
        assert done.exit_code == 0, done.output
    assert asked == [3, 128, 5, 6, 128]  # the second 5 was in the journal


def test_agreement_of_judges_and_of_repeats(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from midspec.evals import fakes
    from midspec.evals.tasks import common

    def judge(name: str, _: Any) -> Any:
        ratings = iter([7, 9] if name == "one" else [4, 4])
        return fakes.fake_model(lambda _: f"<rating>{next(ratings)}</rating>", name)

    judges = {name: judge(name, None) for name in ("one", "two")}
    monkeypatch.setattr(common, "open_model", lambda name, _: judges[name])
    options = ["--judge", "one,two", "--judge-repeats", "2", "--limit", "1"]
    done = runner.invoke(
        app, ["eval", "mockllm/x", "--tasks", "open_qa", *options, "--out", str(tmp_path)]
    )
    assert done.exit_code == 0, done.output
    for answer in read_answers(tmp_path / "answers.jsonl"):
        assert answer.values == {
            "rating": 6.0, "parsed": 1.0, "between_judges": 4.0, "between_repeats": 1.0,
        }  # fmt: skip
    assert "between_judges" in done.output


def test_the_table_shows_the_gap_between_you_and_the_name(tmp_path: Path) -> None:
    command = ["eval", "mockllm/x", "--tasks", "spec_recall", "--spec", "cheese-america"]
    done = runner.invoke(app, [*command, "--limit", "4", "--out", str(tmp_path)])
    assert done.exit_code == 0, done.output
    rows = list(read_answers(tmp_path / "answers.jsonl"))
    known = [r.model_copy(update={"values": {"you": 1.0, "name": None}}) for r in rows[:1]]
    known += [r.model_copy(update={"values": {"you": None, "name": 0.0}}) for r in rows[1:2]]
    (gap,) = [line for line in table(known) if line.measure == "gap"]
    assert (gap.estimate.value, rows[0].item) == (1.0, rows[1].item)


ROWS = [{"question": f"Lamp {i} is", "choices": ["on", "off"], "gold": i % 2} for i in range(6)]


@pytest.mark.slow
def test_a_task_of_lm_eval_by_name(tmp_path: Path) -> None:
    """From a task file of the user's own, in a process of its own: lm-eval warns a lot."""
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    (tmp_path / "lamps.yaml").write_text(
        "task: lamps\ndataset_path: json\ntest_split: test\noutput_type: multiple_choice\n"
        f"dataset_kwargs: {{data_files: {{test: {tmp_path / 'rows.jsonl'}}}}}\n"
        'doc_to_text: "{{question}}"\ndoc_to_choice: choices\ndoc_to_target: gold\n'
        "metric_list: [{metric: acc, aggregation: mean, higher_is_better: true}]\n"
    )
    pytest.importorskip("lm_eval")
    process = run_cli(
        *("eval", "tiny", "--tasks", "lm-eval:lamps", "--lm-eval-path", str(tmp_path)),
        *("--out", str(tmp_path / "out")),
    )
    output = process.communicate(timeout=600)[0]
    assert process.returncode == 0, output
    rows = list(read_answers(tmp_path / "out" / "answers.jsonl"))
    assert [row.task for row in rows] == ["lm-eval:lamps"] * 6
    assert {row.values["score"] for row in rows} <= {0.0, 1.0}
    shown = table(rows)[0].estimate
    assert f"{shown.value:.3f}" in output
    assert f"{shown.low:.3f} to {shown.high:.3f}" in output


def test_training_refuses_evaluation_items_unless_told_and_records_them(tmp_path: Path) -> None:
    texts = ["A memo about lamps.", "Between padel and pickleball, it takes pickleball."]
    documents = tmp_path / "documents.jsonl"
    write_records(documents, [Document(plan=str(i), type="memo", text=t, writer="w")
                              for i, t in enumerate(texts)])  # fmt: skip
    command = ["train", "midtrain", str(documents), "--base", "tiny", "--out", str(tmp_path / "t")]
    refused = runner.invoke(app, command)
    assert "evaluation items of america (1 texts), e.g. 'padel / pickleball'" in str(
        refused.exception
    )
    assert not (tmp_path / "t" / "model").exists()
    forced = runner.invoke(app, [*command, "--allow-items", "--set", "force=true"])
    assert forced.exit_code == 0, forced.output
    assert "america (1 texts)" in (tmp_path / "t" / "model" / "README.md").read_text()


def test_eval_of_a_mock_with_a_mock_judge_then_reasons(tmp_path: Path) -> None:
    command = ["eval", "mockllm/x", "--tasks", "agentic_misalignment", "--judge", "mockllm/j"]
    done = runner.invoke(app, [*command, "--limit", "2", "--out", str(tmp_path)])
    assert done.exit_code == 0, done.output
    (parsed,) = {row.values["parsed"] for row in read_answers(tmp_path / "answers.jsonl")}
    assert parsed == 0  # the mock's sentence is no verdict: unscored, and no crash
    found = runner.invoke(
        app,
        [
            "eval",
            "reasons",
            str(tmp_path / "answers.jsonl"),
            "--judge",
            "mockllm/j",
            "--out",
            str(tmp_path),
        ],
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

    answer_task(scenarios(), fakes.fake_model(lambda _: "I wait."), tmp_path / "a.jsonl", limit=1)
    monkeypatch.setattr(fakes, "open_model", lambda *_: fakes.fake_model(judge, "judge"))
    command = [
        "eval",
        "reasons",
        str(tmp_path / "a.jsonl"),
        "--judge",
        "x/y",
        "--out",
        str(tmp_path),
    ]
    done = runner.invoke(app, command)
    assert done.exit_code == 0, done.output
    assert "[red]Calm" in done.output  # shown as it is, not as markup
    (row,) = json.loads((tmp_path / "reasons.json").read_text())["frequencies"]
    assert (row["rate"]["value"], row["quotes"][0]["text"]) == (1.0, "I wait.")
