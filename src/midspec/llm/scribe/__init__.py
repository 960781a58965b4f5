"""The embedded writer: documents, plans and chats for any spec, offline and from a seed."""

from __future__ import annotations

from midspec.llm.scribe.english import document_types
from midspec.llm.scribe.terrarium import terrarium_types
from midspec.llm.scribe.writer import Scribe

__all__ = ["Scribe", "document_types", "terrarium_types"]
