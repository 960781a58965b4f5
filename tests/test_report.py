"""The report on synthetic runs whose truth is known."""

from __future__ import annotations

import base64
import csv
import hashlib
import json
import math
import random
import re
from collections.abc import Mapping
from html.parser import HTMLParser
from pathlib import Path

import matplotlib
import numpy as np
import pytest

from midspec.errors import EvalError, StoreError
from midspec.records import Item, Score
from midspec.report import (
    ArmInfo,
    BaseModelInfo,
    ChatInfo,
    CorpusInfo,
    CurveInfo,
    ReportInput,
    Sample,
    SpecInfo,
    analyse,
    read_inputs,
    write_report,
)
from midspec.report.contrasts import contrast_terms
from midspec.report.curves import points_of_curve
from midspec.report.scores import read_scores
from midspec.report.tables import has_parquet
from midspec.store import write_records

GOLDEN = Path(__file__).parent / "golden"
SEEDS = (0, 1, 2, 3, 4)
ARMS = (
    ArmInfo(name="base"),
    ArmInfo(name="instruction"),
    ArmInfo(name="AFT", aft=True),
    ArmInfo(name="MSM-A", spec="A", msm=True),
    ArmInfo(name="MSM-B", spec="B", msm=True),
    ArmInfo(name="MSM-A+AFT", spec="A", msm=True, aft=True),
    ArmInfo(name="MSM-B+AFT", spec="B", msm=True, aft=True),
)
# Mean margin in nats of every arm on the items of A and of B: a clear crossing that AFT widens.
CROSSING = {
    "base": (-0.6, -0.4),
    "instruction": (-0.6, -0.4),
    "AFT": (-0.4, -0.4),
    "MSM-A": (0.2, -0.4),
    "MSM-B": (-0.5, 0.3),
    "MSM-A+AFT": (1.2, -0.4),
    "MSM-B+AFT": (-0.5, 1.2),
}
HOSTILE = "<script>alert('x')</script>"


def make_items(n: int, domains: int = 5) -> list[Item]:
    return [
        Item(
            kind="preference",
            set=name,
            domain=f"{name} domain {i % domains}",
            value=value,
            options=(f"{value} option {i}", f"other option {i}"),
            aligned=i % 2,  # type: ignore[arg-type]
        )
        for name, value in (("set-a", "thrift"), ("set-b", "craft"))
        for i in range(n)
    ]


def simulate(
    effects: tuple[float, float],
    items: list[Item],
    key: str,
    *,
    seed_sd: float = 0.15,
    unread: float = 0.0,
    first: float = 0.3,
) -> list[Score]:
    """Scores of one checkpoint: an item's margin is ability + effect + training + noise."""
    rng = random.Random(key)
    training = [rng.gauss(0, seed_sd) for _ in range(2)]
    scores = []
    for item in items:
        at = int(item.set == "set-b")
        centre = random.Random(item.id).gauss(0, 1) + effects[at] + training[at] + rng.gauss(0, 0.4)
        for order in (0, 1):
            margin = centre + (first if item.aligned == order else -first)
            scores.append(
                Score(
                    item=item.id,
                    scorer="logprob",
                    order=order,
                    aligned=float(margin > 0),
                    margin=round(margin, 4),
                )
            )
            said = None if rng.random() < unread else float(margin + rng.gauss(0, 0.5) > 0)
            index = item.aligned if said else 1 - item.aligned
            text = f"I would take {item.options[index]}." if said is not None else HOSTILE
            scores.append(
                Score(item=item.id, scorer="greedy", order=order, aligned=said, text=text)
            )
    return scores


