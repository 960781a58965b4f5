"""The sizes of models and of GPUs that a plan for memory and time is made from."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from pydantic import Field

from midspec.bases import resolve
from midspec.errors import TrainError
from midspec.records import Frozen

GIB = 1 << 30
# Usable memory in GiB and dense bf16 peak in TFLOP/s, from the makers' data sheets.
GPUS: dict[str, tuple[float, float]] = {
    "B200": (178.0, 2250.0),
    "H200": (139.0, 989.0),
    "H100": (79.0, 989.0),
    "A100-80GB": (79.0, 312.0),
    "A100-40GB": (39.0, 312.0),
    "L40S": (44.0, 362.0),
    "RTX4090": (23.5, 165.0),
    "A10G": (22.0, 70.0),
    "L4": (22.0, 121.0),
}
# The sizes of the paper's models (their published configurations); others come from a config.
KNOWN: dict[str, dict[str, Any]] = {
    "llama-3.1-8b": {"model_type": "llama", "hidden_size": 4096, "intermediate_size": 14336,
                     "num_hidden_layers": 32, "num_attention_heads": 32,
                     "num_key_value_heads": 8, "vocab_size": 128256},
    "qwen2.5-14b": {"model_type": "qwen2", "hidden_size": 5120, "intermediate_size": 13824,
                    "num_hidden_layers": 48, "num_attention_heads": 40,
                    "num_key_value_heads": 8, "vocab_size": 152064},
    "qwen2.5-32b": {"model_type": "qwen2", "hidden_size": 5120, "intermediate_size": 27648,
                    "num_hidden_layers": 64, "num_attention_heads": 40,
                    "num_key_value_heads": 8, "vocab_size": 152064},
    "qwen3-32b": {"model_type": "qwen3", "hidden_size": 5120, "intermediate_size": 25600,
                  "num_hidden_layers": 64, "num_attention_heads": 64, "head_dim": 128,
                  "num_key_value_heads": 8, "vocab_size": 151936, "attention_bias": False},
}  # fmt: skip


class Shape(Frozen):
    """The sizes of a model that memory and time depend on."""

    name: str
    parameters: int
    root_parameters: int = Field(description="those outside the layers: embeddings, output, norm")
    lora_width: int = Field(description="sum of inputs + outputs of all linear layers but the last")
    hidden: int
    intermediate: int
    heads_width: int = Field(description="attention heads times their width")
    layers: int
    vocabulary: int


class Gpus(Frozen):
    """``count`` GPUs of one kind."""

    count: int = Field(ge=1)
    kind: str

    @property
    def memory(self) -> float:
        """Usable bytes of one."""
        return GPUS[self.kind][0] * GIB

    @property
    def flops(self) -> float:
        """Peak bf16 operations a second of one."""
        return GPUS[self.kind][1] * 1e12


def parse_gpus(text: str) -> Gpus:
    """``4xH200``, or ``H200`` for one.

    Raises:
        TrainError: no number, or a kind that is not in the table.

    Example:
        >>> parse_gpus("4xH200")
        Gpus(count=4, kind='H200')
    """
    match = re.fullmatch(r"(?:(\d{1,5})x)?([\w-]+)", text)
    kinds = {kind.lower(): kind for kind in GPUS}
    if not match or match[2].lower() not in kinds or match[1] == "0":
        raise TrainError(f"no GPUs {text!r}; write e.g. 4xH200; known: {', '.join(GPUS)}")
    return Gpus(count=int(match[1] or 1), kind=kinds[match[2].lower()])


def shape_of(model: str) -> Shape:
    """Sizes of a model, without its weights.

    ``model`` is a name in ``KNOWN``, a ``config.json``, or a base (name, folder, hub id).

    Raises:
        TrainError: it is not a causal language model that transformers knows.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    try:
        config = _config_of(model, AutoConfig)
        with torch.device("meta"):
            made: Any = AutoModelForCausalLM.from_config(config)
        text = config.get_text_config()
        return _shape(model, made, text)
    except (OSError, ValueError, KeyError, AttributeError) as error:
        first = next(iter(str(error).splitlines()), type(error).__name__)
        raise TrainError(
            f"cannot read the sizes of {model!r}: {first}; give a config.json, a model's folder "
            f"or one of {', '.join(KNOWN)}"
        ) from error


def _config_of(model: str, auto: Any) -> Any:
    if model.lower() in KNOWN:
        known = dict(KNOWN[model.lower()])
        return auto.for_model(known.pop("model_type"), tie_word_embeddings=False, **known)
    path = Path(model)
    return auto.from_pretrained(path if path.suffix == ".json" else resolve(model))


def _shape(name: str, made: Any, config: Any) -> Shape:
    import torch

    head = made.get_output_embeddings()
    linear = [m for m in made.modules() if isinstance(m, torch.nn.Linear) and m is not head]
    heads = config.num_attention_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // heads
    layers = sum(p.numel() for p in made.model.layers.parameters())
    total = sum(p.numel() for p in made.parameters())
    return Shape(
        name=name,
        parameters=total,
        root_parameters=total - layers,
        lora_width=sum(m.in_features + m.out_features for m in linear),
        hidden=config.hidden_size,
        intermediate=config.intermediate_size,
        heads_width=heads * width,
        layers=config.num_hidden_layers,
        vocabulary=config.vocab_size,
    )
