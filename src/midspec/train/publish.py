"""Checkpoints for others: merged into plain weights, and pushed to the Hugging Face hub."""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from midspec.bases import load
from midspec.bases.loading import quiet
from midspec.bases.registry import HUB_ID
from midspec.errors import TrainError
from midspec.records import Checkpoint
from midspec.train.card import Lineage, read_lineage, write_card
from midspec.train.weights import hub_id, source_of, weights_digest

DType = Literal["float32", "bfloat16"]


def merge(checkpoint: Checkpoint, out: Path, *, dtype: DType = "float32") -> Checkpoint:
    """Write an adapter's base with the adapter added in: full weights that need no peft.

    The sum is done in float32 and then stored as ``dtype``.

    Raises:
        TrainError: the checkpoint is not an adapter, or ``out`` is there already.
    """
    import torch

    if not checkpoint.adapter:
        raise TrainError(
            f"{checkpoint.path or checkpoint.base} is not an adapter; nothing to merge"
        )
    if out.exists():
        raise TrainError(f"{out} exists; choose another folder or delete it")
    scratch = out.with_name(f".{out.name}.new")
    shutil.rmtree(scratch, ignore_errors=True)
    loaded = load(checkpoint, merge=True)
    with quiet():
        loaded.model.to(getattr(torch, dtype)).save_pretrained(scratch)
        loaded.tokenizer.save_pretrained(scratch)
    lineage = Lineage(
        stage="merge",
        base=hub_id(checkpoint.base),
        start=weights_digest(checkpoint),
        before=read_lineage(Path(checkpoint.path)),
    )
    write_card(scratch, lineage)
    scratch.rename(out)
    return Checkpoint(base=checkpoint.base, path=str(out), model_name=checkpoint.model_name)


def push(
    checkpoint: Checkpoint,
    repo: str,
    *,
    private: bool = True,
    base_id: str = "",
) -> str:
    """Upload a checkpoint's folder to the hub as ``repo`` (``org/name``); returns its address.

    Needs the network and a token with the right to write: ``HF_TOKEN``, or ``hf auth login``;
    ``HF_ENDPOINT`` names another hub.
    ``base_id`` is the hub id of an adapter's base, where that is a folder here.

    Raises:
        TrainError: what is missing, or what the hub answered.
    """
    from huggingface_hub import HfApi, get_token
    from huggingface_hub.errors import HfHubHTTPError

    folder = Path(checkpoint.path)
    _check_pushable(checkpoint, repo, base_id)
    token = get_token()
    if not token:
        raise TrainError("push needs a token that may write: set HF_TOKEN or run `hf auth login`")
    api = HfApi(token=token)
    try:
        api.create_repo(repo, private=private, exist_ok=True)
        with _with_base(folder, base_id) as sent:
            done = api.upload_folder(repo_id=repo, folder_path=sent, commit_message="midspec")
    except (HfHubHTTPError, OSError) as error:
        first = next(iter(str(error).splitlines()), type(error).__name__)
        raise TrainError(
            f"the hub refused {repo!r}: {first}; check the token and the name"
        ) from error
    return str(done)


@contextlib.contextmanager
def _with_base(folder: Path, base_id: str) -> Iterator[Path]:
    """The folder, or a copy of it whose adapter names the hub id of its base."""
    settings = folder / "adapter_config.json"
    if not base_id or not settings.exists():
        yield folder
        return
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / "model"
        shutil.copytree(folder, copy)
        named = json.loads(settings.read_text()) | {"base_model_name_or_path": base_id}
        (copy / settings.name).write_text(json.dumps(named, indent=2, sort_keys=True))
        yield copy


def _check_pushable(checkpoint: Checkpoint, repo: str, base_id: str) -> None:
    if not HUB_ID.fullmatch(repo):
        raise TrainError(f"{repo!r} is not a repository; write org/name")
    if not (Path(checkpoint.path) / "README.md").is_file():
        raise TrainError(f"{checkpoint.path} has no model card; run `midspec train card` on it")
    found = base_id or hub_id(source_of(checkpoint))
    if checkpoint.adapter and not HUB_ID.fullmatch(found):
        raise TrainError(
            f"the adapter's base {found!r} is not on the hub: push `midspec train merge`'s result, "
            "or push the base first and give its id as base_id"
        )
