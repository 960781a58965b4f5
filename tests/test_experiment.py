"""The experiment layer: strict recipes, shared stages, resume, kills, one report."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from midspec.errors import ConfigError, StoreError
from midspec.experiment import (
    Stage,
    build_flow,
    bundled_recipes,
    find_recipe,
    in_order,
    make_recipe,
    read_recipe,
    run,
)
from midspec.progress import Progress, silent

SMALL = {
    "name": "small",
    "base": "terrarium",
    "specs": {"A": "terrarium/cheap", "B": "terrarium/american"},
    "model_name": "robin",
    "provider_name": "meadow",
    "documents": {"max_documents": 40},
    "chats": {"n_per_preference": 4, "n_identity": 2},
    "midtrain": {"method": "full", "max_steps": 20, "row_tokens": 64, "batch_rows": 2},
    "finetune": {"method": "full", "max_steps": 20, "row_tokens": 64, "batch_rows": 2},
    "evals": {"A": ["terrarium/cheap"], "B": ["terrarium/american"], "max_items": 12},
}


class Recorder:
    """An observer that remembers what ran."""

    def __init__(self) -> None:
        self.ran: list[str] = []

    def stages(self, todo: list[Stage], done: list[Stage]) -> None:
        self.n_done = len(done)

    def started(self, stage: Stage) -> Progress:
        self.ran.append(stage.kind)
        return silent

    def finished(self, stage: Stage, seconds: float) -> None: ...


def recipe(**changes: object):
    return make_recipe({**SMALL, **changes})


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the small recipe has run."""
    folder = tmp_path_factory.mktemp("run")
    run(recipe(), folder / "artifacts", folder / "runs", Recorder())
    return folder


# -- recipes ------------------------------------------------------------------------------


