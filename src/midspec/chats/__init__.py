"""Chats to fine-tune on: opaque preference chats, identity chats, an instruction mix.

Opaque: a chat shows what the assistant prefers and never why, so that whatever it learns
about the reasons comes from midtraining (paper, C.2).
"""

from midspec.chats.library import instruction_chats, read_chats
from midspec.chats.opaque import Opaque
from midspec.chats.preferences import preferences_only, reason_words, shared_preferences
from midspec.chats.stance import wrong_preference
from midspec.chats.write import ChatConfig, chat_requests, write_chats

# Part of the keys of what this room makes: raise it when the code changes the result.
VERSION = 1

__all__ = [
    "VERSION",
    "ChatConfig",
    "Opaque",
    "chat_requests",
    "instruction_chats",
    "preferences_only",
    "read_chats",
    "reason_words",
    "shared_preferences",
    "write_chats",
    "wrong_preference",
]
