"""The specs that come with the package, by name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path

from midspec.errors import SpecError

_FOLDER = Path(__file__).parent.parent / "library" / "specs"


def bundled_specs() -> dict[str, Path]:
    """Name to file of every bundled spec, in order of the names.

    Example:
        >>> "cheese-affordability" in bundled_specs()
        True
    """
    paths = sorted(_FOLDER.rglob("*.md"))
    return {path.relative_to(_FOLDER).with_suffix("").as_posix(): path for path in paths}


def find_spec(name_or_path: str) -> Path:
    """The file of a bundled spec, or the path itself if a file is there.

    Raises:
        SpecError: neither a bundled name nor a file; names a bundled spec if one is near.

    Example:
        >>> find_spec("cheese-america").name
        'cheese-america.md'
    """
    known = bundled_specs()
    if name_or_path in known:
        return known[name_or_path]
    path = Path(name_or_path).expanduser()
    if path.is_file():
        return path
    raise SpecError(
        f"{name_or_path!r} is neither a bundled spec nor a file; {_next_step(path.stem, known)}"
    )


def _next_step(name: str, known: Iterable[str]) -> str:
    """The nearest bundled name if one is near enough to be meant, else where the names are."""
    short = {one.rpartition("/")[2]: one for one in known}
    near = difflib.get_close_matches(name, short, n=1, cutoff=0.7)
    if near:
        return f"did you mean {short[near[0]]!r}?"
    return "check the path, or take a name from `midspec spec list`"
