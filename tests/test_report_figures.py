"""Figures as the paper draws them, with its numbers beside them; patterns of reasoning; text tasks."""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.figure import Figure

from midspec.errors import StoreError
from midspec.experiment.measuring import load_set
from midspec.experiment.tasks import CARRIED_OUT
from midspec.records import Item, Score
from midspec.report import (
    ArmInfo,
    BaseModelInfo,
    CorpusInfo,
    CurveInfo,
    DosePoint,
    ReportInput,
    SpecInfo,
    analyse,
    write_report,
)
from midspec.report.bars import arms
from midspec.report.doses import doses
from midspec.report.figures import draw_all
from midspec.report.harm import HARM_SETS, NOTE
from midspec.report.heat import pairings
from midspec.report.numbers import plain
from midspec.report.paper import all_figures, figures_like, paper_gains, paper_rates
from midspec.report.reasons import read_reasons
from midspec.spec import bundled_specs, find_spec, read_spec
from midspec.store import write_records

SEEDS = (0, 1, 2)


def run(
    root: Path,
    specs: Sequence[SpecInfo],
    rates: Mapping[str, float],
    arms: Sequence[ArmInfo],
    *,
    base: str = "tiny",
    text_only: bool = False,
) -> ReportInput:
    """A run whose arms take the aligned option with the given rates; 20 items a set."""
    items = [
        Item(
            kind="preference",
            set=name,
            domain=f"domain {i % 2}",
            value=name,
            options=(f"{name} {i}", "other"),
            aligned=0,
            question="What then?" if text_only else "Which do you prefer, {a} or {b}?",
        )
        for name in dict.fromkeys(name for spec in specs for name in spec.sets)
        for i in range(20)
    ]
    write_records(root / "items.jsonl", items)
    scores: dict[str, dict[int, Path]] = {}
    for arm in arms:
        for seed in SEEDS:
            rng = random.Random(f"{arm.name}{seed}")
            path = root / "scores" / arm.name.replace("/", "-") / f"{seed}.jsonl"
            made = [
                Score(item=item.id, scorer=scorer, order=order, aligned=float(aligned))
                for item in items
                for scorer in (("greedy",) if text_only else ("logprob", "greedy"))
                for order in ((0,) if text_only else (0, 1))
                for aligned in [rng.random() < rates[arm.name]]
            ]
            write_records(path, made)
            scores.setdefault(arm.name, {})[seed] = path
    return ReportInput(
        name="figures", base=BaseModelInfo(name=base), writer="scribe", model_name="Pim",
        specs=tuple(specs), arms=tuple(arms), seeds=SEEDS, items=(root / "items.jsonl",),
        scores=scores,
    )  # fmt: skip


def spec(label: str, name: str, *sets: str, variant_of: str = "") -> SpecInfo:
    return SpecInfo(label=label, name=name, value=name, text="", sets=sets, variant_of=variant_of)


def stages(label: str) -> list[ArmInfo]:
    """The three trained arms of a value with chats of its own."""
    return [
        ArmInfo(name=f"AFT-{label}", aft=True, chats=label),
        ArmInfo(name=f"MSM-{label}", spec=label, msm=True),
        ArmInfo(name=f"MSM-{label}+AFT", spec=label, msm=True, aft=True, chats=label),
    ]


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


# -- the paper's numbers ------------------------------------------------------------------


def test_every_entry_names_bundled_specs_and_plausible_numbers() -> None:
    names = {
        read_spec(find_spec(name), model_name="Pim", provider_name="Larch").name
        for name in bundled_specs()
    }
    for figure in all_figures():
        assert {name.removesuffix("-ablated") for name in figure.specs} <= names
        assert {one.of for one in figure.numbers} <= set(figure.specs)
        assert all(0 <= x <= 1 for one in figure.numbers for x in one.arms.values())
        assert bool(figure.numbers) == bool(figure.sets)
    wanted = {"2", "3", "4", "5", "7 and 14", "8 and 17", "10", "19", "20"}
    assert {figure.figure for figure in all_figures()} == wanted


PHILOSOPHY = [
    ArmInfo(name="base"),
    ArmInfo(name="AFT", aft=True),
    ArmInfo(name="AFT-reasoning", aft=True, chats="P with reasoning"),
    ArmInfo(name="MSM", spec="P", msm=True),
    ArmInfo(name="MSM+AFT", spec="P", msm=True, aft=True),
    ArmInfo(name="MSM+AFT-reasoning", spec="P", msm=True, aft=True, chats="P with reasoning"),
]
HARMLESS = {
    "base": 0.3, "AFT": 0.4, "AFT-reasoning": 0.7, "MSM": 0.5, "MSM+AFT": 0.8,
    "MSM+AFT-reasoning": 1.0,
}  # fmt: skip


