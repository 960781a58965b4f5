"""The templates in deploy/: as far as they can be checked without a cluster."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from midspec.train import TrainConfig

DEPLOY = Path(__file__).parents[1] / "deploy"
SKY_TASK = {
    "type": "object",
    "required": ["name", "resources", "setup", "run"],
    "additionalProperties": False,
    "properties": {
        "name": {"type": "string", "pattern": "^[a-z0-9-]+$"},
        "workdir": {"type": "string"},
        "num_nodes": {"type": "integer", "minimum": 1},
        "setup": {"type": "string"},
        "run": {"type": "string"},
        "envs": {"type": "object", "additionalProperties": {"type": ["string", "number"]}},
        "resources": {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "accelerators": {"type": "string", "pattern": "^[A-Za-z0-9-]+:[0-9]+$"},
                "use_spot": {"type": "boolean"},
                "disk_size": {"type": "integer"},
                "job_recovery": {
                    "type": "object",
                    "additionalProperties": False,
                    "properties": {
                        "strategy": {"enum": ["FAILOVER", "EAGER_NEXT_REGION"]},
                        "max_restarts_on_errors": {"type": "integer"},
                    },
                },
            },
        },
        "file_mounts": {
            "type": "object",
            "additionalProperties": {
                "type": "object",
                "required": ["name"],
                "properties": {"mode": {"enum": ["MOUNT", "COPY", "MOUNT_CACHED"]}},
            },
        },
    },
}  # what of SkyPilot's task schema the file uses


def sky() -> dict:
    return yaml.safe_load((DEPLOY / "train.sky.yaml").read_text())


def test_the_sky_file_follows_the_schema():
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.validate(sky(), SKY_TASK)


def test_skypilot_itself_takes_the_file(monkeypatch):
    skypilot = pytest.importorskip("sky")
    monkeypatch.chdir(DEPLOY.parent)
    task = skypilot.Task.from_yaml(str(DEPLOY / "train.sky.yaml"))
    (machine,) = task.resources
    assert machine.accelerators == {"H200": 4}
    assert machine.use_spot
    assert task.num_nodes == 1


@pytest.mark.parametrize("name", ["train.sbatch", "setup", "run"])
def test_the_shell_parts_parse(name):
    text = (DEPLOY / name).read_text() if "." in name else sky()[name]
    done = subprocess.run(["bash", "-n"], input=text, text=True, capture_output=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["train.sbatch", "train.sky.yaml"])
def test_the_settings_in_them_exist(name):
    text = (DEPLOY / name).read_text()
    found = re.findall(r"--set (\w+)=", text)
    assert found
    assert set(found) <= set(TrainConfig.model_fields)


def fake(folder: Path, name: str, body: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/bash\n{body}\n")
    path.chmod(0o755)


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.parametrize(("ends_with", "expected"), [(0, 0), (3, 3), ("term", 0)])
def test_the_slurm_script_passes_codes_on_and_queues_again_when_stopped(
    tmp_path, ends_with, expected
):
    log = tmp_path / "log"
    fake(tmp_path, "scontrol", f'[ "$1" = show ] && echo node1 || echo "$@" >> {log}')
    fake(tmp_path, "scancel", f'echo cancel "$@" >> {log}; touch {tmp_path}/cancelled')
    wait = f"kill -TERM $PPID; while [ ! -f {tmp_path}/cancelled ]; do sleep 0.05; done; exit 143"
    fake(
        tmp_path,
        "srun",
        f'echo "$@" >> {log}; ' + (wait if ends_with == "term" else f"exit {ends_with}"),
    )
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "SLURM_JOB_ID": "7",
                   "SLURM_JOB_NODELIST": "n", "SLURM_NNODES": "2", "SLURM_GPUS_ON_NODE": "4"}  # fmt: skip
    done = subprocess.run(
        ["bash", str(DEPLOY / "train.sbatch"), "midtrain", "d.jsonl", "--out", "o"],
        env=environment, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == expected, done.stderr
    said = log.read_text()
    assert "torchrun --nnodes 2 --nproc_per_node 4" in said
    assert "-m midspec train midtrain d.jsonl --out o" in said
    assert ("requeue 7" in said) == (ends_with == "term")


def test_the_gpu_check_runs_both_stages_without_a_gpu(tmp_path):
    ast.parse((DEPLOY / "gpu_check.py").read_text())
    done = subprocess.run(
        [sys.executable, str(DEPLOY / "gpu_check.py"), "--base", "tiny", "--allow-cpu", "--steps=4",
         "--row-tokens=512", "--rows=2", "--peak=1"],
        capture_output=True, text=True, env={**os.environ, "MIDSPEC_CACHE": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()[1:]]
    assert [row["stage"] for row in rows] == ["msm", "aft"]
    assert all(row["tokens_per_s"] > 0 and 0 < row["mfu"] < 1 for row in rows)
