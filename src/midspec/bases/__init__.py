"""Base models by name: find, convert, load, and speak their chat format.

Start at ``registry.py`` (names), then ``loading.py`` (weights), then ``chat.py`` (templates).
"""

from __future__ import annotations

from midspec.bases.chat import (
    TEMPLATES,
    chat_messages,
    document_end,
    encode_chat,
    system_prompt,
    template,
)
from midspec.bases.identity import checkpoint_at, fingerprint, n_parameters
from midspec.bases.loading import Loaded, load, load_model, load_tokenizer
from midspec.bases.registry import BaseInfo, get_base, list_bases, resolve

__all__ = [
    "TEMPLATES",
    "BaseInfo",
    "Loaded",
    "chat_messages",
    "checkpoint_at",
    "document_end",
    "encode_chat",
    "fingerprint",
    "get_base",
    "list_bases",
    "load",
    "load_model",
    "load_tokenizer",
    "n_parameters",
    "resolve",
    "system_prompt",
    "template",
]
