"""One training in several processes of this machine, as torchrun would start them.

``python -m midspec.experiment.processes JOB`` is one of them: the process environment says which
(RANK, WORLD_SIZE ...), the job file which stage. The first process finishes the artifact.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from filelock import FileLock

from midspec.errors import MidspecError, TrainError
from midspec.experiment.graph import Stage, amount_done, artifact_of, finish, perform, work
from midspec.experiment.recipe import Recipe, make_recipe
from midspec.progress import Progress, silent
from midspec.store import Store, write_atomic

_DIE_WITH_PARENT = 1  # Linux: prctl(PR_SET_PDEATHSIG, ...)


def perform_stage(recipe: Recipe, stage: Stage, store: Store, progress: Progress) -> None:
    """Do a stage here, with as many processes as the recipe asks for."""
    n = recipe.resources_of(stage.kind).workers
    if n > 1:
        perform_together(recipe, stage, store, progress, n)
    else:
        perform(stage, store, progress)


def perform_together(
    recipe: Recipe, stage: Stage, store: Store, progress: Progress, n: int
) -> None:
    """Do a training with ``n`` processes; they end with this one, and all with the first to fail.

    Raises:
        TrainError: a process failed; its words, or where they are.
    """
    artifact = artifact_of(stage, store)
    with FileLock(artifact.file("lock")):
        if artifact.done:
            return
        job = artifact.file("job.json")
        root = str(store.root.resolve())
        fields = {"recipe": recipe.model_dump(mode="json"), "artifacts": root, "key": stage.key}
        write_atomic(job, json.dumps(fields))
        running = [_start(job, rank, n, port) for port in [_free_port()] for rank in range(n)]
        try:
            while any(one.poll() is None for one in running):
                if failed := next((one for one in running if one.poll()), None):
                    raise TrainError(_said(artifact.path, running.index(failed)))
                time.sleep(0.5)
                progress(amount_done(artifact, stage.kind), 0)
        finally:
            for one in running:
                one.kill()
                one.wait()
        if not artifact.done:
            raise TrainError(_said(artifact.path, 0))


def _start(job: Path, rank: int, n: int, port: int) -> subprocess.Popen[bytes]:
    with (job.parent / f"process-{rank}.log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "midspec.experiment.processes", str(job)],
            env={**os.environ, **_place(rank, n, port)},
            stdout=log,
            stderr=log,
        )


def _place(rank: int, n: int, port: int) -> Mapping[str, str]:
    """The environment by which torch's processes find each other."""
    return {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(n),
        "LOCAL_WORLD_SIZE": str(n),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def _said(folder: Path, rank: int) -> str:
    """The last line that a process wrote, and where the others are."""
    log = folder / f"process-{rank}.log"
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
    last = next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")
    return f"process {rank} failed: {last[:300]} (all it said: {log})"


def _process(job: Path) -> None:
    """One process of a training."""
    from midspec.experiment.flow import build_flows, find_stage

    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)
    fields = json.loads(job.read_text())
    store = Store(Path(fields["artifacts"]))
    stage = find_stage(build_flows(make_recipe(fields["recipe"])), fields["key"])
    started = time.time()
    facts = work(stage, store, silent)
    if os.environ["RANK"] == "0":
        finish(stage, store, facts, time.time() - started)


if __name__ == "__main__":
    try:
        _process(Path(sys.argv[1]))
    except MidspecError as error:
        sys.exit(str(error))
