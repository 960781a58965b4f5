"""Load a checkpoint: a base, alone or with an adapter, or a folder of full weights."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from midspec.bases.registry import resolve
from midspec.errors import BaseError
from midspec.records import Checkpoint

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@dataclass(frozen=True)
class Loaded:
    """A model ready to answer (evaluation mode), its tokenizer, and where they come from."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    checkpoint: Checkpoint


def load(
    checkpoint: Checkpoint,
    *,
    dtype: torch.dtype | None = None,
    merge: bool = False,
    trust_remote_code: bool = False,
) -> Loaded:
    """Load a checkpoint's weights (``dtype``: float32 unless told) and tokenizer.

    ``merge`` adds an adapter into the weights, so that the model is an ordinary one again.
    Only safetensors files are read.

    Raises:
        BaseError: weights or adapter are missing, damaged, or not for this base.
    """
    full = bool(checkpoint.path) and not checkpoint.adapter
    source = checkpoint.path if full else checkpoint.base
    model = load_model(source, dtype=dtype, trust_remote_code=trust_remote_code)
    if checkpoint.adapter:
        model = attach_adapter(model, Path(checkpoint.path))
        if merge:
            model = model.merge_and_unload()
    tokenizer = load_tokenizer(source, trust_remote_code=trust_remote_code)
    return Loaded(model.eval(), tokenizer, checkpoint)


def load_model(
    base: str, *, dtype: torch.dtype | None = None, trust_remote_code: bool = False
) -> Any:
    """Weights of a base (name, folder or Hugging Face id), float32 unless told.

    Attention is PyTorch's sdpa: it keeps packed documents apart (see ``train.engine``).
    """
    import torch
    from transformers import AutoModelForCausalLM

    with quiet(), _explained(base):
        return AutoModelForCausalLM.from_pretrained(
            resolve(base),
            dtype=dtype or torch.float32,
            use_safetensors=True,
            attn_implementation="sdpa",
            trust_remote_code=trust_remote_code,
        )


def load_tokenizer(base: str, *, trust_remote_code: bool = False) -> PreTrainedTokenizerBase:
    """Tokenizer of a base (name, folder or Hugging Face id)."""
    from transformers import AutoTokenizer

    with quiet(), _explained(base):
        return AutoTokenizer.from_pretrained(resolve(base), trust_remote_code=trust_remote_code)


def attach_adapter(model: Any, folder: Path, *, trainable: bool = False) -> Any:
    """A PEFT model: the adapter in ``folder`` on top of a base's weights."""
    from peft import PeftModel

    if not (folder / "adapter_model.safetensors").exists():
        raise BaseError(f"no adapter_model.safetensors in {str(folder)!r}; train it first")
    with quiet(), _explained(str(folder)):
        found = PeftModel.from_pretrained(
            model, folder, is_trainable=trainable, use_safetensors=True
        )
    # The name on disk may be ours ('smollm2'); peft would look for it on the Hub when it saves.
    found.peft_config["default"].base_model_name_or_path = model.name_or_path
    return found


@contextlib.contextmanager
def _explained(source: str) -> Iterator[None]:
    """Say in one line what could not be loaded."""
    from safetensors import SafetensorError

    try:
        yield
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        first = next(iter(str(error).splitlines()), type(error).__name__)
        raise BaseError(
            f"cannot load {source!r}: {first}; check the folder or id, and that it is "
            "a causal language model in safetensors"
        ) from error


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without the libraries' progress bars and talk to each other; only the CLI prints."""
    from transformers.utils import logging

    shown, verbosity = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        with warnings.catch_warnings():
            # peft 0.21 asks transformers 5.23 in the old way
            warnings.filterwarnings("ignore", ".*is_gradient_checkpointing.*", FutureWarning)
            yield
    finally:
        logging.set_verbosity(verbosity)
        if shown:
            logging.enable_progress_bar()