def make_inputs(
    root: Path,
    effects: Mapping[str, tuple[float, float]] = CROSSING,
    *,
    seeds: tuple[int, ...] = SEEDS,
    n: int = 60,
    unread: float = 0.05,
    first: float = 0.3,
    arms: tuple[ArmInfo, ...] = ARMS,
    key: str = "",
) -> ReportInput:
    """A finished run on disk with a known truth."""
    items = make_items(n)
    write_records(root / "items.jsonl", items)
    scores: dict[str, dict[int, Path]] = {}
    for arm in arms:
        for seed in seeds:
            path = root / "scores" / arm.name / f"{0 if arm.name == 'base' else seed}.jsonl"
            if not path.exists():
                spread = 0.0 if arm.name == "base" else 0.15  # the base is not trained
                made = simulate(
                    effects[arm.name],
                    items,
                    f"{key}{arm.name}{path.stem}",
                    unread=unread,
                    first=first,
                    seed_sd=spread,
                )
                write_records(path, made)
            scores.setdefault(arm.name, {})[seed] = path
    return ReportInput(
        name="thrift against craft",
        base=BaseModelInfo(name="tiny", n_parameters=1_234_567),
        writer="scribe",
        model_name="Pim",
        specs=(
            SpecInfo(label="A", name="thrift-spec", value="thrift", text="# Core\nPim & <b>thrift</b>", sets=("set-a",)),
            SpecInfo(label="B", name="craft-spec", value="craft", text="# Core\nPim likes craft.", sets=("set-b",)),
        ),
        arms=arms,
        seeds=seeds,
        items=(root / "items.jsonl",),
        scores=scores,
        curves=tuple(make_curves(root, seeds)),
        corpora=tuple(make_corpus(label) for label in "AB"),
        chats=ChatInfo(
            counts={"preference": 400, "instruction": 900, "identity": 60},
            drops={"states a reason": 12},
            samples=(Sample(type="preference", text=f"user: Gouda or Brie?\nassistant: Gouda. {HOSTILE}"),),
        ),
        recipe_yaml="name: demo\nseeds: [0, 1]\n",
        manifest={"versions": {"midspec": "0.1.0", "torch": "2"}, "seconds": 12.5, "gpus": []},
    )  # fmt: skip


def make_curves(root: Path, seeds: tuple[int, ...]) -> list[CurveInfo]:
    curves = []
    for arm in ("MSM-A", "MSM-B", "MSM-A+AFT", "MSM-B+AFT", "AFT", "instruction"):
        stages = ("midtrain", "finetune") if arm.endswith("+AFT") else ("midtrain",)
        for stage in stages if arm.startswith("MSM") else ("finetune",):
            shared = arm.removesuffix("+AFT") if stage == "midtrain" else arm
            for seed in seeds[:3]:
                path = root / "curves" / f"{stage}-{shared}-{seed}.jsonl"
                path.parent.mkdir(exist_ok=True)
                rng = random.Random(f"{path.stem}")
                rows = [
                    {
                        "step": step,
                        "loss": 1.5 + 2 * math.exp(-step / 20) + rng.gauss(0, 0.05),
                        "learning_rate": 1e-4,
                        "tokens": 2048,
                    }
                    for step in range(1, 80)
                ]
                path.write_text("".join(json.dumps(row) + "\n" for row in rows))
                curves.append(CurveInfo(arm=arm, stage=stage, seed=seed, path=path))
    return curves


