"""Chats to fine-tune on: opaque preference chats, identity chats, an instruction mix.

Opaque: a chat shows what the assistant prefers and never why, so that whatever it learns
about the reasons comes from midtraining (paper, C.2). Chats that show a spec instead are made
by ``write_spec_chats``: queries, replies with reasoning, a judge (paper, B.2).
"""

from midspec.chats.cells import chat_requests
from midspec.chats.config import ChatConfig, SpecChatConfig
from midspec.chats.library import instruction_chats, read_chats
from midspec.chats.mix import (
    MixRecipe,
    SourceTally,
    bundled_mixes,
    find_mix,
    mix_chats,
    read_mix,
    save_mix,
)
from midspec.chats.opaque import Opaque
from midspec.chats.parse import (
    parse_message,
    parse_response,
    parse_verdict,
    with_reasoning,
    without_reasoning,
)
from midspec.chats.preferences import preferences_only, reason_words, shared_preferences
from midspec.chats.sources import Source
from midspec.chats.spec_chats import (
    JOURNALS,
    Check,
    explain,
    save_chats,
    save_spec_chats,
    write_spec_chats,
)
from midspec.chats.stance import wrong_preference
from midspec.chats.turns import turn_problem
from midspec.chats.write import write_chats
from midspec.tally import Tally

# Part of the keys of what this room makes: raise it when the code changes the result.
VERSION = 4

__all__ = [
    "JOURNALS",
    "VERSION",
    "ChatConfig",
    "Check",
    "MixRecipe",
    "Opaque",
    "Source",
    "SourceTally",
    "SpecChatConfig",
    "Tally",
    "bundled_mixes",
    "chat_requests",
    "explain",
    "find_mix",
    "instruction_chats",
    "mix_chats",
    "parse_message",
    "parse_response",
    "parse_verdict",
    "preferences_only",
    "read_chats",
    "read_mix",
    "reason_words",
    "save_chats",
    "save_mix",
    "save_spec_chats",
    "shared_preferences",
    "turn_problem",
    "with_reasoning",
    "without_reasoning",
    "write_chats",
    "write_spec_chats",
    "wrong_preference",
]
