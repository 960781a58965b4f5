"""The figures of the page, as matplotlib ``Figure`` objects, and as PNG and SVG files.

Nothing goes through pyplot: no window, no figure registry, no settings that outlive the call.
Colours are Okabe and Ito's, which colour-blind readers can tell apart; text says what colour says.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from midspec.records import Frozen
from midspec.report.bars import arms
from midspec.report.corpora import corpus
from midspec.report.crossing import crossing
from midspec.report.curves import training
from midspec.report.doses import doses
from midspec.report.forest import contrasts, questions
from midspec.report.gains import gains
from midspec.report.heat import domains, pairings
from midspec.report.inputs import ReportInput
from midspec.report.reasons import reasons
from midspec.report.results import Analysis
from midspec.report.style import STYLE

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Drawn(Frozen):
    """A figure on disk and the words for those who cannot see it."""

    path: Path = Field(description="the PNG; an SVG of the same name lies beside it")
    alt: str
    width: int = Field(description="of the page, in CSS pixels; the PNG has 1.8 times as many")


def draw_all(inputs: ReportInput, found: Analysis, out: Path) -> dict[str, Drawn]:
    """Draw every figure that has data into ``out/<name>.png`` and ``.svg``; keys are the names.

    Names: arms, pairings, gains, crossing, contrasts, questions, domains, doses, training, corpus,
    reasons.
    """
    import matplotlib

    wanted: dict[str, Callable[[], tuple[Figure, str] | None]] = {
        "arms": lambda: arms(inputs, found),
        "pairings": lambda: pairings(inputs, found),
        "gains": lambda: gains(inputs, found),
        "crossing": lambda: crossing(inputs, found),
        "contrasts": lambda: contrasts(inputs, found),
        "questions": lambda: questions(found),
        "domains": lambda: domains(inputs, found),
        "doses": lambda: doses(inputs, found),
        "training": lambda: training(inputs),
        "corpus": lambda: corpus(inputs),
        "reasons": lambda: reasons(inputs),
    }
    out.mkdir(parents=True, exist_ok=True)
    with matplotlib.rc_context(STYLE), warnings.catch_warnings():
        # Names of types and domains come from models and may hold any script.
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)
        made = ((name, draw()) for name, draw in wanted.items())
        return {name: _save(figure, out / f"{name}.png") for name, figure in made if figure}


def _save(made: tuple[Figure, str], path: Path) -> Drawn:
    """Write both files; no date or version inside, so that equal inputs give equal files."""
    figure, alt = made
    figure.savefig(path, dpi=180, metadata={"Software": None})
    figure.set_layout_engine("none")  # both files have the layout of the first, made once
    figure.savefig(path.with_suffix(".svg"), metadata={"Date": None, "Creator": None})
    drawn = Drawn(path=path, alt=alt, width=round(figure.get_figwidth() * 100))
    figure.clear()
    return drawn
