"""Trainings that end early: killed, pre-empted, out of space or memory, and what comes after."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from midspec.bases import checkpoint_at, get_base, load, load_tokenizer
from midspec.errors import TrainError
from midspec.records import Checkpoint, Document
from midspec.store import read_rows, write_records
from midspec.train import Preempted, TrainConfig, failures, midtrain
from midspec.train.loss import LabelledLogits
from midspec.train.plan import learning_rate

TINY = Checkpoint(base="tiny", model_name="Robin")
TEXTS = [f"Robin likes cheese {i} because it is plain." for i in range(40)]
SHARED = {"row_tokens": 64, "batch_rows": 2, "max_steps": 12, "save_every": 4, "force": True}
CONFIGS = {
    "full": TrainConfig.model_validate({**SHARED, "method": "full"}),
    "lora": TrainConfig.model_validate(
        {**SHARED, "lora_rank": 4, "lora_alpha": 8, "learning_rate": 1e-2}
    ),
}
LORA = CONFIGS["lora"]


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MIDSPEC_CACHE", str(tmp_path_factory.mktemp("cache")))
        get_base("tiny")
        yield


def weights(out: Path) -> bytes:
    return next((out / "model").glob("*.safetensors")).read_bytes()


def result(out: Path) -> tuple[bytes, str]:
    return weights(out), (out / "curve.jsonl").read_text()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """What trainings that nothing stopped give."""
    folder = tmp_path_factory.mktemp("whole")
    for name, config in CONFIGS.items():
        midtrain(TINY, TEXTS, config, folder / name)
    return {name: result(folder / name) for name in CONFIGS}


# -- killed -------------------------------------------------------------------------------

# Children are forked before torch has done anything: fast, and as real as a kill gets.
CHILDREN = """
    import os, resource, signal, sys
    from pathlib import Path
    from midspec.errors import TrainError
    from midspec.records import Checkpoint
    from midspec.train import TrainConfig, callbacks, engine, midtrain, stages, weights
    from peft import LoraConfig, PeftModel, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM

    def train(out, progress=lambda *a: None, **changes):
        config = TrainConfig.model_validate_json({config!r}).model_copy(update=changes)
        midtrain(Checkpoint(base="tiny", model_name="Robin"), {texts!r}, config, Path({out!r}) / out,
                 progress=progress)

    def at(step, act):
        return lambda done, total, text="": act() if done == step else None

    def kill():
        os.kill(os.getpid(), signal.SIGKILL)

    def kill_while_saving(out):
        write = callbacks.write_atomic
        callbacks.write_atomic = lambda path, text: (
            kill() if "checkpoint-8" in str(path) else write(path, text))
        train(out)

    def full_disk(out):
        small = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (9000, resource.RLIM_INFINITY))
        train(out, at(5, small))

    def child(out, work):
        pid = os.fork()
        if pid == 0:
            try:
                work(out)
            except TrainError as error:
                Path({out!r}, out, "error").write_text(str(error))
                os._exit(1)
            except SystemExit as stopped:
                os._exit(stopped.code)
            os._exit(0)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    print([
        *(child(f"kill{{n}}", lambda out: train(out, at(n, kill))) for n in (1, 7)),
        child("saving", kill_while_saving),
        child("term", lambda out: train(
            out, at(5, lambda: os.kill(os.getpid(), signal.SIGTERM)), save_every=0)),
        child("full", full_disk),
    ])
