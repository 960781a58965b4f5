"""The Ray executor on a cluster of two nodes, and trainings that several processes share."""

from __future__ import annotations

import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from midspec.errors import ConfigError, MidspecError, TrainError
from midspec.experiment import Recipe, Stage, build_flow, execute, in_order, make_recipe
from midspec.experiment.cluster import _request, execute_on_ray
from midspec.experiment.graph import artifact_of
from midspec.experiment.processes import perform_stage
from midspec.progress import Progress, silent
from midspec.store import Store, read_rows

TINY = {
    "name": "spread",
    "base": "tiny",
    "specs": {"A": "terrarium/cheap", "B": "terrarium/american"},
    "documents": {"max_documents": 12},
    "chats": {"n_per_preference": 1, "n_identity": 1},
    "midtrain": {"method": "full", "max_steps": 400, "row_tokens": 64, "batch_rows": 2, "save_every": 50},
    "finetune": {"method": "full", "max_steps": 2, "row_tokens": 256, "batch_rows": 2, "force": True},
    "evals": {
        "A": ["terrarium/cheap"], "B": ["terrarium/american"], "max_items": 4,
        "scorers": ["logprob"], "recall": False,
    },
    "arms": {
        "base": [],
        "MSM-A+AFT": [{"midtrain": "A"}, {"finetune": "aft"}],
        "MSM-B+AFT": [{"midtrain": "B"}, {"finetune": "aft"}],
    },
}  # fmt: skip


class Quiet:
    """An observer that counts what is finished."""

    def __init__(self) -> None:
        self.finished_keys: list[str] = []

    def stages(self, todo: list[Stage], done: list[Stage]) -> None: ...

    def started(self, stage: Stage) -> Progress:
        return silent

    def finished(self, stage: Stage, seconds: float) -> None:
        self.finished_keys.append(stage.key)


def locally(recipe: Recipe, artifacts: Path) -> None:
    """All stages, without the report."""
    goals = build_flow(recipe).goals
    execute(goals, Store(artifacts), Quiet(), partial(perform_stage, recipe))


def on_ray(recipe: Recipe, artifacts: Path, observer: Quiet) -> None:
    execute_on_ray(recipe, build_flow(recipe).goals, Store(artifacts), observer)


def scores(artifacts: Path) -> dict[str, str]:
    found = (artifacts / "scores").glob("*/scores.jsonl")
    return {path.parent.name: path.read_text() for path in found}


def curves(artifacts: Path, kind: str) -> dict[str, list[dict[str, Any]]]:
    found = (artifacts / kind).glob("*/curve.jsonl")
    return {path.parent.name: list(read_rows(path)) for path in found}


# -- several processes, without Ray -------------------------------------------------------


def small(**changes: Any):
    fields: dict[str, Any] = {**TINY, "arms": {"MSM": [{"midtrain": "A"}]}}
    fields["midtrain"] = {**TINY["midtrain"], "max_steps": 4, "force": True}
    return make_recipe({**fields, **changes})


def test_two_workers_train_what_one_trains(tmp_path: Path) -> None:
    for name, workers in (("one", 1), ("two", 2)):
        locally(small(resources={"midtrain": {"workers": workers}}), tmp_path / name)
    one, two = (curves(tmp_path / name, "midtrain") for name in ("one", "two"))
    assert one.keys() == two.keys()  # where a stage runs is no part of its key
    key = next(iter(one))
    losses = [[row["loss"] for row in curve[key]] for curve in (one, two)]
    assert len(losses[0]) == 4
    assert losses[1] == pytest.approx(losses[0], abs=1e-4)


def test_a_failed_worker_is_named_with_its_words(tmp_path: Path) -> None:
    odd = {**TINY["midtrain"], "max_steps": 4, "force": True, "batch_rows": 3}
    recipe = small(midtrain=odd, resources={"midtrain": {"workers": 2}})
    with pytest.raises(TrainError, match=r"process \d failed: .*batch_rows 3") as caught:
        locally(recipe, tmp_path)
    assert "\n" not in str(caught.value)


def test_only_trainings_have_workers() -> None:
    with pytest.raises(ConfigError, match="scores runs in one process"):
        small(resources={"scores": {"workers": 2}})


