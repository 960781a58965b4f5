"""The page: one self-contained HTML file that a colleague can open, print or be sent.

No script, no external resource; a content security policy says so to the browser. All text goes
through autoescape: documents, answers and specs are untrusted.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from midspec.records import Frozen, Item
from midspec.report import numbers
from midspec.report.analysis import analyse_table
from midspec.report.figures import CONTRAST_TITLES, Drawn, draw_all
from midspec.report.inputs import ReportInput, write_inputs
from midspec.report.results import BOTH, Analysis, ContrastName, ContrastRow, Group, Measure
from midspec.report.scores import ScoreTable, read_scores, read_texts
from midspec.report.stats import Estimate
from midspec.report.tables import write_tables
from midspec.store import write_atomic

ANSWERS_PER_GROUP = 4
MAX_ANSWER = 400
CONTROLS: tuple[ContrastName, ...] = (
    "aft_base",
    "aft_instruction",
    "msm_base",
    "own_aft",
    "other_aft",
)


def write_report(inputs: ReportInput, out: Path) -> Path:
    """Analyse the scores and write the whole report; returns the path of ``index.html``.

    ``out`` also gets the figures (PNG), the tables (CSV), ``analysis.json`` and ``inputs.json``,
    from which ``read_inputs`` makes the page again.

    Raises:
        EvalError: item or score files are missing, empty or do not fit each other.
    """
    table = read_scores(inputs)
    found = analyse_table(inputs, table)
    out.mkdir(parents=True, exist_ok=True)
    drawn = draw_all(inputs, found, out)
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
    for name in ("plain", "signed", "bounds", "with_interval", "percent", "count"):
        environment.filters[name] = getattr(numbers, name)
    titles = {spec.label: spec.value for spec in inputs.specs} | {BOTH: "mean"}
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
        controls=CONTROLS,
        domains=[_domain_table(inputs, found, group) for group in found.groups],
        cards=list(_cards(inputs, found, table)),
        manifest=list(_flat(inputs.manifest)),
    )


def _embedded(figure: Drawn) -> dict[str, Any]:
    data = base64.b64encode(figure.path.read_bytes()).decode()
    return {"src": f"data:image/png;base64,{data}", "alt": figure.alt, "width": figure.width}


class Tile(Frozen):
    """One number of the verdict box."""

    title: str
    estimate: Estimate


def _tiles(found: Analysis, titles: dict[str, str]) -> Iterator[Tile]:
    """The crossing of every value, then the means of crossing and interaction."""
    for row in found.contrasts:
        wanted = row.name == "crossing" or (row.name, row.value) == ("interaction", BOTH)
        if wanted and (row.scorer, row.measure) == (found.scorer, "rate") and row.estimate:
            yield Tile(title=f"{row.name}, {titles[row.value]}", estimate=row.estimate)


def _columns(found: Analysis) -> list[tuple[str, Measure]]:
    """Scorer and measure pairs, as columns of the contrast tables."""
    return list(dict.fromkeys((row.scorer, row.measure) for row in found.contrasts))


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


class Answer(Frozen):
    """How an arm answered one item: one seed, text for the stored order."""

    arm: str
    text: str
    rate: float | None
    margin: float | None


class Card(Frozen):
    """One item and the answers of all arms."""

    item: Item
    question: str
    group: str
    answers: tuple[Answer, ...]


def _cards(inputs: ReportInput, found: Analysis, table: ScoreTable) -> Iterator[Card]:
    """A few items of every value, chosen by their ids and not by how they came out."""
    groups = [group for group in found.groups if group.is_value] or list(found.groups)
    chosen = [
        (group, item)
        for group in groups
        for item in sorted(
            (item for item in table.items if item.set in group.sets), key=lambda item: item.id
        )[:ANSWERS_PER_GROUP]
    ]
    wanted = {item.id for _, item in chosen}
    texts = {
        arm.name: read_texts(inputs.scores[arm.name][min(inputs.scores[arm.name])], wanted)
        for arm in inputs.arms
    }
    for group, item in chosen:
        answers = tuple(
            _answer(inputs, found, table, arm.name, item, texts[arm.name].get(item.id, ""))
            for arm in inputs.arms
        )
        yield Card(item=item, question=_question(item), group=group.title, answers=answers)


def _answer(
    inputs: ReportInput, found: Analysis, table: ScoreTable, arm: str, item: Item, text: str
) -> Answer:
    row, seed = table.items.index(item), table.seeds.index(min(inputs.scores[arm]))
    cells = table.cells[arm, found.scorer]
    rate, margin = float(cells.rate[row, seed]), float(cells.margin[row, seed])
    short = text if len(text) <= MAX_ANSWER else f"{text[: MAX_ANSWER - 1]}…"
    return Answer(
        arm=arm,
        text=short,
        rate=None if rate != rate else rate,
        margin=None if margin != margin else margin,
    )


def _question(item: Item) -> str:
    """The question with its options; other braces stay as they are."""
    return item.question.replace("{a}", item.options[0]).replace("{b}", item.options[1])


def _flat(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """A nested manifest as dotted names and texts."""
    if isinstance(value, dict):
        for name in value:
            yield from _flat(value[name], f"{key}.{name}" if key else str(name))
    elif isinstance(value, list):
        yield key, ", ".join(map(str, value))
    else:
        yield key, str(value)
