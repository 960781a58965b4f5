"""Artifacts on disk: content-addressed folders that survive a kill at any moment.

An artifact is ``<root>/<stage>/<key>/``: records as append-only JSONL files, checkpoints as
sub-folders, ``manifest.json``, and last of all the empty file ``done``. Nothing else decides
whether work is done. Whole lines are appended and flushed; a reader cuts a torn last line.
"""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from midspec.errors import StoreError

R = TypeVar("R", bound=BaseModel)


def write_atomic(path: Path, text: str) -> None:
    """Write a file so that a reader sees the old content or the new, never a part.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "a.txt"
        >>> write_atomic(path, "hello"); path.read_text()
        'hello'
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    with scratch.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(scratch, path)


class Journal:
    """An append-only JSONL file: one line a row, flushed before ``append`` returns.

    Opening it for append cuts a torn last line, the trace of a kill during a write.
    Threads may append; processes may not share one journal.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        _cut_torn_line(path)
        self._file = path.open("ab")
        self._end = self._file.tell()
        self._lock = threading.Lock()

    def append(self, row: BaseModel | dict[str, Any]) -> int:
        """Append one record or JSON object; the byte at which its line starts."""
        text = row.model_dump_json() if isinstance(row, BaseModel) else json.dumps(row)
        line = text.encode() + b"\n"
        with self._lock:
            start = self._end
            self._file.write(line)
            self._end += len(line)
            self._file.flush()
        return start

    def close(self) -> None:
        """Flush to the disk and close."""
        if not self._file.closed:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _cut_torn_line(path: Path) -> None:
    """Drop what follows the last newline, reading back in blocks."""
    if not path.exists():
        return
    with path.open("rb+") as file:
        end = file.seek(0, os.SEEK_END)
        position = end
        while position > 0:
            start = max(0, position - 65536)
            file.seek(start)
            newline = file.read(position - start).rfind(b"\n")
            if newline >= 0:
                file.truncate(start + newline + 1)
                return
            position = start
        file.truncate(0)


def read_rows(path: Path) -> Iterator[dict[str, Any]]:
    """JSON objects of a JSONL file, one at a time; a torn last line is skipped."""
    if not path.exists():
        return
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.endswith(b"\n"):
                return
            try:
                yield json.loads(line)
            except json.JSONDecodeError as error:
                raise StoreError(
                    f"{path}:{number} is not JSON ({error.msg}); "
                    "delete the artifact's folder to redo the stage"
                ) from error


def read_records(path: Path, kind: type[R]) -> Iterator[R]:
    """Records of a JSONL file, checked against their ids."""
    for number, row in enumerate(read_rows(path), 1):
        try:
            yield kind.model_validate(row)
        except ValidationError as error:
            raise StoreError(
                f"{path}:{number} is not a valid {kind.__name__}: {error.errors()[0]['msg']}; "
                "delete the artifact's folder to redo the stage"
            ) from error


def write_records(path: Path, records: Iterable[BaseModel]) -> int:
    """Write a whole JSONL file atomically; returns the number of lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    n = 0
    with scratch.open("w", encoding="utf-8") as file:
        for record in records:
            file.write(record.model_dump_json() + "\n")
            n += 1
        file.flush()
        os.fsync(file.fileno())
    os.replace(scratch, path)
    return n


class Artifact:
    """The folder of one stage's result.

    Example:
        >>> import tempfile
        >>> artifact = Store(Path(tempfile.mkdtemp())).artifact("documents", "ab12")
        >>> artifact.done, artifact.finish({"n": 3}), artifact.done
        (False, None, True)
        >>> artifact.manifest()["n"]
        3
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def key(self) -> str:
        """The content key: the folder's name."""
        return self.path.name

    @property
    def done(self) -> bool:
        """Whether the stage finished."""
        return (self.path / "done").exists()

    def file(self, name: str) -> Path:
        """Path of a file in the artifact; the folder exists afterwards."""
        self.path.mkdir(parents=True, exist_ok=True)
        return self.path / name

    def manifest(self) -> dict[str, Any]:
        """What ``finish`` wrote."""
        path = self.path / "manifest.json"
        if not path.exists():
            raise StoreError(f"{self.path} has no manifest.json; run the stage to its end first")
        return json.loads(path.read_text())

    def finish(self, manifest: dict[str, Any]) -> None:
        """Write the manifest, then the done marker: the last thing a stage does."""
        write_atomic(self.file("manifest.json"), json.dumps(manifest, indent=1, sort_keys=True))
        write_atomic(self.file("done"), "")

    def discard(self) -> None:
        """Remove the artifact, its done marker first."""
        (self.path / "done").unlink(missing_ok=True)
        shutil.rmtree(self.path, ignore_errors=True)


class Store:
    """Where artifacts live: ``root/<stage>/<key>``."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def artifact(self, stage: str, key: str) -> Artifact:
        """The artifact of a stage and key, there or not."""
        return Artifact(self.root / stage / key)
