"""What lint finds: a level, a place and one line."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from midspec.records import Frozen


class Finding(Frozen):
    """One thing to look at in a spec."""

    level: Literal["error", "warning"]
    where: str = Field(description="section title, item, start of a rule, or 'spec'")
    message: str = Field(description="one line: what is wrong, and what to do")


def error(where: str, message: str) -> Finding:
    """A finding that spoils an experiment."""
    return Finding(level="error", where=_place(where), message=" ".join(message.split()))


def warning(where: str, message: str) -> Finding:
    """A finding to look at."""
    return Finding(level="warning", where=_place(where), message=" ".join(message.split()))


def short(text: str, n: int = 60) -> str:
    """The start of a text, for a message.

    Example:
        >>> short("Robin asks before it acts.", 11)
        'Robin asks...'
    """
    return text if len(text) <= n else f"{text[:n].rstrip()}..."


def _place(where: str) -> str:
    return short(" ".join(where.split()), 40) or "spec"