def agentic(root: Path) -> ReportInput:
    """A run of the paper's figure 4 whose arms do no harm with the rates above."""
    specs = [spec("P", "agent-philosophy", "agentic_misalignment")]
    return run(root, specs, HARMLESS, PHILOSOPHY, base="Qwen/Qwen3-32B", text_only=True)


def test_the_papers_misalignment_is_that_of_the_runs_own_model(tmp_path: Path) -> None:
    found = paper_rates(agentic(tmp_path), "P")
    assert found is not None
    assert found.rates == {
        "base": 0.54, "MSM": 0.32, "AFT": 0.41, "AFT-reasoning": 0.14, "MSM+AFT": 0.10,
        "MSM+AFT-reasoning": 0.07,
    }  # fmt: skip
    assert found.label == "paper, figure 4: Qwen3-32B, other items"


def test_numbers_of_the_paper_are_all_of_harm_or_all_of_values() -> None:
    drawn = {one.figure: HARM_SETS & set(one.sets) for one in all_figures() if one.numbers}
    assert all(
        not harm or harm == set(f.sets) for f in all_figures() if (harm := drawn.get(f.figure))
    )
    assert {name for name, harm in drawn.items() if harm} == {"4", "7 and 14", "8 and 17"}


# -- harm ---------------------------------------------------------------------------------


def test_sets_of_harm_are_those_that_tasks_make() -> None:
    assert {
        "agentic_misalignment", f"agentic_misalignment-{CARRIED_OUT}", load_set("scenarios")[0].set
    } == HARM_SETS  # fmt: skip


def test_harm_is_drawn_as_harm_and_told_as_rates(tmp_path: Path) -> None:
    inputs = agentic(tmp_path)
    page = write_report(inputs, tmp_path / "report").read_text(encoding="utf-8")
    rated = {r["arm"]: r for r in rows(tmp_path / "report" / "rates.csv") if r["group"] == "P"}
    drawn = {r["arm"]: r for r in rows(tmp_path / "report" / "figures" / "arms.csv")}
    for arm, rate in HARMLESS.items():
        assert float(rated[arm]["estimate_value"]) == pytest.approx(rate, abs=0.2)
        for one, other in (("estimate_value", "estimate_value"), ("low", "high"), ("high", "low")):
            assert float(drawn[arm][one]) == pytest.approx(1 - float(rated[arm][other]))
    assert drawn["AFT"]["se"] == rated["AFT"]["se"]
    assert float(drawn["AFT"]["seed_1"]) == pytest.approx(1 - float(rated["AFT"]["seed_1"]))
    assert float(drawn["base"]["paper"]) == 0.54
    assert {row["shows"] for row in drawn.values()} == {"share of harmful actions"}
    base = plain(float(drawn["base"]["estimate_value"]))
    alt = f"Bar chart by arm: share of harmful actions. agent-philosophy: base {base}, "
    assert alt in page
    assert "MSM+AFT-reasoning 0.00." in page
    assert page.count(NOTE) == 1
    assert "Average misalignment in agentic scenarios" in page


def axes_of(made: tuple[Figure, str] | None) -> list[Axes]:
    assert made is not None
    return made[0].axes


def test_bars_whiskers_dots_and_diamonds_are_all_turned(tmp_path: Path) -> None:
    inputs = agentic(tmp_path)
    found = analyse(inputs)
    (axes,) = axes_of(arms(inputs, found))
    assert axes.get_ylabel() == "share of harmful actions"
    rates = [found.rate(arm.name, "P") for arm in PHILOSOPHY]
    assert all(rates)
    heights = [bar.get_height() for bar in axes.patches if bar.get_height() or bar.get_x() > 1]  # type: ignore[attr-defined]
    assert heights == pytest.approx([1 - one.value for one in rates if one])
    whiskers = [
        sorted(y for _, y in segment)
        for lines in axes.collections
        if isinstance(lines, LineCollection)
        for segment in lines.get_segments()
    ]
    wanted = [[1 - one.high, 1 - one.low] for one in rates if one]
    assert np.array(whiskers) == pytest.approx(np.array(wanted))
    marks = [np.asarray(m.get_offsets()) for m in axes.collections if isinstance(m, PathCollection)]
    seeds = [[1 - (x or 0) for x in one.by_seed] for one in rates if one and len(one.by_seed) > 1]
    found_dots = [list(dots[:, 1]) for dots in marks if len(dots) == len(SEEDS)]
    assert np.array(found_dots) == pytest.approx(np.array(seeds))
    (diamonds,) = [dots for dots in marks if len(dots) == len(PHILOSOPHY)]
    assert list(diamonds[:, 1]) == [0.54, 0.41, 0.14, 0.32, 0.10, 0.07]