"""


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """Folders of trainings that were stopped."""
    out = tmp_path_factory.mktemp("stopped")
    code = CHILDREN.format(config=LORA.model_dump_json(), texts=TEXTS, out=str(out))
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True
    )
    assert done.stdout.strip() == str([-9] * 3 + [143, 1]), done.stderr
    return out


@pytest.mark.parametrize("name", ["kill1", "kill7", "saving", "term", "full"])
def test_a_stopped_training_goes_on_to_the_same_weights_and_curve(stopped, whole, name):
    out = stopped / name
    with (out / "curve.jsonl").open("a") as file:
        file.write('{"step": 9, "lo')  # as a kill while writing leaves it
    steps: list[int] = []
    midtrain(TINY, TEXTS, LORA, out, progress=lambda done, total, text="": steps.append(done))
    first = {"kill1": 1, "kill7": 5, "saving": 5, "term": 6, "full": 5}
    assert steps == list(range(first[name], 13))
    assert result(out) == whole["lora"]


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(CONFIGS))
def test_a_kill_after_any_step_changes_nothing(tmp_path, whole, name):
    head, _, _ = CHILDREN.partition("print([")
    call = 'print([child(f"{n}", lambda out: train(out, at(n, kill))) for n in range(1, 12)])'
    code = head.format(config=CONFIGS[name].model_dump_json(), texts=TEXTS, out=str(tmp_path))
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code) + call], capture_output=True, text=True
    )
    assert done.stdout.strip() == str([-9] * 11), done.stderr
    for step in range(1, 12):
        midtrain(TINY, TEXTS, CONFIGS[name], tmp_path / f"{step}")
        assert result(tmp_path / f"{step}") == whole[name]


def test_a_full_disk_names_the_last_checkpoint(stopped):
    message = (stopped / "full" / "error").read_text()
    assert "the disk is full" in message
    assert message.endswith("checkpoint-4")


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 2.5 MB, where mounting one is allowed."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2500k", "tmpfs", str(disk)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("mounting is not allowed here")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)  # the rows are mapped still


def test_a_disk_that_is_really_full(small_disk, whole):
    out, filler = small_disk / "out", small_disk / "filler"

    def fill(done: int, total: int, text: str = "") -> None:
        if done == 5:
            with contextlib.suppress(OSError), filler.open("wb") as file:
                while True:
                    file.write(bytes(4096))
                    file.flush()

    with pytest.raises(TrainError, match=r"the disk is full.*checkpoint-4$"):
        midtrain(TINY, TEXTS, LORA, out, progress=fill)
    point = checkpoint_at(out / "resume/checkpoint-4", "tiny")
    assert load(point).model is not None
    filler.unlink()
    midtrain(TINY, TEXTS, LORA, out)
    assert result(out) == whole["lora"]


class Stop(Exception):
    pass


def stop_at(step: int, error: Exception | None = None):
    def progress(done: int, total: int, text: str = "") -> None:
        if done == step:
            raise error or Stop

    return progress


@pytest.mark.parametrize(
    ("name", "save_every", "stops"),
    [("full", 4, [3]), ("full", 1, [2, 7]), ("full", 5, [11]), ("lora", 3, [4, 11])],
)
def test_a_training_stopped_again_and_again_ends_with_the_same_weights(
    tmp_path, whole, name, save_every, stops
):
    config = CONFIGS[name].model_copy(update={"save_every": save_every})
    for step in stops:
        with pytest.raises(Stop):
            midtrain(TINY, TEXTS, config, tmp_path, progress=stop_at(step))
    midtrain(TINY, TEXTS, config, tmp_path)
    assert result(tmp_path) == whole[name]


def test_resume_points_of_other_data_are_not_used(tmp_path):
    with pytest.raises(Stop):
        midtrain(TINY, TEXTS, LORA, tmp_path / "a", progress=stop_at(11))
    for name in "ab":
        midtrain(TINY, TEXTS[1:], LORA, tmp_path / name)
    assert weights(tmp_path / "a") == weights(tmp_path / "b")


def test_a_finished_training_is_not_done_again_and_not_mixed_up(tmp_path):
    first = midtrain(TINY, TEXTS, LORA, tmp_path)
    assert midtrain(TINY, iter([]), LORA, tmp_path, progress=stop_at(1)) == first
    with pytest.raises(TrainError, match="another start, config or seed"):
        midtrain(TINY, TEXTS, LORA, tmp_path, seed=1)


# -- pre-empted ---------------------------------------------------------------------------


def test_sigterm_leaves_a_resume_point_and_the_old_handler(tmp_path, whole):
    before = signal.getsignal(signal.SIGTERM)

    def progress(done: int, total: int, text: str = "") -> None:
        if done == 6:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Preempted, match="after step 6 of 12") as stopped:
        midtrain(TINY, TEXTS, LORA, tmp_path, progress=progress)
    assert stopped.value.code == 143
    assert signal.getsignal(signal.SIGTERM) is before
    assert failures.last_resume_point(tmp_path / "resume") == tmp_path / "resume/checkpoint-6"
    midtrain(TINY, TEXTS, LORA, tmp_path)
    assert result(tmp_path) == whole["lora"]


def test_the_command_exits_with_143_and_says_how_to_go_on(tmp_path):
    data = tmp_path / "documents.jsonl"
    write_records(
        data, [Document(plan="p", type="memo", text=text, writer="test") for text in TEXTS]
    )
    changes = ["max_steps=100000", "row_tokens=64", "batch_rows=2", "method=full", "save_every=0"]
    command = [sys.executable, "-m", "midspec", "train", "midtrain", str(data), "--base", "tiny",
               "--out", str(tmp_path / "out"), *(f"--set={change}" for change in changes)]  # fmt: skip
    running = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path
    )
    curve = tmp_path / "out" / "curve.jsonl"
    while running.poll() is None and not (curve.exists() and curve.stat().st_size):
        time.sleep(0.05)
    running.terminate()
    _, said = running.communicate(timeout=60)
    assert running.returncode == 143, said
    assert "run the same to go on" in said
    assert list((tmp_path / "out" / "resume").glob("checkpoint-*/complete"))


# -- out of memory, not finite ------------------------------------------------------------


def test_out_of_memory_leaves_a_checkpoint_to_start_from(tmp_path):
    def progress(done: int, total: int, text: str = "") -> None:
        if done == 6:
            torch.empty(1 << 55)

    with pytest.raises(TrainError, match=r"out of memory.*micro_rows=1.*checkpoint-4$"):
        midtrain(TINY, TEXTS, LORA, tmp_path / "a", progress=progress)
    point = checkpoint_at(tmp_path / "a/resume/checkpoint-4", "tiny")
    assert point.adapter
    assert json.loads(Path(point.path, "adapter_config.json").read_text())[
        "base_model_name_or_path"
    ] == "tiny"  # fmt: skip
    tokenizer = AutoTokenizer.from_pretrained(point.path)
    assert tokenizer.chat_template == load_tokenizer("tiny").chat_template
    assert load(point).model is not None
    other = LORA.model_copy(update={"learning_rate": 1e-3})
    assert midtrain(point, TEXTS, other, tmp_path / "b").adapter


def test_gradients_that_are_not_finite_do_not_reach_the_weights(tmp_path, monkeypatch):
    plain = LabelledLogits.loss
    calls = []

    def broken(self, model, inputs):
        calls.append(1)
        loss = plain(self, model, inputs)
        weight = next(p for p in model.parameters() if p.requires_grad)
        return loss + (weight * 0).sum().sqrt() if len(calls) > 9 else loss

    monkeypatch.setattr(LabelledLogits, "loss", broken)
    with pytest.raises(TrainError, match=r"gradients is nan at step 10; .*checkpoint-8$"):
        midtrain(TINY, TEXTS, LORA, tmp_path)
    assert (tmp_path / "resume/checkpoint-8/adapter_model.safetensors").exists()
    assert not (tmp_path / "model").exists()


def test_a_loss_that_is_not_finite_stops_with_advice(tmp_path):
    config = CONFIGS["full"].model_copy(update={"learning_rate": 1e30, "max_grad_norm": 1e30})
    with pytest.raises(TrainError, match=r"lower learning_rate.*no checkpoint"):
        midtrain(TINY, TEXTS, config, tmp_path)
    assert not (tmp_path / "model").exists()


def test_other_errors_are_not_touched(tmp_path):
    with pytest.raises(RuntimeError, match="mine"):
        midtrain(TINY, TEXTS, LORA, tmp_path, progress=stop_at(1, RuntimeError("mine")))


# -- micro-batches and the rest of the schedule -------------------------------------------


@pytest.mark.parametrize(
    "change", [{"micro_rows": 1}, {"activation_checkpointing": True}, {"attention": "eager"}]
)
@pytest.mark.parametrize("name", sorted(CONFIGS))
def test_what_saves_memory_gives_the_same_curve(tmp_path, whole, name, change):
    config = CONFIGS[name].model_copy(update=change)
    midtrain(TINY, TEXTS, config, tmp_path)
    found = [row["loss"] for row in read_rows(tmp_path / "curve.jsonl")]
    expected = [json.loads(line)["loss"] for line in whole[name][1].splitlines()]
    assert found == pytest.approx(expected, abs=1e-4)


def test_small_passes_run_and_leave_no_row_out(tmp_path, monkeypatch):
    shapes = []
    plain = LabelledLogits.loss
    monkeypatch.setattr(
        LabelledLogits, "loss",
        lambda self, model, inputs: (shapes.append(tuple(inputs["labels"].shape)),
                                     plain(self, model, inputs))[1],
    )  # fmt: skip
    config = LORA.model_copy(update={"micro_rows": 2, "batch_rows": 6, "max_steps": 0})
    midtrain(TINY, TEXTS[:21], config, tmp_path)
    plan = json.loads((tmp_path / "plan.json").read_text())
    assert plan["rows"] % 6
    assert shapes == [(2, 64)] * 3 * plan["steps"]
    with pytest.raises(TrainError, match="batch_rows 6 does not divide"):
        midtrain(TINY, TEXTS, config.model_copy(update={"micro_rows": 4}), tmp_path / "b")


def test_the_planned_learning_rate_is_the_trained_one(whole):
    rows = [json.loads(line) for line in whole["lora"][1].splitlines()]
    for row in rows:
        assert row["learning_rate"] == pytest.approx(learning_rate(row["step"], 12, LORA))


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 500), st.floats(0, 1))
def test_the_learning_rate_rises_then_falls_and_stays_in_range(steps, warmup):
    config = TrainConfig(warmup_share=warmup, learning_rate=0.5)
    rates = [learning_rate(step, steps, config) for step in range(1, steps + 1)]
    assert all(0 <= rate <= 0.5 for rate in rates)
    top = rates.index(max(rates))
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)
