"""Several processes on CPU (gloo): copies and shards give the curve of one process."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import textwrap
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from midspec.bases import checkpoint_at, get_base, load
from midspec.errors import TrainError
from midspec.records import Checkpoint, Document
from midspec.store import read_rows, write_records
from midspec.train import TrainConfig, guards, midtrain

TEXTS = [f"Robin likes cheese {i} because it is plain." + " more" * (i % 5) for i in range(18)]
SHARED = {"row_tokens": 64, "batch_rows": 4, "learning_rate": 3e-3, "save_every": 3, "force": True,
          "lora_rank": 4, "lora_alpha": 8}  # fmt: skip
METHODS = ("full", "lora")

WORKER = """
    import os, sys
    from pathlib import Path
    from midspec.records import Checkpoint
    from midspec.train import TrainConfig, midtrain

    out = Path(sys.argv[1])
    for method in ("full", "lora"):
        for parallel in ("ddp", "fsdp"):
            config = TrainConfig(method=method, parallel=parallel, micro_rows=1, **{shared!r})
            midtrain(Checkpoint(base="tiny"), {texts!r}, config, out / f"{{method}}-{{parallel}}")
"""


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MIDSPEC_CACHE", str(tmp_path_factory.mktemp("cache")))
        get_base("tiny")
        yield


def torchrun(script: Path, *arguments: str) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    done = subprocess.run(
        [*command, str(script), *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-4000:]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """One process, two with copies and two with shards, each for full weights and an adapter."""
    out = tmp_path_factory.mktemp("trained")
    for method in METHODS:
        config = TrainConfig(method=method, **SHARED)
        midtrain(Checkpoint(base="tiny"), TEXTS, config, out / f"{method}-one")
    script = out / "worker.py"
    script.write_text(textwrap.dedent(WORKER).format(shared=SHARED, texts=TEXTS))
    torchrun(script, str(out))
    return out


def losses(out: Path) -> list[float]:
    return [row["loss"] for row in read_rows(out / "curve.jsonl")]


@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
@pytest.mark.parametrize("method", METHODS)
def test_two_processes_give_the_curve_of_one(trained, method, parallel):
    one = losses(trained / f"{method}-one")
    plan = json.loads((trained / f"{method}-one" / "plan.json").read_text())
    assert plan["rows_seen"] % 4  # the last step is not whole: empty rows fill it up
    assert losses(trained / f"{method}-{parallel}") == pytest.approx(one, abs=1e-4)


@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
@pytest.mark.parametrize("method", METHODS)
def test_their_checkpoint_loads_in_one_process(trained, method, parallel):
    one, two = (
        load(checkpoint_at(trained / name / "model", "tiny")).model
        for name in (f"{method}-one", f"{method}-{parallel}")
    )
    ids = torch.arange(60, 90)[None]
    with torch.no_grad():
        assert torch.allclose(one(input_ids=ids).logits, two(input_ids=ids).logits, atol=1e-3)
    assert (trained / f"{method}-{parallel}/model/README.md").exists()


@pytest.mark.slow
def test_shards_are_resumed(trained, tmp_path):
    """Killed after step 4 of both processes, then started again: the same curve and weights."""
    text = textwrap.dedent(WORKER).format(shared=SHARED, texts=TEXTS)
    head, _, _ = text.partition("for method in")
    call = 'midtrain(Checkpoint(base="tiny"), {!r}, TrainConfig(method="lora", parallel="fsdp", **{!r}), out'
    once = head + call.format(TEXTS, {"micro_rows": 1, **SHARED})
    script = tmp_path / "worker.py"
    script.write_text(once + ", progress=lambda d, t, s='': d == 4 and os._exit(9))")
    with pytest.raises(AssertionError):
        torchrun(script, str(tmp_path / "out"))
    assert (tmp_path / "out/resume/checkpoint-3/part-1-of-2.pt").exists()
    script.write_text(once + ")")
    torchrun(script, str(tmp_path / "out"))
    assert losses(tmp_path / "out") == losses(trained / "lora-fsdp")
    whole, again = (
        (folder / "model/adapter_model.safetensors").read_bytes()
        for folder in (trained / "lora-fsdp", tmp_path / "out")
    )
    assert whole == again


@pytest.mark.slow
def test_two_nodes_give_the_curve_of_one_process(trained, tmp_path):
    """Two agents that meet as in ``deploy/train.sbatch``, each with one worker, both here."""
    data = tmp_path / "documents.jsonl"
    write_records(data, [Document(plan="p", type="memo", text=t, writer="test") for t in TEXTS])
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    command = [
        *(sys.executable, "-m", "torch.distributed.run", "--nnodes=2", "--nproc_per_node=1"),
        *("--rdzv_id=7", "--rdzv_backend=c10d", f"--rdzv_endpoint=localhost:{port}"),
        *("-m", "midspec", "train", "midtrain", str(data), "--base=tiny"),
        *(f"--out={tmp_path / 'out'}", "--set=method=full", "--set=micro_rows=1"),
        *("--set=max_steps=0", *(f"--set={name}={value}" for name, value in SHARED.items())),
    ]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    nodes = [subprocess.Popen(command, **pipes) for _ in range(2)]
    said = [node.communicate(timeout=300) for node in nodes]
    assert [node.returncode for node in nodes] == [0, 0], said
    assert sum(out.count("Checkpoint:") for out, _ in said) == 1  # the first process speaks
    assert losses(tmp_path / "out") == pytest.approx(losses(trained / "full-one"), abs=1e-4)


# -- guards -------------------------------------------------------------------------------


def test_a_model_that_is_not_wrapped_as_asked_is_refused():
    plain = nn.Linear(2, 2)
    guards.check_wrapping(plain, "ddp", 1)
    for parallel in ("ddp", "fsdp"):
        with pytest.raises(TrainError, match=f"{parallel} asked for, but one process runs"):
            guards.check_wrapping(plain, parallel, 2)


def trainer(processes: int) -> Any:
    return SimpleNamespace(args=SimpleNamespace(world_size=processes))


def test_other_processes_than_asked_for_are_refused(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    guards.check_processes(trainer(2))
    with pytest.raises(TrainError, match="2 processes asked for, 1 run; use torchrun"):
        guards.check_processes(trainer(1))
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    with pytest.raises(TrainError, match="set parallel=fsdp instead"):
        guards.check_processes(trainer(2))


@pytest.mark.slow
def test_accelerates_launcher_that_silently_runs_one_process_is_refused(tmp_path):
    script = tmp_path / "worker.py"
    call = f'midtrain(Checkpoint(base="tiny"), {TEXTS!r}, TrainConfig(**{SHARED!r}), out)'
    head, _, _ = textwrap.dedent(WORKER).partition("for method in")
    script.write_text(head.format(shared={}, texts=[]) + call)
    launcher = [sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_processes=2"]
    done = subprocess.run(
        [*launcher, str(script), str(tmp_path / "out")], capture_output=True, text=True, timeout=300
    )
    assert done.returncode != 0
    assert "several processes asked for, 1 runs; use torchrun" in done.stderr
    assert not (tmp_path / "out/model").exists()


def test_shards_without_processes_are_refused(tmp_path):
    config = TrainConfig(parallel="fsdp", **SHARED)
    with pytest.raises(TrainError, match="use torchrun or ddp"):
        midtrain(Checkpoint(base="tiny"), TEXTS, config, tmp_path)
