"""The folders' import directions, as DESIGN.md draws them."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "src" / "midspec"
BOTTOM = {"records", "errors", "tally"}
LOW = BOTTOM | {"store", "progress"}
STAGES = {"spec", "corpus", "chats", "curate", "train", "evals"}
DOORS = {"llm", "bases"}

MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "records": {"errors"},
    "tally": {"records", "errors"},
    "progress": set(),
    "store": BOTTOM,
    "llm": LOW,
    "bases": LOW,
    **dict.fromkeys(STAGES, LOW | DOORS),
    "terrarium": LOW | DOORS | {"train"},
    "report": LOW,
    "experiment": LOW | DOORS | STAGES | {"terrarium", "report"},
    "__main__": {"cli"},
    "cli": LOW | DOORS | STAGES | {"terrarium", "report", "experiment"},
}


def room_of(path: Path) -> str:
    first = path.relative_to(ROOT).parts[0]
    return first.removesuffix(".py")


def imported_rooms(path: Path) -> set[str]:
    rooms: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("midspec"):
            parts = (node.module or "").split(".")
            rooms |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            rooms |= {a.name.split(".")[1] for a in node.names if a.name.startswith("midspec.")}
    return rooms - {"__version__"}


FILES = sorted(p for p in ROOT.rglob("*.py") if p.name != "__init__.py" or p.parent != ROOT)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_go_one_way(path: Path) -> None:
    room = room_of(path)
    assert room in MAY_IMPORT, f"new room {room!r}: add it to DESIGN.md and to this table"
    wrong = imported_rooms(path) - MAY_IMPORT[room] - {room}
    assert not wrong, f"{path.relative_to(ROOT)} imports {sorted(wrong)}"


def test_only_the_cli_prints() -> None:
    for path in FILES:
        if path.name == "cli.py":
            continue
        calls = [
            n.lineno
            for n in ast.walk(ast.parse(path.read_text()))
            if isinstance(n, ast.Call) and isinstance(n.func, ast.Name) and n.func.id == "print"
        ]
        assert not calls, f"{path} prints on lines {calls}"
