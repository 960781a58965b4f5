"""The audit as one self-contained HTML page: no script, no request; all text is escaped."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from midspec.corpus.audit import Audit
from midspec.corpus.coverage import uncovered
from midspec.store import write_atomic

PAGE, DATA = "audit.html", "audit.json"


def _count(number: float) -> str:
    return f"{round(number):,}".replace(",", " ")


def _share(number: float) -> str:
    return f"{number:.3f}".removeprefix("0")


def render_audit(found: Audit) -> str:
    """The HTML of an audit."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"count": _count, "share": _share}
    priced = [one.usd for one in found.usage if one.usd is not None]
    return environment.get_template("audit.html.j2").render(
        found=found,
        uncovered=uncovered(found.coverage),
        most=max((row.documents for row in found.coverage), default=1) or 1,
        usd=sum(priced) if priced else None,
    )


def write_audit(found: Audit, folder: Path) -> Path:
    """Write ``audit.html`` and ``audit.json`` into a folder; returns the page's path."""
    write_atomic(folder / DATA, found.model_dump_json(indent=1))
    write_atomic(folder / PAGE, render_audit(found))
    return folder / PAGE
