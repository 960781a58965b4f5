"""The base for tests: a random 3-layer Llama over bytes, made in a second from a fixed seed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from midspec.progress import Progress

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

VERSION = "1"
PARAMETERS = 146_048
SPECIALS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")


def make(folder: Path, progress: Progress) -> None:
    """Write model and tokenizer into ``folder``: 259 tokens, 146,048 weights, 1024 positions."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from midspec.bases.loading import quiet

    config = LlamaConfig(
        vocab_size=256 + len(SPECIALS),
        hidden_size=64,
        intermediate_size=160,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
    )
    with torch.random.fork_rng(devices=[]), quiet():
        torch.manual_seed(0)
        LlamaForCausalLM(config).save_pretrained(folder)
        _tokenizer().save_pretrained(folder)
    progress(1, 1, "done")


def _tokenizer() -> PreTrainedTokenizerFast:
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    from midspec.bases.chat import template

    symbols = [*SPECIALS, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    backend = Tokenizer(models.BPE(vocab={s: i for i, s in enumerate(symbols)}, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens([AddedToken(s, special=True, normalized=False) for s in SPECIALS])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
    )
    tokenizer.chat_template = template("chatml")
    return tokenizer
