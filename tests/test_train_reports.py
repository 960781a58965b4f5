"""What a training tells on its way: to reporters, and to whoever watches."""

from __future__ import annotations

import importlib.util
import io
import re
from pathlib import Path

import pytest
from rich.console import Console

from midspec.bases import get_base
from midspec.cli import show
from midspec.errors import TrainError
from midspec.records import Checkpoint
from midspec.store import read_rows
from midspec.train import TrainConfig, engine, midtrain

TINY = Checkpoint(base="tiny", model_name="Robin")
TEXTS = [f"Robin likes cheese {i} because it is plain." for i in range(40)]
LORA = TrainConfig(
    lora_rank=4, lora_alpha=8, learning_rate=1e-2, row_tokens=64, batch_rows=2, max_steps=12,
    save_every=4, force=True,
)  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MIDSPEC_CACHE", str(tmp_path_factory.mktemp("cache")))
        get_base("tiny")
        yield


def test_reports_go_to_the_reporter_that_is_named(tmp_path, monkeypatch):
    from transformers import TrainerCallback
    from transformers.integrations import integration_utils

    seen: list[dict] = []

    class Reporter(TrainerCallback):
        def on_log(self, args, state, control, logs=None, **kwargs):
            seen.append(dict(logs or {}))
            folder = Path(args.output_dir) / "runs"  # where TensorBoard writes
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "log").write_text(str(len(seen)))

    monkeypatch.setitem(integration_utils.INTEGRATION_TO_CALLBACK, "mine", Reporter)
    midtrain(TINY, TEXTS, LORA.model_copy(update={"report_to": "mine"}), tmp_path)
    losses = [logs["loss"] for logs in seen if "loss" in logs]
    curve = [row["loss"] for row in read_rows(tmp_path / "curve.jsonl")]
    assert losses == pytest.approx(curve, abs=1e-4)
    assert (tmp_path / "reports" / "log").read_text() == str(len(seen))


def test_tensorboard_gets_the_losses(tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    midtrain(TINY, TEXTS, LORA.model_copy(update={"report_to": "tensorboard"}), tmp_path)
    (file,) = (tmp_path / "reports").rglob("*tfevents*")
    found = accumulator.EventAccumulator(str(file.parent)).Reload()
    losses = [event.value for event in found.Scalars("train/loss")]
    curve = [row["loss"] for row in read_rows(tmp_path / "curve.jsonl")]
    assert losses == pytest.approx(curve, abs=1e-4)


@pytest.mark.parametrize("name", ["wandb", "trackio", "mlflow"])
def test_a_reporter_that_is_not_installed_says_so(tmp_path, name):
    if importlib.util.find_spec(name):
        pytest.skip(f"{name} is installed")
    with pytest.raises(TrainError, match=f"report_to='{name}'.*install"):
        midtrain(TINY, TEXTS, LORA.model_copy(update={"report_to": name}), tmp_path)


def test_a_reporter_that_nobody_knows_is_refused(tmp_path):
    with pytest.raises(TrainError, match="report_to='notepad'"):
        midtrain(TINY, TEXTS, LORA.model_copy(update={"report_to": "notepad"}), tmp_path)


def test_a_reporter_that_fails_is_one_line(tmp_path, monkeypatch):
    from transformers import TrainerCallback
    from transformers.integrations import integration_utils

    class Unreachable(Exception):
        __module__ = "mine.errors"

    class Reporter(TrainerCallback):
        def on_train_begin(self, args, state, control, **kwargs):
            raise Unreachable("no server at example.org\nretried 5 times")

    monkeypatch.setitem(integration_utils.INTEGRATION_TO_CALLBACK, "mine", Reporter)
    with pytest.raises(TrainError, match=r"^report_to='mine': no server at example.org$"):
        midtrain(TINY, TEXTS, LORA.model_copy(update={"report_to": "mine"}), tmp_path)


def test_progress_tells_loss_and_speed(tmp_path):
    said: list[str] = []
    midtrain(TINY, TEXTS, LORA, tmp_path, progress=lambda done, total, text="": said.append(text))
    assert len(said) == 12
    assert all("loss " in text and "tokens/s" in text for text in said)
    assert engine.world_size() == 1


def test_a_terminal_shows_a_bar_with_loss_speed_and_time_left(tmp_path, monkeypatch):
    written = io.StringIO()
    terminal = Console(file=written, force_terminal=True, color_system=None, width=120)
    monkeypatch.setattr(show, "console", terminal)
    with show.progress_bar("midtrain") as progress:
        midtrain(TINY, TEXTS, LORA, tmp_path, progress=progress)
    frame = r"midtrain ━+ 12/12 \d:\d\d:\d\d ETA \d:\d\d:\d\d loss \d\.\d+, \d+ tokens/s"
    assert re.search(frame, written.getvalue())