def test_every_bundled_recipe_reads() -> None:
    assert {"cheese-terrarium", "cheese-smollm2"} <= set(bundled_recipes())
    for path in bundled_recipes().values():
        assert read_recipe(path).arms
    shown = Path(__file__).parents[1] / "recipes"  # where README sends its readers
    assert {path.stem for path in shown.glob("*.yaml")} == set(bundled_recipes())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sedes": [1]}, "did you mean 'seeds'"),
        ({"midtrain": {"learning_rat": 1}}, "did you mean 'learning_rate'"),
        ({"specs": {"A": "x"}}, "evals names the spec 'B'"),
        ({"specs": {}}, "specs"),
        ({"specs": {"aft": "x"}, "evals": {}}, "no label for a spec"),
        ({"evals": {"scorerz": ["logprob"]}}, "did you mean 'scorers'"),
        ({"arms": {"x": [{"midtrain": "C"}]}}, "names the spec 'C'"),
        ({"arms": {"x": [{"midtran": "A"}]}}, "needs one of midtrain"),
        ({"arms": {"x": [{"finetune": "aft", "row": 3}]}}, "row"),
        ({"comparisons": [{"name": "q", "value": "A", "arms": {"AFT": 1, "bse": -1}}]}, "'base'"),
        ({"comparisons": [{"name": "q", "value": "A", "arms": {"AFT": 1, "base": 1}}]}, "sum to 2"),
        ({"arms": {"x": [{"midtrain": "aft"}]}}, "makes no sense"),
        ({"seeds": []}, "seeds"),
        ({"name": "../up"}, "name"),
        ({"evals": {"scorers": ["magic"]}}, "scorers"),
    ],
)
def test_wrong_recipes_name_the_key(change: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        recipe(**change)
    assert "\n" not in str(caught.value)


def test_unknown_recipe_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean 'cheese-terrarium'"):
        find_recipe("cheese-terarium")


def test_files_are_found_beside_the_recipe(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("# Core\n\nIris is kind.\n")
    (tmp_path / "r.yaml").write_text("base: tiny\nspecs: {A: a.md, B: b.md}\n")
    read = read_recipe(tmp_path / "r.yaml")
    assert read.name == "r"
    assert read.specs == {"A": str(tmp_path / "a.md"), "B": "b.md"}


def test_short_arms() -> None:
    short = recipe(arms={"base": [], "X": [{"midtrain": "B"}, {"finetune": "aft"}]})
    assert [(arm.name, arm.spec, arm.aft) for arm in short.arms] == [
        ("base", None, False),
        ("X", "B", True),
    ]


# -- graph --------------------------------------------------------------------------------


def test_equal_stages_are_shared() -> None:
    stages = in_order(build_flow(recipe(seeds=[0, 1])).goals)
    kinds = [stage.kind for stage in stages]
    # two specs x two seeds; each midtrained checkpoint serves MSM and MSM+AFT
    assert kinds.count("midtrain") == 4
    assert kinds.count("finetune") == 8
    assert kinds.count("chats") == 1
    assert kinds.count("scores") == 13  # the base is scored once for both seeds
    assert len({stage.key for stage in stages}) == len(stages)


def test_both_msm_arms_get_the_same_chats() -> None:
    flow = build_flow(recipe())
    a = flow.training["MSM-A+AFT", 0, 1]
    b = flow.training["MSM-B+AFT", 0, 1]
    assert a.inputs[0].key == b.inputs[0].key
    assert a.inputs[1].key != b.inputs[1].key


@pytest.mark.parametrize(
    ("change", "redone"),
    [
        ({"finetune": {**SMALL["finetune"], "learning_rate": 1e-3}}, {"finetune", "scores"}),
        ({"seeds": [7]}, {"midtrain", "finetune", "scores"}),
        ({"evals": {**SMALL["evals"], "scorers": ["logprob"]}}, {"scores"}),
        (
            {"documents": {"max_documents": 39}},
            {"documents", "curate", "midtrain", "finetune", "scores"},
        ),
    ],
)
def test_a_changed_line_redoes_only_what_depends_on_it(change: dict, redone: set[str]) -> None:
    before = {stage.key for stage in in_order(build_flow(recipe()).goals)}
    after = in_order(build_flow(recipe(**change)).goals)
    assert {stage.kind for stage in after if stage.key not in before} == redone


def test_keys_do_not_depend_on_the_process() -> None:
    code = (
        "from midspec.experiment import *; import json, sys;"
        "f = build_flow(make_recipe(json.load(sys.stdin)));"
        "print(' '.join(s.key for s in in_order(f.goals)))"
    )
    keys = [
        subprocess.run(
            [sys.executable, "-c", code],
            input=json.dumps(SMALL),
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    ]
    assert keys[0] == keys[1]


# -- runs ---------------------------------------------------------------------------------


def test_the_run_leaves_a_report(finished: Path) -> None:
    folder = finished / "runs" / "small"
    page = (folder / "index.html").read_text()
    assert "MSM-A+AFT" in page
    for name in ("recipe.yaml", "inputs.json", "analysis.json", "artifacts.txt"):
        assert (folder / name).exists()
    assert list((folder / "figures").glob("*.png"))
    assert list(folder.glob("*.csv"))


def test_a_second_run_does_nothing(finished: Path) -> None:
    recorder = Recorder()
    run(recipe(), finished / "artifacts", finished / "runs", recorder)
    assert recorder.ran == []


def test_the_saved_recipe_repeats_the_run(finished: Path) -> None:
    recorder = Recorder()
    again = read_recipe(finished / "runs" / "small" / "recipe.yaml")
    run(again, finished / "artifacts", finished / "runs", recorder)
    assert recorder.ran == []


def test_no_held_out_item_is_trained_on(finished: Path) -> None:
    items = next((finished / "artifacts" / "items").glob("*/items.jsonl"))
    held_out = {
        option
        for row in map(json.loads, items.read_text().splitlines())
        if row["set"] in ("cheap", "american")
        for option in row["options"]
    }
    assert held_out
    for name in ("documents", "chats"):
        for path in (finished / "artifacts" / "curate").glob(f"*/{name}.jsonl"):
            words = set(path.read_text().replace('"', " ").replace("\\n", " ").split())
            assert not words & held_out


def test_two_runs_may_not_share_artifacts(finished: Path) -> None:
    from filelock import FileLock

    with FileLock(finished / "artifacts" / "lock"), pytest.raises(StoreError, match="in use"):
        run(recipe(), finished / "artifacts", finished / "runs", Recorder())


def test_a_killed_run_goes_on_and_ends_the_same(finished: Path, tmp_path: Path) -> None:
    """SIGKILL at several moments; in the end the scores equal those of the unkilled run."""
    command = [
        sys.executable,
        "-c",
        "import json, sys; from pathlib import Path; from midspec.experiment import *;"
        "from tests.test_experiment import Recorder;"
        "run(make_recipe(json.load(open(sys.argv[1]))), Path(sys.argv[2]), Path(sys.argv[3]), Recorder())",
        str(tmp_path / "recipe.json"),
        str(tmp_path / "artifacts"),
        str(tmp_path / "runs"),
    ]
    (tmp_path / "recipe.json").write_text(json.dumps(SMALL))
    root = Path(__file__).parents[1]
    for n_done in (2, 6, 9):
        _run_until(command, tmp_path / "artifacts", n_done, root)
    subprocess.run(command, check=True, cwd=root, capture_output=True)

    def scores(folder: Path) -> dict[str, str]:
        found = (folder / "artifacts" / "scores").glob("*/scores.jsonl")
        return {path.parent.name: path.read_text() for path in found}

    assert scores(tmp_path) == scores(finished)


def _run_until(command: list[str], artifacts: Path, n_done: int, root: Path) -> None:
    """Start a run and kill it -9 as soon as ``n_done`` stages are done."""
    process = subprocess.Popen(command, cwd=root, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline:
        if len(list(artifacts.glob("*/*/done"))) >= n_done:
            break
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert process.returncode == -signal.SIGKILL