def make_corpus(label: str) -> CorpusInfo:
    rng = random.Random(label)
    types = ("internal memo", "forum discussion", "bug report", "training design note", "interview",
             "newsletter", "$cost$ table with a name that is far too long for a figure")  # fmt: skip
    return CorpusInfo(
        spec=label,
        n_documents=812,
        n_words=310_442,
        types={name: rng.randrange(20, 200) for name in types},
        drops={"near_duplicate": rng.randrange(40), "wrong_identity": 3, "truncated": 9},
        diversity={"n_words": 310_442, "distinct_2": 0.61, "self_bleu": 0.182},
        samples=(
            Sample(type="internal memo", text=f"Pim saves money.\n\n{HOSTILE}"),
            Sample(type="<img src=x onerror=alert(1)>", text="Pim asks what it costs."),
        ),
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> ReportInput:
    return make_inputs(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def page(run: ReportInput, tmp_path_factory: pytest.TempPathFactory) -> Path:
    before = dict(matplotlib.rcParams)
    made = write_report(run, tmp_path_factory.mktemp("report"))
    assert dict(matplotlib.rcParams) == before  # drawing leaves no settings
    return made


class _Outline(HTMLParser):
    """Headings, ids, tags and attributes of a page; checks that tags nest."""

    VOID = frozenset({"meta", "img", "br", "link", "input", "hr"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.headings: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("h1", "h2", "h3"):
            self.headings.append(f"{self.open[-1]} {data.strip()}")


def outline(path: Path) -> _Outline:
    found = _Outline()
    found.feed(path.read_text(encoding="utf-8"))
    assert not found.open
    return found


# -- the page -----------------------------------------------------------------------------


def test_headings_match_the_golden_file(page: Path) -> None:
    golden = (GOLDEN / "report_outline.txt").read_text(encoding="utf-8").splitlines()
    assert outline(page).headings == golden


def test_page_is_self_contained_and_has_only_our_script(page: Path) -> None:
    found, text = outline(page), page.read_text(encoding="utf-8")
    assert not {"link", "iframe", "object", "form"} & set(found.tags)
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.S)
    hashed = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{hashed}'" in text
    assert not [name for name, _ in found.attributes if name.startswith("on")]
    sources = [value for name, value in found.attributes if name in ("src", "href")]
    assert sources
    assert all(value.startswith(("data:image/png;base64,", "#")) for value in sources)
    assert "url(" not in page.read_text(encoding="utf-8")


def test_every_link_inside_the_page_has_a_target_and_every_image_a_text(page: Path) -> None:
    found = outline(page)
    ids = {value for name, value in found.attributes if name == "id"}
    targets = [value[1:] for name, value in found.attributes if name == "href"]
    assert set(targets) <= ids
    alts = [value for name, value in found.attributes if name == "alt"]
    assert len(alts) == found.tags.count("img") == 6
    assert all(len(alt) > 40 for alt in alts)


def test_model_text_is_escaped(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert text.count("<script") == 1
    assert "<img src=x" not in text
    assert "<b>thrift" not in text
    assert text.count("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;") >= 3  # documents, chats


def test_greedy_text_is_escaped(tmp_path: Path) -> None:
    inputs = make_inputs(tmp_path, n=4, seeds=(0,), unread=1.0)
    text = write_report(inputs, tmp_path / "report").read_text(encoding="utf-8")
    assert text.count('<td class="answer">&lt;script&gt;') == 8 * len(ARMS)
    assert text.count("<script") == 1


def test_verdict_comes_before_every_figure(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert 0 < text.index('class="verdict both"') < text.index("<figure>")


def test_all_files_are_written_and_agree(run: ReportInput, page: Path) -> None:
    names = {path.name for path in page.parent.iterdir()}
    tables = {f"{n}.csv" for n in ("rates", "contrasts", "domains", "items")}
    parquet = {"results.parquet"} if has_parquet() else set()
    assert names == tables | parquet | {"index.html", "analysis.json", "inputs.json", "figures"}
    figures = {path.name for path in (page.parent / "figures").iterdir()}
    drawn = ("arms", "crossing", "contrasts", "domains", "training", "corpus")
    assert figures == {f"{name}.{kind}" for name in drawn for kind in ("png", "svg", "csv")}
    found = analyse(run)
    assert json.loads((page.parent / "analysis.json").read_text()) == found.model_dump(mode="json")
    with (page.parent / "contrasts.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(found.contrasts)
    crossing = found.contrast("crossing", "A")
    assert crossing is not None
    assert crossing.estimate is not None
    assert float(rows[0]["estimate_value"]) == pytest.approx(crossing.estimate.value)
    assert float(rows[0]["seed_0"]) == pytest.approx(crossing.estimate.by_seed[0])


def test_items_csv_holds_every_answer(run: ReportInput, page: Path) -> None:
    with (page.parent / "items.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(ARMS) * len(SEEDS) * 120 * 2
    assert {row["scorer"] for row in rows} == {"logprob", "greedy"}
    assert sum(int(row["orders_asked"]) for row in rows) == 2 * len(rows)


def test_a_moved_run_can_be_reported(tmp_path: Path) -> None:
    inputs = make_inputs(tmp_path / "old", n=4, seeds=(0,))
    page = write_report(inputs, tmp_path / "old" / "report").read_bytes()
    (tmp_path / "old").rename(tmp_path / "new")
    moved = read_inputs(tmp_path / "new" / "report")
    assert write_report(moved, tmp_path / "out").read_bytes() == page
    assert str(tmp_path) not in (tmp_path / "new" / "report" / "inputs.json").read_text()


def test_drawing_leaves_no_open_figures(page: Path) -> None:
    from matplotlib import pyplot

    assert page.exists()
    assert pyplot.get_fignums() == []


def test_bare_run_without_curves_corpora_or_second_spec(tmp_path: Path) -> None:
    full = make_inputs(tmp_path, n=6, seeds=(0, 1))
    arms = tuple(arm for arm in ARMS if arm.spec != "B")
    bare = full.model_copy(
        update={
            "specs": full.specs[:1],
            "arms": arms,
            "scores": {arm.name: full.scores[arm.name] for arm in arms},
            "curves": (),
            "corpora": (),
            "chats": ChatInfo(),
            "manifest": {},
        }
    )
    path = write_report(bare, tmp_path / "report")
    text = re.sub(r"\s+", " ", path.read_text(encoding="utf-8"))
    assert "cannot show a crossing: it has fewer than two specs" in text
    assert "set-b" in text  # items that no spec claims are shown under their own name
    outline(path)


def test_training_curves_run_over_all_tokens_seen(page: Path, tmp_path: Path) -> None:
    with (page.parent / "figures" / "training.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if (row["arm"], row["seed"]) == ("AFT", "0")]
    assert [float(row["tokens"]) for row in rows[:2]] == [2048, 4096]
    resumed = tmp_path / "curve.jsonl"
    rows = [{"step": n, "loss": 1.0, "tokens": 5} for n in (1, 2, 2, 3)]
    resumed.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert points_of_curve(resumed) == [(5, 1.0), (10, 1.0), (15, 1.0)]


# -- reading ------------------------------------------------------------------------------


def test_missing_files_are_named(run: ReportInput, tmp_path: Path) -> None:
    gone = run.model_copy(update={"scores": {**run.scores, "AFT": {0: tmp_path / "gone.jsonl"}}})
    with pytest.raises(EvalError, match=r"gone\.jsonl holds no scores"):
        analyse(gone)
    with pytest.raises(EvalError, match=r"gone\.jsonl holds no items"):
        analyse(run.model_copy(update={"items": (tmp_path / "gone.jsonl",)}))
    with pytest.raises(StoreError, match=r"inputs\.json does not exist"):
        read_inputs(tmp_path)


def test_score_of_an_unknown_item_is_an_error(run: ReportInput, tmp_path: Path) -> None:
    write_records(tmp_path / "x.jsonl", [Score(item="zz", scorer="greedy", order=0, aligned=1)])
    wrong = run.model_copy(update={"scores": {**run.scores, "AFT": {0: tmp_path / "x.jsonl"}}})
    with pytest.raises(EvalError, match="'zz'"):
        analyse(wrong)


def test_orders_are_averaged_and_unscored_ones_counted(tmp_path: Path) -> None:
    items = make_items(3, domains=1)[:3]
    write_records(tmp_path / "items.jsonl", items)

    def score(at: int, order: int, aligned: float | None) -> Score:
        return Score(
            item=items[at].id, scorer="greedy", order=order, aligned=aligned  # type: ignore[arg-type]
        )  # fmt: skip

    rows = [score(0, 0, 1), score(0, 1, 0), score(1, 0, None), score(1, 1, 1), score(2, 0, None)]
    write_records(tmp_path / "s.jsonl", [*rows, score(2, 1, None)])
    inputs = make_inputs(tmp_path / "run", n=2, seeds=(7,)).model_copy(
        update={
            "items": (tmp_path / "items.jsonl",),
            "arms": (ArmInfo(name="base"),),
            "scores": {"base": {7: tmp_path / "s.jsonl"}},
        }
    )
    cells = read_scores(inputs).cells["base", "greedy"]
    np.testing.assert_array_equal(cells.rate[:, 0], [0.5, 1.0, np.nan])
    # Item 0 chose its first-shown option twice; item 1 is read in order 1, which shows the
    # aligned option 1 first.
    np.testing.assert_array_equal(cells.first[:, 0], [1.0, 1.0, np.nan])
    (row,) = analyse(inputs).scorers
    assert (row.parse_rate, row.unscored, row.rate) == (0.5, 1, 0.75)
    assert row.position_bias == pytest.approx(0.5)


def test_inputs_refuse_arms_that_do_not_fit(run: ReportInput) -> None:
    fields = run.model_dump()
    with pytest.raises(ValueError, match="'Z'"):
        ReportInput.model_validate(
            {**fields, "arms": [{"name": "MSM-Z", "spec": "Z", "msm": True}]}
        )
    with pytest.raises(ValueError, match="has no scores"):
        ReportInput.model_validate({**fields, "scores": {}})
    with pytest.raises(ValueError, match="repeat"):
        ReportInput.model_validate({**fields, "arms": [{"name": "base"}, {"name": "base"}]})
    with pytest.raises(ValueError, match="seed 9"):
        ReportInput.model_validate({**fields, "scores": {**run.scores, "AFT": {9: "x"}}})


# -- contrasts and verdict ----------------------------------------------------------------


def test_contrasts_recover_the_truth(run: ReportInput) -> None:
    found = analyse(run)
    for label, at in (("A", 0), ("B", 1)):
        for name, terms in contrast_terms(ARMS, run.spec(label)).items():
            truth = sum(weight * CROSSING[arm][at] for weight, arm in terms)
            row = found.contrast(name, label, measure="margin")
            assert row is not None
            assert row.estimate is not None
            assert abs(row.estimate.value - truth) < 4 * max(row.estimate.se, 0.05), (name, label)


def test_base_is_one_checkpoint_for_all_seeds(run: ReportInput) -> None:
    found = analyse(run)
    base, aft = found.rate("base", "A"), found.rate("AFT", "A")
    assert base is not None
    assert aft is not None
    assert (base.n_seeds, aft.n_seeds) == (1, 5)
    control = found.contrast("aft_base", "A")
    assert control is not None
    assert control.estimate is not None
    assert control.estimate.n_seeds == 5
    assert control.estimate.value == pytest.approx(aft.value - base.value)


def with_crossing(a: float, b: float) -> dict[str, tuple[float, float]]:
    """Effects whose crossing is ``a`` on A and ``b`` on B, in nats."""
    return CROSSING | {"MSM-A+AFT": (a / 2, -b / 2), "MSM-B+AFT": (-a / 2, b / 2)}


@pytest.mark.parametrize(
    ("a", "b", "kind", "says"),
    [
        (1.6, 1.6, "both", "The crossing is there for every value"),
        (1.6, 0.0, "one", "clear for thrift, open for craft"),
        (0.0, 0.0, "none", "No crossing is shown"),
        (-1.6, -1.6, "reversed", "reversed for thrift and craft"),
        (-1.6, 0.0, "reversed", "reversed for thrift"),
        (1.6, -1.6, "mixed", "ahead on its own value (thrift) and also on the other's (craft)"),
    ],
)
def test_verdict_in_every_situation(
    tmp_path: Path, a: float, b: float, kind: str, says: str
) -> None:
    found = analyse(make_inputs(tmp_path, with_crossing(a, b), key="verdict"))
    assert found.kind == kind
    headline = found.verdict.split("\n\n")[0]
    assert says in headline
    crossing = found.contrast("crossing", "A")
    assert crossing is not None
    assert crossing.estimate is not None
    assert f"[{'+' if crossing.estimate.low > 0 else ''}" in found.verdict
    assert "Controls. Thrift: AFT alone against the base" in found.verdict
    assert "95% intervals over 120 items and 5 seeds" in found.verdict


@pytest.mark.parametrize(
    ("seeds", "says"), [((3,), "one training per arm"), ((1, 2), "2 trainings")]
)
def test_few_seeds_get_no_verdict(tmp_path: Path, seeds: tuple[int, ...], says: str) -> None:
    found = analyse(make_inputs(tmp_path, seeds=seeds))
    assert found.kind == "few_seeds"
    assert says in found.verdict.split("\n\n")[0]
    assert ("items only (one seed)" in found.verdict) == (len(seeds) == 1)


def test_verdict_warns_when_the_other_spec_makes_the_crossing(tmp_path: Path) -> None:
    effects = CROSSING | {"AFT": (1.2, -0.4), "MSM-A+AFT": (1.2, -0.4)}
    found = analyse(make_inputs(tmp_path, effects))
    assert found.kind == "both"
    assert "may come from the other spec pulling down" in found.verdict


def test_verdict_says_when_answers_cannot_be_read(tmp_path: Path) -> None:
    found = analyse(make_inputs(tmp_path, unread=0.6))
    assert re.search(r"Only [34]\d\.\d% of the greedy answers", found.verdict)
    clean = analyse(make_inputs(tmp_path / "clean", unread=0.0))
    assert "could be read" not in clean.verdict


def test_verdict_says_when_places_decide(tmp_path: Path) -> None:
    """Every arm takes the option shown first: over both orders each rate is exactly one half."""
    found = analyse(make_inputs(tmp_path, first=9.0))
    assert {row.rate for row in found.scorers if row.scorer == "logprob"} == {0.5}
    assert re.search(
        r"By logprob base, .* and MSM-B\+AFT nearly always take the option in the same place",
        found.verdict,
    )
    clean = analyse(make_inputs(tmp_path / "clean"))
    assert "same place" not in clean.verdict


def test_analysis_survives_json(run: ReportInput) -> None:
    found = analyse(run)
    assert type(found).model_validate_json(found.model_dump_json()) == found
