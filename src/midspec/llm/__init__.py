"""The door to language models that write or judge: a Request goes in, a Reply comes out.

``open_writer`` finds a writer by name, ``replies`` asks many requests through a journal,
``render`` and ``prompt_hash`` read prompt files. ``ScriptedWriter`` is the fake that ships.
"""

from __future__ import annotations

from typing import Any

from midspec.errors import ConfigError
from midspec.llm.door import Reply, Request, Stop, Writer
from midspec.llm.fakes import ScriptedWriter
from midspec.llm.journal import Desk, replies
from midspec.llm.prompts import messages, prompt_hash, render
from midspec.llm.structured import Unusable, lists, parse_list, unusable

__all__ = [
    "Desk",
    "Reply",
    "Request",
    "ScriptedWriter",
    "Stop",
    "Unusable",
    "Writer",
    "lists",
    "messages",
    "open_writer",
    "parse_list",
    "prompt_hash",
    "render",
    "replies",
    "unusable",
]


def open_writer(name: str, **args: Any) -> Writer:
    """A writer by name: ``"scribe"`` (embedded, offline), or any Inspect model name.

    ``args`` go to the writer (see ``InspectWriter``). Raises ConfigError if there is no such
    provider, or if its key or package is missing.

    Example:
        >>> open_writer("mockllm/model").name
        'mockllm/model'
    """
    if name == "scribe":
        from midspec.llm.scribe import Scribe

        return Scribe(**args)
    if "/" not in name:
        raise ConfigError(
            f"there is no writer {name!r}; use 'scribe' (embedded) or a provider and a model, "
            "such as 'anthropic/claude-opus-4-6' or 'openai-api/<service>/<model>'"
        )
    from midspec.llm.inspect_writer import InspectWriter

    return InspectWriter(name, **args)
