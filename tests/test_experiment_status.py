"""``midspec experiment status``: what it says while a run goes on, and that it follows to the end."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from midspec.cli.app import app
from midspec.experiment import Stage, make_recipe, run
from midspec.progress import Progress
from tests.test_experiment import SMALL

FEW = {
    **SMALL,
    "name": "watched",
    "base": "tiny",
    "evals": {"A": ["terrarium/cheap"], "max_items": 4, "scorers": ["logprob"], "recall": False},
    "arms": {"AFT": [{"finetune": "aft"}]},
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "watched.yaml"
    path.write_text(yaml.safe_dump(FEW), encoding="utf-8")
    return path


class Watcher:
    """An observer that asks for the status before each stage and in the middle of trainings."""

    def __init__(self, command: list[str]) -> None:
        self.command = command
        self.before: list[str] = []
        self.within: dict[str, str] = {}

    def status(self) -> str:
        found = CliRunner().invoke(app, self.command)
        assert found.exit_code == 0, found.output
        return found.output

    def stages(self, todo: list[Stage], done: list[Stage]) -> None:
        self.n = len(todo) + len(done)

    def started(self, stage: Stage) -> Progress:
        self.before.append(self.status())

        def progress(done: int, total: int, text: str = "") -> None:
            if stage.kind == "finetune" and done == total // 2:
                self.within[stage.label] = self.status()

        return progress

    def finished(self, stage: Stage, seconds: float) -> None: ...


def n_done(said: str) -> tuple[int, int]:
    """What the first line counts."""
    found = re.search(r"all of watched +(\d+)/(\d+)", said)
    assert found, said
    return int(found[1]), int(found[2])


def test_status_follows_a_run_stage_by_stage_and_step_by_step(file: Path, tmp_path: Path) -> None:
    artifacts = tmp_path / "artifacts"
    watcher = Watcher(["experiment", "status", str(file), "--artifacts", str(artifacts)])
    run(make_recipe(FEW), artifacts, tmp_path / "runs", watcher)
    n = watcher.n
    assert [n_done(said) for said in watcher.before] == [(at, n) for at in range(n)]
    [half] = watcher.within.values()
    assert re.search(r"begun +finetune aft, seed 0 +(9|10|11)/20", half)
    assert re.search(r"to do +scores", half)
    assert n_done(watcher.status()) == (n, n)
    assert "to do" not in watcher.status()


@pytest.mark.slow  # three processes
def test_watching_from_another_terminal_ends_with_the_run(file: Path, tmp_path: Path) -> None:
    midspec = [sys.executable, "-m", "midspec", "experiment"]
    watch = subprocess.Popen(
        [*midspec, "status", file.name, "--watch"], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    )
    going = subprocess.Popen([*midspec, "run", file.name], cwd=tmp_path, stdout=subprocess.DEVNULL)
    seen = set()
    while going.poll() is None:
        said = subprocess.run(
            [*midspec, "status", file.name],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        )
        seen.add(n_done(said.stdout)[0])
        time.sleep(0.1)
    assert going.returncode == 0
    said, _ = watch.communicate(timeout=60)
    done, n = n_done(said)
    assert (watch.returncode, done) == (0, n)
    assert seen <= set(range(n + 1))