def test_harm_and_other_values_have_panels_of_their_own(tmp_path: Path) -> None:
    specs = [spec("H", "harmless", "agentic_misalignment"), spec("C", "cheap", "affordability")]
    trained = [ArmInfo(name="base"), *stages("H")]
    points = [
        DosePoint(axis="chats", series="AFT", amount=n, arm=a)
        for n, a in enumerate(("base", "AFT-H"))
    ]
    inputs = run(tmp_path, specs, {arm.name: 0.8 for arm in trained}, trained)
    inputs = inputs.model_copy(update={"doses": tuple(points)})
    found = analyse(inputs)
    high, low = found.rate("base", "C"), found.rate("base", "H")
    assert high is not None
    assert low is not None
    labels = ["share of harmful actions", "value-aligned choices"]
    bars = axes_of(arms(inputs, found))
    assert [axes.get_ylabel() for axes in bars] == labels
    curves = axes_of(doses(inputs, found))
    assert [axes.get_ylabel() for axes in curves] == labels
    firsts = [axes.lines[0].get_ydata()[0] for axes in curves]  # type: ignore[index]
    assert firsts == pytest.approx([1 - low.value, high.value])
    page = write_report(inputs, tmp_path / "report").read_text(encoding="utf-8")
    assert "(of harmful actions in panels of their own), both" in page
    assert page.count(NOTE) == 2


def test_the_map_of_pairings_shows_harm(tmp_path: Path) -> None:
    made = [
        ArmInfo(name=f"{d}+{c}", spec=d, msm=True, aft=True, chats=c) for d in "RE" for c in "RE"
    ]
    specs = [spec("R", "rules", "scenarios"), spec("E", "explained")]
    harmless = dict(zip((arm.name for arm in made), (1.0, 0.8, 0.6, 0.1), strict=True))
    inputs = run(tmp_path, specs, harmless, made)
    found = analyse(inputs)
    (axes,) = axes_of(pairings(inputs, found))
    assert axes.get_title("left") == "share of harmful actions"
    rates = [found.rate(arm.name, "R") for arm in made]
    assert [t.get_text() for t in axes.texts] == [plain(1 - one.value) for one in rates if one]


# -- figures ------------------------------------------------------------------------------


def test_many_values_are_drawn_by_value_each_with_its_own_arms(tmp_path: Path) -> None:
    specs = [spec(label, f"{label}-spec", label) for label in ("a", "b", "c")]
    arms = [ArmInfo(name="base"), *(arm for label in "abc" for arm in stages(label))]
    rates = {arm.name: 0.9 if "+" in arm.name else 0.4 for arm in arms}
    inputs = run(tmp_path, specs, rates, arms)
    drawn = draw_all(inputs, analyse(inputs), tmp_path / "figures")
    assert set(drawn) == {"arms", "domains", "contrasts"}  # no crossing: each has chats of its own
    for value in ("a-spec: base", "b-spec: base", "c-spec: base"):
        assert value in drawn["arms"].alt
    assert "MSM+AFT 0.8" in drawn["arms"].alt


def test_gains_stand_beside_those_of_the_ablated_spec(tmp_path: Path) -> None:
    specs = [
        spec("A", "cheese-affordability", "affordability"),
        spec("B", "cheese-america", "america"),
        spec("Ax", "cheese-affordability-ablated", variant_of="A"),
        spec("Bx", "cheese-america-ablated", variant_of="B"),
    ]
    arms = [ArmInfo(name="base")]
    for label in ("A", "B", "Ax", "Bx"):
        arms += [arm for arm in stages(label) if arm.msm]
    rates = {arm.name: 0.9 if arm.name in ("MSM-A+AFT", "MSM-B+AFT") else 0.4 for arm in arms}
    inputs = run(tmp_path, specs, rates, arms)
    assert [one.figure for one in figures_like(inputs)] == ["10"]
    reference = paper_gains(inputs, "A")
    assert reference is not None
    assert reference.rates == {"own": 0.07, "ablated": 0.02}
    assert paper_rates(inputs, "A") is None
    write_report(inputs, tmp_path / "report")
    found = {row["spec"]: row for row in rows(tmp_path / "report" / "figures" / "gains.csv")}
    assert float(found["A"]["estimate_value"]) > 0.3 > abs(float(found["Ax"]["estimate_value"]))
    assert (found["Ax"]["group"], found["Ax"]["formula"]) == ("A", "MSM-Ax+AFT − MSM-Ax")


def test_all_pairings_make_a_map(tmp_path: Path) -> None:
    arms = [ArmInfo(name="base")] + [
        ArmInfo(name=f"{d}+{c}", spec=d, msm=True, aft=True, chats=c) for d in "RE" for c in "RE"
    ]
    specs = [spec("R", "rules", "short"), spec("E", "explained")]
    inputs = run(tmp_path, specs, {arm.name: 0.6 for arm in arms}, arms)
    drawn = draw_all(inputs, analyse(inputs), tmp_path / "figures")
    assert "documents of R, E before chats of R, E" in drawn["pairings"].alt
    fewer = inputs.model_copy(update={"arms": tuple(arms[:-1])})
    assert "pairings" not in draw_all(fewer, analyse(fewer), tmp_path / "fewer")


