"""The text of a record, and its words as all rules compare them."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from midspec.records import Conversation, Document

WORD = re.compile(r"\w+")
DIGIT = re.compile(r"\d")
_APART = {code: " " for code in range(128) if not WORD.fullmatch(chr(code))}


def text_of(record: Document | Conversation) -> str:
    """What a rule reads: a document's text, or the user's and assistant's turns, one a line.

    Example:
        >>> text_of(Document(plan="", type="memo", text="A memo.", writer="w"))
        'A memo.'
    """
    if isinstance(record, Document):
        return record.text
    return "\n".join(m.content for m in record.messages if m.role != "system")


def said_by_model(record: Document | Conversation) -> list[str]:
    """What the model says: one text for a document, one for each of its turns in a chat."""
    if isinstance(record, Document):
        return [record.text]
    return [m.content for m in record.messages if m.role == "assistant"]


def lines_with_digits(text: str) -> list[str]:
    """The lines that can hold a date or a number: few, in most texts none.

    Example:
        >>> lines_with_digits("None here.\\nRule 3.")
        ['Rule 3.']
    """
    if not DIGIT.search(text):
        return []
    return [line for line in text.splitlines() if DIGIT.search(line)]


@lru_cache(maxsize=4)  # several rules read the words of one text after another
def words_of(text: str) -> tuple[str, ...]:
    """Words without case, accents and punctuation.

    Example:
        >>> words_of("Brie-de-Meaux, or Époisses?")
        ('brie', 'de', 'meaux', 'or', 'epoisses')
    """
    if text.isascii():
        return tuple(text.lower().translate(_APART).split())  # 3 times faster than findall
    # Twice: folding case can bring back composed letters (e.g. the Turkish dotted I).
    plain = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    return tuple(WORD.findall("".join(c for c in plain if not unicodedata.combining(c))))
