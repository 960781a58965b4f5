"""The embedded base models, and how a base's name becomes a folder or a Hugging Face id."""

from __future__ import annotations

import difflib
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

from pydantic import Field

from midspec.bases import smollm2, tiny
from midspec.errors import BaseError
from midspec.progress import Progress, silent
from midspec.records import Frozen

TERRARIUM = Path(__file__).parent.parent / "library" / "terrarium" / "base"
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


class BaseInfo(Frozen):
    """One embedded base model."""

    name: str
    description: str
    parameters: int = Field(description="number of weights, about")
    licence: str
    ready: bool = Field(description="whether it can be loaded without more work")
    path: Path = Field(description="where its folder is, or will be")


def cache_folder() -> Path:
    """Where made and converted bases are kept: ``MIDSPEC_CACHE``, or ``~/.cache/midspec``."""
    return Path(os.environ.get("MIDSPEC_CACHE") or Path.home() / ".cache" / "midspec")


def list_bases() -> list[BaseInfo]:
    """The embedded bases; looks at the disk, makes nothing.

    Example:
        >>> [base.name for base in list_bases()]
        ['smollm2', 'terrarium', 'tiny']
    """
    return [
        _info("smollm2", smollm2.DESCRIPTION, 134_515_008, "Apache-2.0"),
        _info("terrarium", "a small world's model, trained here: words, people, values", 1_000_000),
        _info("tiny", "random weights over bytes: for tests, knows nothing", tiny.PARAMETERS),
    ]


def _info(name: str, text: str, parameters: int, licence: str = "Apache-2.0") -> BaseInfo:
    path = TERRARIUM if name == "terrarium" else cache_folder() / "bases" / name
    return BaseInfo(
        name=name,
        description=text,
        parameters=parameters,
        licence=licence,
        ready=_ready(name, path),
        path=path,
    )


def _ready(name: str, path: Path) -> bool:
    if name == "terrarium":
        return (path / "config.json").exists()
    marker = path / "done"
    return marker.exists() and marker.read_text() == _MAKERS[name][0]


_MAKERS: dict[str, tuple[str, Callable[[Path, Progress], None]]] = {
    "smollm2": (smollm2.VERSION, smollm2.convert),
    "tiny": (tiny.VERSION, tiny.make),
}


def get_base(name: str, progress: Progress = silent) -> Path:
    """Folder of an embedded base, made first if need be (``smollm2``: half a minute, once).

    Raises:
        BaseError: the name is not embedded, or what it is made from is not installed.
    """
    info = {base.name: base for base in list_bases()}.get(name)
    if info is None:
        raise BaseError(f"no embedded base {name!r}; {_nearest(name)}")
    if info.ready:
        return info.path
    if name not in _MAKERS:
        raise BaseError(f"base {name!r} is not at {info.path}; reinstall midspec")
    _make(info.path, *_MAKERS[name], progress)
    return info.path


def _make(
    path: Path, version: str, make: Callable[[Path, Progress], None], progress: Progress
) -> None:
    """Make the folder beside its place and rename it, so that a kill leaves nothing half done."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    try:
        make(scratch, progress)
        (scratch / "done").write_text(version)
        if path.exists() and not _same_version(path, version):
            shutil.rmtree(path)
        if not path.exists():
            scratch.rename(path)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _same_version(path: Path, version: str) -> bool:
    marker = path / "done"
    return marker.exists() and marker.read_text() == version


def resolve(base: str) -> Path | str:
    """A base's folder, or its Hugging Face id if it is one.

    ``base`` is an embedded name (made if need be), a local folder with a ``config.json``, or an
    id ``org/name``.

    Raises:
        BaseError: it is none of them; the message names the nearest embedded name.

    Example:
        >>> resolve("meta-llama/Llama-3.1-8B")
        'meta-llama/Llama-3.1-8B'
    """
    if base in {info.name for info in list_bases()}:
        return get_base(base)
    folder = Path(base).expanduser()
    if folder.is_dir():
        if (folder / "config.json").exists():
            return folder
        raise BaseError(f"folder {base!r} has no config.json; name a folder of a saved model")
    if HUB_ID.fullmatch(base):
        return base
    raise BaseError(f"no base {base!r}; {_nearest(base)}")


def _nearest(name: str) -> str:
    names = [info.name for info in list_bases()]
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.4)
    hint = f"did you mean {close[0]!r}? Otherwise" if close else ""
    return f"{hint} use one of {', '.join(names)}, a local folder or an id 'org/name'".strip()
