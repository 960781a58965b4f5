"""The command line as a user meets it: help with examples, one-line errors, exit codes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click
import pytest
import typer
from typer.testing import CliRunner

from midspec.cli.app import app
from tests.commands import midspec

runner = CliRunner()


def commands(group: click.Command, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    children = getattr(group, "commands", None)
    if children is None:
        return [path]
    return [found for name in children for found in commands(children[name], (*path, name))]


ALL = commands(typer.main.get_command(app))


def test_help_shows_the_flow() -> None:
    result = runner.invoke(app, ["--help"])
    assert result.exit_code == 0
    for word in ("spec.md", "midtrain", "finetune", "report", "demo"):
        assert word in result.output


@pytest.mark.parametrize("command", ALL, ids=" ".join)
def test_every_command_has_an_example(command: tuple[str, ...]) -> None:
    result = runner.invoke(app, [*command, "--help"])
    assert result.exit_code == 0
    assert "Example" in result.output
    assert f"midspec {command[0]}" in " ".join(result.output.split())


def test_spec_show() -> None:
    result = runner.invoke(app, ["spec", "show", "cheese-america"])
    assert result.exit_code == 0
    assert "Colby" in result.output
    assert "America" in result.output


def test_lists() -> None:
    for command, word in (
        (["spec", "list"], "cheese-affordability"),
        (["eval", "list"], "america-opinions"),
        (["base", "list"], "smollm2"),
        (["recipes"], "cheese-terrarium"),
    ):
        result = runner.invoke(app, command)
        assert result.exit_code == 0, result.output
        assert word in result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["spec", "show", "cheese-affordabilty"], "cheese-affordability"),
        (["run", "no-such-recipe"], "bundled"),
        (["base", "get", "smolm2"], "smollm2"),
        (["eval", "tiny", "--tasks", "afordability"], "affordability"),
        (["report", "nowhere"], "nowhere"),
    ],
    ids=lambda v: " ".join(v) if isinstance(v, list) else None,
)
def test_errors_are_one_line_with_the_next_step(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = midspec(*arguments)
    assert done.returncode == 1
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("error: ")
    assert message in lines[0]
    assert "Traceback" not in done.stderr


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    """In a process of its own, as a user's shell starts it."""
    command = [sys.executable, "-m", "midspec", "spec", "show", "nothing.md", "--debug"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=120)
    assert done.returncode == 1
    assert "Traceback" in done.stderr


def test_run_without_anything_says_what_to_give() -> None:
    done = midspec("run")
    assert done.returncode == 2
    assert "--spec-a" in done.stderr
