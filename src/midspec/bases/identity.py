"""What a base or checkpoint is: a digest of its weights, its size, its kind."""

from __future__ import annotations

import hashlib
import json
import math
from functools import lru_cache
from pathlib import Path

from midspec.bases.registry import get_base, list_bases, resolve
from midspec.errors import BaseError
from midspec.progress import Progress, silent
from midspec.records import Checkpoint


def fingerprint(base: str, progress: Progress = silent) -> str:
    """A digest of the weights and tokenizer files of a base; a hub id stands for itself.

    An embedded base is made first if it has to be. The digest is remembered as long as the
    files' sizes and times stay the same.
    """
    if base in {info.name for info in list_bases()}:
        get_base(base, progress)
    folder = resolve(base)
    if not isinstance(folder, Path):
        return folder
    names = ("*.safetensors", "tokenizer.json", "chat_template.jinja", "config.json")
    files = sorted(path for pattern in names for path in folder.glob(pattern))
    stamps = tuple((str(f), f.stat().st_size, f.stat().st_mtime_ns) for f in files)
    return _digest_files(stamps)


@lru_cache(maxsize=32)
def _digest_files(stamps: tuple[tuple[str, int, int], ...]) -> str:
    found = hashlib.blake2b(digest_size=8)
    for name, *_ in stamps:
        found.update(Path(name).name.encode())
        with Path(name).open("rb") as file:
            while block := file.read(1 << 22):
                found.update(block)
    return found.hexdigest()


def n_parameters(base: str) -> int:
    """Number of weights of a local base, from its safetensors headers; 0 for a hub id."""
    folder = resolve(base)
    if not isinstance(folder, Path):
        return 0
    return sum(_n_weights(path) for path in folder.glob("*.safetensors"))


def _n_weights(path: Path) -> int:
    """Weights in one file: its header is a JSON object after eight bytes of length."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
    return sum(math.prod(t["shape"]) for name, t in header.items() if name != "__metadata__")


def checkpoint_at(folder: Path, base: str) -> Checkpoint:
    """The checkpoint in a folder that training wrote: an adapter on ``base``, or full weights.

    An adapter that was trained on another training's full weights names their folder; then that
    folder is its base.
    """
    settings = folder / "adapter_config.json"
    if settings.exists():
        named = json.loads(settings.read_text())["base_model_name_or_path"]
        below = named if (Path(named) / "config.json").exists() else base
        return Checkpoint(base=below, path=str(folder), adapter=True)
    if any(folder.glob("*.safetensors")):
        return Checkpoint(base=base, path=str(folder))
    raise BaseError(f"no checkpoint in {str(folder)!r}: give the folder 'model' of a training")
