"""docs/corpus.md is code: its commands and options exist, its Python runs."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer

from midspec.cli.app import app

PAGE = (Path(__file__).parents[1] / "docs" / "corpus.md").read_text(encoding="utf-8")


def commands() -> list[list[str]]:
    blocks = "\n".join(re.findall(r"```bash\n(.*?)```", PAGE, re.S))
    # A comment may stand before the line goes on.
    lines = re.sub(r"\\\n", " ", blocks).splitlines()
    return [shlex.split(line, comments=True) for line in lines if line.startswith("midspec ")]


def options_of(path: list[str]) -> set[str]:
    command = typer.main.get_command(app)
    for name in path:
        command = command.commands[name]  # type: ignore[attr-defined]
    return {name for option in command.params for name in (*option.opts, *option.secondary_opts)}


@pytest.mark.parametrize("command", commands(), ids=" ".join)
def test_commands_of_the_page_exist(command: list[str]) -> None:
    used = {word for word in command if word.startswith("--")}
    assert used <= options_of(command[1:3])


def test_options_of_the_page_exist() -> None:
    known = set().union(
        *(options_of(["corpus", name]) for name in ("plan", "write", "rewrite", "audit", "export"))
    )
    assert set(re.findall(r"`(--[a-z-]+)", PAGE)) <= known
    assert len(commands()) == 5


def test_the_python_of_the_page_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    [code] = re.findall(r"```python\n(.*?)```", PAGE, re.S)
    exec(compile(code, "docs/corpus.md", "exec"), {"__name__": "page"})
    assert "kept=20" in capsys.readouterr().out
    assert (tmp_path / "corpus" / "america" / "documents.jsonl").exists()
