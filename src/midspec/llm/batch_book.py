"""What batches were intended, submitted and collected: a journal that survives a kill."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from midspec.store import Journal, read_rows


@dataclass(frozen=True)
class OpenBatch:
    """A batch that was intended and is not collected; ``batch`` is empty until it has an id."""

    key: str
    ids: tuple[str, ...]
    since: float
    batch: str = ""


class Book:
    """What was submitted: ``open`` by our key; ``ids`` are the requests in open batches."""

    def __init__(self, path: Path) -> None:
        self._journal = Journal(path)
        self.open: dict[str, OpenBatch] = {}
        self.ids: set[str] = set()
        self.known: set[str] = set()
        self.n = 0
        for row in read_rows(path):
            self._apply(row)

    def write(self, event: str, key: str, **fields: Any) -> None:
        """Write an event down, then let it count."""
        row = {"event": event, "key": key, "time": time.time(), **fields}
        self._journal.append(row)
        self._apply(row)

    def close(self) -> None:
        """Flush and close."""
        self._journal.close()

    def _apply(self, row: dict[str, Any]) -> None:
        key = row["key"]
        if row["event"] == "intent":
            self.n += 1
            self.open[key] = OpenBatch(key, tuple(row["ids"]), row["time"])
            self.ids.update(row["ids"])
        elif row["event"] == "submitted":
            found = self.open[key]
            self.open[key] = OpenBatch(key, found.ids, found.since, row["batch"])
            self.known.add(row["batch"])
        else:
            self.ids.difference_update(self.open.pop(key).ids)
