"""The CSV files beside the page."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

from midspec.report.results import Analysis
from midspec.report.scores import ScoreTable
from midspec.report.stats import Estimate


def write_tables(found: Analysis, table: ScoreTable, out: Path) -> None:
    """Write rates.csv, contrasts.csv, domains.csv and items.csv (all that the page rests on)."""
    seeds = found.seeds
    _write(out / "rates.csv", (_flat(row, seeds) for row in found.rates))
    _write(out / "contrasts.csv", (_flat(row, seeds) for row in found.contrasts))
    _write(out / "domains.csv", (_flat(row, seeds) for row in found.domains))
    _write(out / "items.csv", table.lines())


def _flat(row: object, seeds: tuple[int, ...]) -> dict[str, object]:
    fields = dict(vars(row))
    found = fields.pop("estimate")
    return fields | _estimate(found, seeds)


def _estimate(found: Estimate | None, seeds: tuple[int, ...]) -> dict[str, object]:
    names = ("value", "low", "high", "se", "df", "n_items", "n_seeds")
    columns: dict[str, object] = {
        f"estimate_{name}" if name == "value" else name: ""
        if found is None
        else getattr(found, name)
        for name in names
    }
    by_seed = found.by_seed if found and len(found.by_seed) == len(seeds) else ()
    values = dict(zip(seeds, by_seed, strict=False))
    return columns | {f"seed_{seed}": _blank(values.get(seed)) for seed in seeds}


def _blank(x: float | None) -> float | str:
    return "" if x is None else x


def _write(path: Path, rows: Iterable[dict[str, object]]) -> None:
    lines = list(rows)
    scratch = path.with_suffix(".csv.part")
    with scratch.open("w", newline="", encoding="utf-8") as file:
        if lines:
            writer = csv.DictWriter(file, list(lines[0]))
            writer.writeheader()
            writer.writerows(lines)
    scratch.replace(path)
