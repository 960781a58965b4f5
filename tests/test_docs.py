"""Documentation is code: README's commands run, its links and tables are true."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tests.commands import midspec

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()

# Commands that take minutes; `make demo` itself is what CI users run by hand.
LONG = ("midspec demo", "midspec run", "midspec base get", "midspec terrarium build")


def tour() -> list[str]:
    """`midspec ...` lines of README's code blocks, continuation lines joined."""
    blocks = re.findall(r"```(?:bash|sh)\n(.*?)```", README, re.S)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [line.split("  #")[0].strip() for line in lines if line.startswith("midspec ")]


def test_the_tour_is_there() -> None:
    assert len(tour()) >= 8
    assert "make demo" in README
    assert "make test" in README


def test_readme_commands_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In order, in one folder, since later commands use what earlier ones wrote."""
    monkeypatch.chdir(tmp_path)
    for command in tour():
        if command.startswith(LONG):
            continue
        done = midspec(*shlex.split(command)[1:])
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"


@pytest.mark.parametrize("command", sorted({" ".join(c.split()[:2]) for c in tour()}))
def test_long_commands_exist(command: str) -> None:
    done = midspec(*command.split()[1:], "--help")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["README.md", "DESIGN.md", "CONTRIBUTING.md"])
def test_links_and_paths_exist(name: str) -> None:
    text = (ROOT / name).read_text()
    links = [t for t in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in t]
    paths = re.findall(r"`((?:src|tests|recipes|benchmarks)/[\w./-]+)`", text)
    missing = [path for path in (*links, *paths) if not (ROOT / path).exists()]
    assert not missing


def test_the_design_table_names_every_room() -> None:
    design = (ROOT / "DESIGN.md").read_text()
    rooms = [p.name for p in (ROOT / "src" / "midspec").iterdir() if p.is_dir()]
    for room in rooms:
        if not room.startswith("__"):
            assert f"`{room}/`" in design, room