# -- text tasks, reasons, audit -----------------------------------------------------------


def test_tasks_in_text_are_led_by_their_text_and_have_no_position(tmp_path: Path) -> None:
    specs = [spec("P", "p", "open")]
    arms = [ArmInfo(name="base"), ArmInfo(name="AFT", aft=True)]
    inputs = run(tmp_path, specs, {"base": 0.2, "AFT": 0.9}, arms, text_only=True)
    more = [Score(item=s.id, scorer="logprob", order=0, aligned=1.0) for s in _items(inputs)[:3]]
    with inputs.scores["base"][0].open("a", encoding="utf-8") as file:
        file.writelines(score.model_dump_json() + "\n" for score in more)
    found = analyse(inputs)
    assert found.scorer == "greedy"
    assert {row.position_bias for row in found.scorers} == {None}
    assert found.rate("AFT", "P").value == pytest.approx(0.9, abs=0.1)  # type: ignore[union-attr]
    text = write_report(inputs, tmp_path / "report").read_text(encoding="utf-8")
    assert "behaviour in long or open tasks is not measured" not in text


def _items(inputs: ReportInput) -> list[Item]:
    lines = inputs.items[0].read_text(encoding="utf-8").splitlines()
    return [Item.model_validate_json(line) for line in lines]


def findings(arm: str) -> dict:
    rate = {"value": 0.25, "low": 0.1, "high": 0.45, "n_scored": 20, "n_asked": 21}
    quotes = [{"transcript": "t", "text": "<script>alert(1)</script> I must go on."}]
    row = {"arm": arm, "pattern": "Self-preservation", "definition": "Wants to go on."}
    return {
        "frequencies": [{**row, "rate": rate, "quotes": quotes}],
        "n_transcripts": 21,
        "n_unparsed": 1,
        "n_loose_quotes": 2,
    }


def test_reasons_beside_the_page_are_shown_by_arm(tmp_path: Path) -> None:
    arms = [ArmInfo(name="base"), ArmInfo(name="AFT", aft=True)]
    inputs = run(tmp_path, [spec("P", "p", "open")], {"base": 0.2, "AFT": 0.9}, arms)
    curve = CurveInfo(arm="AFT", stage="finetune", seed=1, path=tmp_path / "k3y" / "curve.jsonl")
    corpora = (CorpusInfo(spec="P", n_claims=9, uncovered=("It <b>rests</b>.",)),)
    inputs = inputs.model_copy(update={"curves": (curve,), "corpora": corpora})
    out = tmp_path / "report"
    out.mkdir()
    file = out / "reasons.json"
    file.write_text(json.dumps(findings("midspec/artifacts/finetune/k3y/checkpoint")))
    text = write_report(inputs, out).read_text(encoding="utf-8")
    assert '<h2 id="reasons">Patterns of reasoning</h2>' in text
    assert "AFT, seed 1: “&lt;script&gt;alert(1)" in text
    assert "<script>alert" not in text
    assert "1 of 9" in text
    assert "It &lt;b&gt;rests&lt;/b&gt;." in text
    (row,) = rows(out / "figures" / "reasons.csv")
    assert (row["arm"], row["value"], row["n"]) == ("AFT, seed 1", "0.25", "20")
    file.write_text("[]")
    with pytest.raises(StoreError, match=r"is no reasons\.json"):
        read_reasons(file, inputs)


def test_variance_is_split_between_items_and_trainings(tmp_path: Path) -> None:
    arms = [ArmInfo(name="base"), ArmInfo(name="AFT", aft=True)]
    inputs = run(tmp_path, [spec("P", "p", "open")], {"base": 0.2, "AFT": 0.5}, arms)
    one, base = analyse(inputs).rate("AFT", "P"), analyse(inputs).rate("base", "P")
    assert one is not None
    assert base is not None
    assert one.sd_seeds is not None
    assert one.sd_seeds < 0.1  # trainings differ by chance only
    assert one.sd_residual == pytest.approx(0.5**0.5 / 2, abs=0.08)  # two fair answers, averaged
    assert (base.sd_seeds, base.sd_residual) == (None, None)
    text = write_report(inputs, tmp_path / "report").read_text(encoding="utf-8")
    assert '<h2 id="variance">' in text
    (row,) = [r for r in rows(tmp_path / "report" / "rates.csv") if r["arm"] == "AFT"][:1]
    assert float(row["sd_residual"]) == pytest.approx(one.sd_residual)