@pytest.mark.parametrize(
    ("resources", "node", "asked"),
    [
        ({}, {"CPU": 2.0}, (1, 0)),
        ({}, {"CPU": 2.0, "GPU": 1.0}, (1, 1)),
        ({"midtrain": {"cpus": 4, "gpus": 2, "workers": 2}}, {"CPU": 8.0, "GPU": 4.0}, (8, 4)),
        ({"midtrain": {"gpus": 8}}, {"CPU": 8.0, "GPU": 4.0}, None),
    ],
)
def test_requests_fit_a_node_or_are_refused(resources, node, asked) -> None:
    nodes = [{"Alive": True, "Resources": node}, {"Alive": False, "Resources": {"GPU": 99.0}}]
    recipe = small(resources=resources)
    if asked is None:
        with pytest.raises(ConfigError, match="asks for 1 cores and 8 GPUs on one node"):
            _request(recipe, "midtrain", nodes)
    else:
        assert tuple(_request(recipe, "midtrain", nodes).values()) == asked


# -- a cluster ----------------------------------------------------------------------------


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch):
    """A head without cores and two nodes with one core each."""
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    monkeypatch.setenv("RAY_worker_niceness", "0")  # else a busy machine starves Ray's workers
    settings = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 500}
    head = {"num_cpus": 0, "include_dashboard": False, "_system_config": settings}
    made = Cluster(initialize_head=True, head_node_args=head)
    nodes = [made.add_node(num_cpus=1) for _ in range(2)]
    ray.init(address=made.address, log_to_driver=False, logging_level=40)
    yield made, nodes
    ray.shutdown()
    made.shutdown()


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # Ray's own, in its threads
def test_a_run_survives_the_loss_of_a_node(cluster, tmp_path: Path) -> None:
    """Both nodes are in the middle of a training when one dies; the numbers are the local ones."""
    made, nodes = cluster
    recipe = make_recipe(TINY)
    locally(recipe, tmp_path / "local")
    observer, failed = Quiet(), []

    def spread() -> None:
        try:
            on_ray(recipe, tmp_path / "ray", observer)
        except MidspecError as error:
            failed.append(error)

    running = threading.Thread(target=spread)
    running.start()
    steps = lost_at(tmp_path / "ray", running)
    made.remove_node(nodes[1], allow_graceful=False)
    running.join(timeout=240)
    assert not running.is_alive()
    assert not failed
    assert len(steps) == 2  # two nodes of one core: one training on each
    assert all(50 < step < 400 for step in steps.values())
    assert scores(tmp_path / "ray") == scores(tmp_path / "local")
    assert {k: rows_without_times(v) for k, v in curves(tmp_path / "ray", "midtrain").items()} == {
        k: rows_without_times(v) for k, v in curves(tmp_path / "local", "midtrain").items()
    }
    assert sorted(observer.finished_keys) == sorted(
        s.key for s in in_order(build_flow(recipe).goals)
    )


def lost_at(artifacts: Path, running: threading.Thread) -> dict[str, int]:
    """Wait until both midtrainings are past their first resume point; the steps they are at."""
    deadline = time.monotonic() + 180
    while running.is_alive() and time.monotonic() < deadline:
        steps = {
            key: int(rows[-1]["step"])
            for key, rows in curves(artifacts, "midtrain").items()
            if rows
        }
        if len(steps) == 2 and min(steps.values()) > 60:
            return steps
        time.sleep(0.05)
    pytest.fail("both trainings never ran at once")


def rows_without_times(rows: list[dict[str, Any]]) -> list[tuple[int, float]]:
    return [(int(row["step"]), float(row["loss"])) for row in rows]


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_a_stage_of_two_workers_on_the_cluster_trains_what_one_trains(
    cluster, tmp_path: Path
) -> None:
    made, _ = cluster
    made.add_node(num_cpus=2)  # the only node with room for both workers
    locally(small(), tmp_path / "one")
    on_ray(small(resources={"midtrain": {"workers": 2}}), tmp_path / "two", Quiet())
    one, two = (curves(tmp_path / name, "midtrain") for name in ("one", "two"))
    assert one.keys() == two.keys()
    for key, rows in one.items():
        losses = [row["loss"] for row in rows]
        assert len(losses) == 4
        assert [row["loss"] for row in two[key]] == pytest.approx(losses, abs=1e-4)
        logs = (tmp_path / "two" / "midtrain" / key).glob("process-*.log")
        assert len(list(logs)) == 2


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_an_error_of_a_stage_stays_one_line(cluster, tmp_path: Path) -> None:
    recipe = small(midtrain={**TINY["midtrain"], "max_steps": 4})
    with pytest.raises(TrainError, match="fewer than 20") as caught:
        on_ray(recipe, tmp_path / "artifacts", Quiet())
    assert "\n" not in str(caught.value)
    flow = build_flow(recipe)
    training = flow.training["MSM", 0, 0]
    assert not artifact_of(training, Store(tmp_path / "artifacts")).done
