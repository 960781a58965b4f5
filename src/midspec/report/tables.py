"""The tables beside the page: CSV always, the answers as Parquet too where pyarrow is there."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path

from midspec.report.curves import points_of_curve
from midspec.report.doses import points_of
from midspec.report.harm import as_drawn, measure
from midspec.report.inputs import ReasonRow, ReportInput
from midspec.report.paper import paper_rates
from midspec.report.results import Analysis, RateRow
from midspec.report.scores import ScoreTable
from midspec.report.stats import Estimate

Row = dict[str, object]
CSV_FILES = ("rates", "contrasts", "questions", "domains", "slopes", "items")


def write_tables(found: Analysis, table: ScoreTable, out: Path) -> None:
    """Write what the page rests on, one CSV each (``CSV_FILES``), and ``results.parquet``.

    ``items`` and ``results.parquet`` hold a row for every arm, seed, item and scorer. The latter
    needs pyarrow (``pip install midspec[export]``) and is left out without it.
    """
    seeds = found.seeds
    _write(out / "rates.csv", (_flat(row, seeds) for row in found.rates))
    _write(out / "contrasts.csv", (_flat(row, seeds) for row in found.contrasts))
    _write(out / "questions.csv", (_flat(row, seeds) for row in found.questions))
    _write(out / "domains.csv", (_flat(row, seeds) for row in found.domains))
    _write(out / "slopes.csv", (_flat(row, seeds) for row in found.doses))
    _write(out / "items.csv", table.lines())
    if has_parquet():
        _write_parquet(out / "results.parquet", table.lines())


def has_parquet() -> bool:
    """Whether Parquet files can be written here."""
    return find_spec("pyarrow") is not None


def write_figure_tables(
    inputs: ReportInput, found: Analysis, names: Iterable[str], out: Path
) -> None:
    """Write ``out/<name>.csv`` for every figure: the very numbers that are drawn."""
    paired = {arm.name for arm in inputs.arms if arm.role == "MSM+AFT"}
    made = {
        "arms": _arms(inputs, found),
        "crossing": (_flat(row, found.seeds) for row in _main_rates(found)),
        "contrasts": (_flat(r, found.seeds) for r in found.contrasts if r.scorer == found.scorer),
        "questions": (_flat(r, found.seeds) for r in found.questions if r.scorer == found.scorer),
        "doses": _doses(inputs, found),
        "domains": (_flat(row, found.seeds) for row in found.domains),
        "pairings": (row for row in _arms(inputs, found) if row["arm"] in paired),
        "gains": (_flat(row, found.seeds) for row in found.gains),
        "reasons": (_reason(row) for row in inputs.reasons.rows),
        "training": _training(inputs),
        "corpus": _corpus(inputs),
    }
    for name in names:
        _write(out / f"{name}.csv", made[name])


def _main_rates(found: Analysis) -> list[RateRow]:
    keys = {group.key for group in found.groups if group.is_value}
    rows = [r for r in found.rates if (r.scorer, r.measure) == (found.scorer, "rate")]
    return [row for row in rows if row.group in keys or not keys]


def _drawn_rates(found: Analysis) -> Iterator[tuple[RateRow, Row]]:
    """Rates as the figures show them, and what they are shares of."""
    groups = {group.key: group for group in found.groups}
    for row in _main_rates(found):
        group = groups[row.group]
        drawn = row.model_copy(update={"estimate": as_drawn(row.estimate, group)})
        yield drawn, {"shows": measure(group)} | _flat(drawn, found.seeds)


def _arms(inputs: ReportInput, found: Analysis) -> Iterator[Row]:
    for row, cells in _drawn_rates(found):
        paper = paper_rates(inputs, row.group)
        rate = paper.rates.get(row.arm) if paper else None
        yield cells | {
            "paper": _blank(rate),
            "paper_source": paper.label if paper and rate is not None else "",
        }


def _reason(row: ReasonRow) -> Row:
    fields = row.model_dump()
    return {**fields, "quotes": " | ".join(row.quotes)}


def _doses(inputs: ReportInput, found: Analysis) -> Iterator[Row]:
    rates = list(_drawn_rates(found))
    for point in points_of(inputs):
        place: Row = {"axis": point.axis, "series": point.series, "amount": point.amount}
        yield from (place | cells for row, cells in rates if row.arm == point.arm)


def _training(inputs: ReportInput) -> Iterator[Row]:
    for curve in inputs.curves:
        for tokens, loss in points_of_curve(curve.path):
            yield {
                "arm": curve.arm,
                "stage": curve.stage,
                "seed": curve.seed,
                "tokens": tokens,
                "loss": loss,
            }


def _corpus(inputs: ReportInput) -> Iterator[Row]:
    for one in inputs.corpora:
        for what, counts in (("type", one.types), ("left out", one.drops)):
            for name, n in counts.items():
                yield {"spec": one.spec, "what": what, "name": name, "n": n}


def _flat(row: object, seeds: tuple[int, ...]) -> Row:
    fields = dict(vars(row))
    found = fields.pop("estimate")
    if "bootstrap" in fields:
        low, high = fields.pop("bootstrap") or (None, None)
        fields |= {"bootstrap_low": _blank(low), "bootstrap_high": _blank(high)}
    return fields | _estimate(found, seeds)


def _estimate(found: Estimate | None, seeds: tuple[int, ...]) -> Row:
    names = (
        "value", "low", "high", "se", "df", "n_items", "n_seeds",
        "sd_items", "sd_seeds", "sd_residual",
    )  # fmt: skip
    columns: Row = {
        f"estimate_{name}" if name == "value" else name: _blank(getattr(found, name, None))
        for name in names
    }
    by_seed = found.by_seed if found and len(found.by_seed) == len(seeds) else ()
    values = dict(zip(seeds, by_seed, strict=False))
    return columns | {f"seed_{seed}": _blank(values.get(seed)) for seed in seeds}


def _blank(x: float | None) -> float | str:
    return "" if x is None else x


def _write(path: Path, rows: Iterable[Row]) -> None:
    """A CSV, row after row; no file if there is no row."""
    path.unlink(missing_ok=True)
    scratch, writer = path.with_suffix(".csv.part"), None
    path.parent.mkdir(parents=True, exist_ok=True)
    with scratch.open("w", newline="", encoding="utf-8") as file:
        for row in rows:
            if writer is None:
                writer = csv.DictWriter(file, list(row))
                writer.writeheader()
            writer.writerow(row)
    if writer is None:
        scratch.unlink()
    else:
        os.replace(scratch, path)


def _write_parquet(path: Path, rows: Iterable[Row]) -> None:
    """The same rows, columns typed; blanks are nulls."""
    import pyarrow as pa
    from pyarrow import parquet

    columns: dict[str, list[object]] = {}
    for row in rows:
        for name, value in row.items():
            columns.setdefault(name, []).append(None if value == "" else value)
    scratch = path.with_suffix(".part")
    parquet.write_table(pa.table(columns), scratch)
    os.replace(scratch, path)
