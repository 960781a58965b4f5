"""How long work tells where it is: a callback, so that only the CLI prints."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Called with what is done, of how much, and a short text (loss, name, rate)."""

    def __call__(self, done: int, total: int, text: str = "") -> None:
        """Take note; ``total`` 0 means unknown."""
        ...


def silent(done: int, total: int, text: str = "") -> None:
    """Say nothing."""
