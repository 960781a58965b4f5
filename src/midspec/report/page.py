"""The page: one self-contained HTML file that a colleague can open, print or be sent.

No external resource, and one script of our own (``page.js``), which a content security policy
names by its hash: the browser runs no other. All text goes through autoescape: documents, answers
and specs are untrusted.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from midspec.records import Frozen
from midspec.report import numbers
from midspec.report.analysis import analyse_table
from midspec.report.bars import is_by_value
from midspec.report.examples import cards
from midspec.report.figures import Drawn, draw_all
from midspec.report.harm import note, share_of
from midspec.report.inputs import ReportInput, TrainingInfo, write_inputs
from midspec.report.limits import limits
from midspec.report.matching import mismatches
from midspec.report.paper import figures_like, paper_gains, paper_rates
from midspec.report.reasons import REASONS, read_reasons, reason_arms, reason_table
from midspec.report.results import (
    BOTH,
    CONTRAST_TITLES,
    Analysis,
    ContrastName,
    ContrastRow,
    Group,
    Measure,
    QuestionRow,
)
from midspec.report.scores import ScoreTable, read_scores
from midspec.report.stats import Estimate
from midspec.report.style import value_groups
from midspec.report.tables import CSV_FILES, has_parquet, write_figure_tables, write_tables
from midspec.store import write_atomic

CONTROLS: tuple[ContrastName, ...] = (
    "aft_base",
    "aft_instruction",
    "msm_base",
    "own_aft",
    "other_aft",
    "own_neutral",
    "prompt_base",
    "own_prompt",
)


def write_report(inputs: ReportInput, out: Path) -> Path:
    """Analyse the scores and write the whole report; returns the path of ``index.html``.

    ``out`` also gets ``figures/`` (PNG, SVG and CSV of each), the tables (CSV, and Parquet where
    pyarrow is there), ``analysis.json``, and ``inputs.json``, from which ``read_inputs`` makes the
    page again. Patterns of reasoning are shown if ``out`` holds the ``reasons.json`` of
    ``midspec eval reasons``.

    Raises:
        EvalError: item or score files are missing, empty or do not fit each other.
    """
    if (out / REASONS).exists():
        inputs = inputs.model_copy(update={"reasons": read_reasons(out / REASONS, inputs)})
    table = read_scores(inputs)
    found = analyse_table(inputs, table)
    out.mkdir(parents=True, exist_ok=True)
    drawn = draw_all(inputs, found, out / "figures")
    write_figure_tables(inputs, found, drawn, out / "figures")
    write_tables(found, table, out)
    write_inputs(inputs, out)
    write_atomic(out / "analysis.json", found.model_dump_json(indent=1))
    write_atomic(out / "index.html", render_page(inputs, found, table, drawn))
    return out / "index.html"


def render_page(
    inputs: ReportInput, found: Analysis, table: ScoreTable, drawn: dict[str, Drawn]
) -> str:
    """The HTML of the page, figures embedded."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for name in ("plain", "signed", "bounds", "with_interval", "percent", "count", "p_value"):
        environment.filters[name] = getattr(numbers, name)
    titles = {spec.label: spec.value for spec in inputs.specs} | {BOTH: "mean"}
    script = (Path(__file__).parent / "page.js").read_text(encoding="utf-8")
    return environment.get_template("page.html.j2").render(
        inputs=inputs,
        found=found,
        paragraphs=found.verdict.split("\n\n"),
        tiles=list(_tiles(found, titles)),
        figures={name: _embedded(figure) for name, figure in drawn.items()},
        groups={group.key: group for group in found.groups},
        titles=titles,
        contrast_titles=CONTRAST_TITLES,
        columns=_columns(found),
        contrast_rows=lambda *names: _contrast_rows(found, names),
        questions=_question_rows(found),
        controls=CONTROLS,
        crossings=_contrast_rows(found, ("crossing", "msm_crossing")),
        interactions=_contrast_rows(found, ("interaction", "spec_interaction")),
        noise=_noise(inputs, found, titles),
        by_value=is_by_value(value_groups(found)),
        one_value=len(value_groups(found)) == 1,
        share_of=share_of(value_groups(found)),
        harm_note=note(value_groups(found)),
        orders=_orders(found, table),
        paper=figures_like(inputs),
        paper_drawn=any(paper_rates(inputs, group.key) for group in found.groups),
        gains_drawn=any(paper_gains(inputs, group.key) for group in found.groups),
        reasons=reason_table(inputs),
        reason_arms=reason_arms(inputs),
        domains=[_domain_table(inputs, found, group) for group in found.groups],
        cards=list(cards(inputs, found, table)),
        trainings=_trainings(inputs),
        mismatches=mismatches(inputs.trainings),
        limits=limits(inputs, found),
        manifest=list(_flat(inputs.manifest)),
        csv_files=CSV_FILES,
        parquet=has_parquet(),
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


def _orders(found: Analysis, table: ScoreTable) -> str:
    """What a caption says of the order of the options; empty where items have one order only."""
    rows = table.rows_of([name for group in value_groups(found) for name in group.sets])
    cells = (c for (_, scorer), c in table.cells.items() if scorer == found.scorer)
    both = any((one.asked[rows] > 1).any() for one in cells)
    return ", both orders of the options averaged" if both else ""


def _embedded(figure: Drawn) -> dict[str, Any]:
    data = base64.b64encode(figure.path.read_bytes()).decode()
    return {"src": f"data:image/png;base64,{data}", "alt": figure.alt, "width": figure.width}


class Tile(Frozen):
    """One number of the verdict box."""

    title: str
    estimate: Estimate
    clear: bool


def _tiles(found: Analysis, titles: dict[str, str]) -> Iterator[Tile]:
    """The questions; else the crossing of every value, and the means of crossing and interaction."""
    for question in found.questions:
        if (question.scorer, question.measure) == (found.scorer, "rate") and question.estimate:
            yield Tile(title=question.name, estimate=question.estimate, clear=bool(question.sign))
    if found.questions:
        return
    for row in found.contrasts:
        wanted = row.name == "crossing" or (row.name, row.value) == ("interaction", BOTH)
        if wanted and (row.scorer, row.measure) == (found.scorer, "rate") and row.estimate:
            title = f"{row.name}, {titles[row.value]}"
            yield Tile(title=title, estimate=row.estimate, clear=bool(row.sign))


def _columns(found: Analysis) -> list[tuple[str, Measure]]:
    """Scorer and measure pairs, as columns of the contrast tables; raw sums are in the CSV only."""
    rows = [*found.contrasts, *found.questions]
    shown = [row for row in rows if row.scorer in (found.scorer, "logprob", "greedy")]
    return list(dict.fromkeys((row.scorer, row.measure) for row in shown))


def _contrast_rows(
    found: Analysis, names: tuple[ContrastName, ...]
) -> list[tuple[ContrastRow, list[Estimate | None]]]:
    """Rows of the main scorer's rate, each with its estimates in the order of the columns."""
    rows = []
    for row in found.contrasts:
        if row.name in names and (row.scorer, row.measure) == (found.scorer, "rate"):
            cells = (found.contrast(row.name, row.value, *column) for column in _columns(found))
            rows.append((row, [cell.estimate if cell else None for cell in cells]))
    return sorted(rows, key=lambda pair: names.index(pair[0].name))


def _domain_table(inputs: ReportInput, found: Analysis, group: Group) -> dict[str, Any]:
    """Domains as rows and arms as columns."""
    rows = [row for row in found.domains if row.group == group.key]
    cells = {(row.set, row.domain, row.arm): row.estimate for row in rows}
    keys = dict.fromkeys((row.set, row.domain, row.n_items) for row in rows)
    return {
        "group": group,
        "rows": [
            (domain, n, [cells[name, domain, arm.name] for arm in inputs.arms])
            for name, domain, n in keys
        ],
    }


def _noise(
    inputs: ReportInput, found: Analysis, titles: dict[str, str]
) -> dict[str, list[tuple[str, str, Estimate]]]:
    """What varies behind the differences that the verdict rests on, and behind every arm's rate."""
    main = (found.scorer, "rate")
    differences = [
        (row.name, titles[row.group], row.estimate)
        for row in found.questions
        if (row.scorer, row.measure) == main and row.estimate
    ] + [
        (CONTRAST_TITLES[row.name], titles[row.value], row.estimate)
        for row in found.contrasts
        if row.name in ("crossing", "interaction") and row.value != BOTH
        if (row.scorer, row.measure) == main and row.estimate
    ]
    arms = [
        (arm.name, group.title, one)
        for group in found.groups
        for arm in inputs.arms
        if (one := found.rate(arm.name, group.key))
    ]
    return {"differences": differences, "arms": arms}


def _question_rows(found: Analysis) -> list[tuple[QuestionRow, list[Estimate | None]]]:
    """The questions by the main scorer's rate, with the estimates of every column."""
    by_key = {(row.name, row.scorer, row.measure): row.estimate for row in found.questions}
    return [
        (row, [by_key.get((row.name, *column)) for column in _columns(found)])
        for row in found.questions
        if (row.scorer, row.measure) == (found.scorer, "rate")
    ]


def _trainings(inputs: ReportInput) -> list[tuple[TrainingInfo, float]]:
    """The first seed's trainings of every arm, with the mean tokens over the seeds."""
    found: dict[tuple[str, str, str], list[TrainingInfo]] = {}
    for one in inputs.trainings:
        found.setdefault((one.arm, one.stage, one.data), []).append(one)
    return [(same[0], sum(one.tokens for one in same) / len(same)) for same in found.values()]


def _flat(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """A nested manifest as dotted names and texts."""
    if isinstance(value, dict):
        for name in value:
            yield from _flat(value[name], f"{key}.{name}" if key else str(name))
    elif isinstance(value, list):
        yield key, ", ".join(map(str, value))
    else:
        yield key, str(value)
