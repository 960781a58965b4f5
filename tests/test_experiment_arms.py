"""Any number of specs and arms: controls, doses, plans, and kills of a large run."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midspec.errors import ConfigError
from midspec.experiment import (
    build_flow,
    bundled_recipes,
    in_order,
    make_recipe,
    plan_experiment,
    read_recipe,
    run,
    standard_arms,
)
from midspec.experiment.doses import dose_points
from midspec.experiment.files import evenly
from midspec.experiment.neutral import matched
from midspec.records import Document
from midspec.report import TrainingInfo
from tests.test_experiment import SMALL, Recorder, _run_until, recipe

# -- recipes ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(bundled_recipes()))
def test_every_bundled_recipe_plans_offline(name: str, tmp_path: Path) -> None:
    found = plan_experiment(read_recipe(bundled_recipes()[name]), tmp_path)
    trainings = [stage for stage in found.stages if stage.kind in ("midtrain", "finetune")]
    assert trainings
    assert all(stage.steps >= 20 and stage.tokens for stage in trainings)
    assert all(0 < design.effect < 0.5 for _, design in found.detectable)
    assert not [text for text in found.warnings if "--force" in text or "nothing" in text]
    assert (found.writer == "scribe") == (found.total("calls") == 0)
    assert not list(tmp_path.iterdir())  # a plan writes nothing


def test_full_controls_are_spelled_out_and_survive_a_round_trip() -> None:
    full = recipe(controls="full")
    assert [arm.name for arm in full.arms] == [
        "base", "instruction", "AFT", "MSM-A", "MSM-B", "neutral+AFT", "prompt-A", "prompt-B",
        "MSM-A+AFT", "MSM-B+AFT",
    ]  # fmt: skip
    assert make_recipe(full.model_dump(mode="json")) == full
    flow = build_flow(full)
    assert flow.corpora["neutral", 0].kind == "match"
    assert flow.scores["prompt-A", 0].key != flow.scores["base", 0].key


def test_controls_keep_the_names_of_arms_that_are_there() -> None:
    named = recipe(controls="full", arms={"untrained": [], "mine": [{"midtrain": "A"}]})
    names = [arm.name for arm in named.arms]
    assert names[0] == "untrained"
    assert "base" not in names
    assert names.count("mine") == 1


def test_three_specs_make_three_standard_arms() -> None:
    specs = {**SMALL["specs"], "C": "terrarium/cheap"}
    assert recipe(specs=specs).arms == standard_arms("ABC")


def test_long_and_short_evaluations_are_the_same() -> None:
    short = {"A": ["terrarium/cheap"], "max_items": 3}
    long = {"sets": {"A": ["terrarium/cheap"]}, "max_items": 3}
    assert recipe(evals=short) == recipe(evals=long)


def test_specs_with_other_preferences_have_chats_of_their_own() -> None:
    specs = {"A": "terrarium/cheap", "X": "terrarium/costly"}
    arms = {
        "a": [{"finetune": "A"}],
        "x": [{"finetune": "X"}],
        "mix": [{"finetune": "instruction"}],
    }
    apart = recipe(specs=specs, arms=arms, evals={"A": ["terrarium/cheap"]})
    flow = build_flow(apart)
    assert flow.chats["A"].key != flow.chats["X"].key
    shared = recipe(specs=specs, evals={"A": ["terrarium/cheap"]})
    with pytest.raises(ConfigError, match="specs that share chats"):
        build_flow(shared)


def test_an_ablated_spec_lists_other_preferences_and_no_reasons() -> None:
    specs = {"A": "terrarium/cheap", "Ax": "ablated:terrarium/cheap"}
    arms = {"x": [{"midtrain": "Ax"}, {"finetune": "Ax"}]}
    flow = build_flow(recipe(specs=specs, arms=arms, evals={"A": ["terrarium/cheap"]}))
    assert {p.reason for p in flow.specs["Ax"].preferences} == {""}
    assert flow.specs["Ax"].liked() != flow.specs["A"].liked()


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("agent/rules-explained", "rules"),
        ("agent/rules-explained", "value-augmented"),
        ("agent/philosophy", "neutral"),
    ],
)
def test_variants_that_need_no_model_are_named_in_the_recipe(source: str, kind: str) -> None:
    specs = {"A": source, "Ax": f"{kind}:{source}"}
    arms = {"MSM": [{"midtrain": "A"}], "MSM-x": [{"midtrain": "Ax"}]}
    flow = build_flow(recipe(specs=specs, evals={}, arms=arms, name="v", model_name="Pim"))
    original, variant = flow.specs["A"], flow.specs["Ax"]
    assert (variant.kind, variant.name) == (kind, f"{original.name}-{kind}")
    assert flow.corpora["A", 0].key != flow.corpora["Ax", 0].key
    if kind == "neutral":
        assert not set(variant.claims) & set(original.claims)
    else:
        assert [rule.text for rule in variant.rules] == [rule.text for rule in original.rules]
        assert all(bool(rule.reason) == (kind != "rules") for rule in variant.rules)


def test_a_variant_that_a_model_drafts_has_to_be_frozen_first() -> None:
    with pytest.raises(ConfigError, match=r"midspec spec derive .* --variant general --out FILE"):
        build_flow(recipe(specs={"A": "general:cheese-america"}, evals={}))


def test_a_variant_of_a_file_beside_the_recipe(tmp_path: Path) -> None:
    text = "# Core\n{model_name} values thrift.\n# Likes\n- Tea: it is cheap\n- Rye: it is cheap\n"
    text += "# Dislikes\n- Brie: it is dear\n- Silk: it is dear\n"
    (tmp_path / "tea.md").write_text(text)
    raw = "base: tiny\nspecs: {A: tea.md, Ax: 'ablated:tea.md'}\narms: {M: [{midtrain: Ax}]}\n"
    (tmp_path / "mine.yaml").write_text(raw)
    flow = build_flow(read_recipe(tmp_path / "mine.yaml"))
    assert flow.specs["Ax"].name == "tea-ablated"
    assert not any(one.reason for one in flow.specs["Ax"].preferences)


def test_given_files_replace_writing(tmp_path: Path) -> None:
    documents, talks = tmp_path / "d.jsonl", tmp_path / "c.jsonl"
    documents.write_text('{"text": "robin values cheap things ."}\n')
    talks.write_text(
        '{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}\n'
    )
    given_files = recipe(corpora={"A": str(documents)}, chat_files={"aft": str(talks)})
    kinds = [stage.kind for stage in in_order(build_flow(given_files).goals)]
    assert kinds.count("given") == 2
    assert "chats" not in kinds
    with pytest.raises(ConfigError, match="there is no file"):
        build_flow(recipe(corpora={"A": str(tmp_path / "gone.jsonl")}))


# -- doses and matching -------------------------------------------------------------------


def test_doses_make_a_curve_with_its_ends() -> None:
    arms = recipe(
        arms={
            "MSM": [{"midtrain": "A"}],
            "less": [{"midtrain": "A"}, {"finetune": "aft", "rows": 8}],
            "all": [{"midtrain": "A"}, {"finetune": "aft"}],
            "AFT": [{"finetune": "aft"}],
        }
    ).arms
    seen = TrainingInfo(
        arm="all", seed=0, stage="finetune", data="aft", steps=20, records=50, tokens=900
    )
    points = {(p.arm, p.amount) for p in dose_points(arms, [seen])}
    assert points == {("MSM", 0), ("less", 8), ("all", 50)}


def test_a_dose_changes_its_own_stage_only() -> None:
    dosed = {"base": [], "AFT": [{"finetune": "aft"}], "AFT/2": [{"finetune": "aft", "rows": 2}]}
    flow = build_flow(recipe(arms=dosed))
    one, other = flow.training["AFT", 0, 0], flow.training["AFT/2", 0, 0]
    assert one.key != other.key
    assert one.inputs[0].key == other.inputs[0].key


@given(st.lists(st.integers(0, 40), max_size=12), st.integers(0, 400))
def test_matched_tokens_are_as_near_as_documents_allow(sizes: list[int], target: int) -> None:
    made = [(Document(plan="", type="t", text=str(n), writer="w"), n) for n in sizes]
    total = sum(n for _, n in matched(lambda: made, target))
    if any(sizes):
        assert abs(total - target) <= max(sizes) / 2
    else:
        assert total == 0


@given(st.integers(0, 50), st.integers(0, 60))
def test_evenly_takes_what_is_asked_in_order(total: int, n: int) -> None:
    taken = list(evenly(range(total), n))
    assert len(taken) == (min(n, total) if n else total)
    assert taken == sorted(set(taken))
    assert set(evenly(range(total), n // 2) if n > 1 else ()) <= set(taken)  # doses are nested


@given(st.integers(40, 500), st.integers(2, 6), st.floats(0.05, 0.95))
def test_evenly_follows_no_rhythm_of_a_list(total: int, period: int, share: float) -> None:
    """Of every question type, preference or order as many, wherever they recur in the list."""
    n = round(total * share)
    counts = Counter(at % period for at in evenly(range(total), n))
    assert all(abs(counts[one] - n / period) <= 5.5 for one in range(period))
    halves = Counter(at < total / 2 for at in evenly(range(total), n))
    assert abs(halves[True] - halves[False]) <= 5


# -- a large run, killed ------------------------------------------------------------------

TINY = {
    "name": "large",
    "base": "tiny",
    "specs": {"A": "terrarium/cheap", "B": "terrarium/american"},
    "documents": {"max_documents": 10},
    "chats": {"n_per_preference": 1, "n_identity": 1},
    "midtrain": {"method": "full", "max_steps": 1, "row_tokens": 64, "batch_rows": 1, "force": True},
    "finetune": {"method": "full", "max_steps": 1, "row_tokens": 256, "batch_rows": 1, "force": True},
    "evals": {
        "A": ["terrarium/cheap"], "B": ["terrarium/american"], "max_items": 4,
        "scorers": ["logprob"], "recall": False,
    },
    "controls": "full",
}  # fmt: skip
TWELVE = {
    "MSM-A+AFT": [{"midtrain": "A"}, {"finetune": "aft"}],
    "MSM-B+AFT": [{"midtrain": "B"}, {"finetune": "aft"}],
    "MSM-A+AFT/4": [{"midtrain": "A"}, {"finetune": "aft", "rows": 4}],
    "MSM-B+AFT/4": [{"midtrain": "B"}, {"finetune": "aft", "rows": 4}],
}


def without_times(page: Path) -> str:
    """The page's text without the manifest's lines about time and place."""
    text = page.read_text(encoding="utf-8")
    return re.sub(r"<tr><td>seconds by stage[^\n]*?</tr>", "", text)


@pytest.mark.slow  # test_experiment has the default tier's kills
@pytest.mark.parametrize("seeds", [(0,), (0, 1, 2)], ids=["1-seed", "3-seeds"])
def test_a_killed_run_of_twelve_arms_gives_the_same_report(
    tmp_path: Path, seeds: tuple[int, ...]
) -> None:
    """SIGKILL at several moments; the page is byte for byte that of an unbroken run."""
    fields = {**TINY, "seeds": seeds, "arms": TWELVE}
    assert len(make_recipe(fields).arms) == 12
    whole = run(
        make_recipe(fields), tmp_path / "a" / "artifacts", tmp_path / "a" / "runs", Recorder()
    )
    command = [
        sys.executable,
        "-c",
        "import json, sys; from pathlib import Path; from midspec.experiment import *;"
        "from tests.test_experiment import Recorder;"
        "run(make_recipe(json.load(open(sys.argv[1]))), Path(sys.argv[2]), Path(sys.argv[3]), Recorder())",
        str(tmp_path / "recipe.json"),
        str(tmp_path / "b" / "artifacts"),
        str(tmp_path / "b" / "runs"),
    ]
    (tmp_path / "recipe.json").write_text(json.dumps(fields))
    root = Path(__file__).parents[1]
    for n_done in (5, 15) if len(seeds) == 1 else (5, 20, 45, 70):
        _run_until(command, tmp_path / "b" / "artifacts", n_done, root)
    subprocess.run(command, check=True, cwd=root, capture_output=True)
    again = tmp_path / "b" / "runs" / "large" / "index.html"
    assert without_times(again) == without_times(whole.page)
