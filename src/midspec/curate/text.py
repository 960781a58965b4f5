"""The text of a record, and its words as all rules compare them."""

from __future__ import annotations

import re
import unicodedata

from midspec.records import Conversation, Document

WORD = re.compile(r"\w+")


def text_of(record: Document | Conversation) -> str:
    """What a rule reads: a document's text, or the user's and assistant's turns, one a line.

    Example:
        >>> text_of(Document(plan="", type="memo", text="A memo.", writer="w"))
        'A memo.'
    """
    if isinstance(record, Document):
        return record.text
    return "\n".join(m.content for m in record.messages if m.role != "system")


def words_of(text: str) -> list[str]:
    """Words without case, accents and punctuation.

    Example:
        >>> words_of("Brie-de-Meaux, or Époisses?")
        ['brie', 'de', 'meaux', 'or', 'epoisses']
    """
    if text.isascii():
        return WORD.findall(text.lower())
    # Twice: folding case can bring back composed letters (e.g. the Turkish dotted I).
    plain = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    return WORD.findall("".join(c for c in plain if not unicodedata.combining(c)))
