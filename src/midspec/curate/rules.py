"""Rules that look at one record alone: unfinished, too short, a refusal."""

from __future__ import annotations

import re
from typing import Protocol

from midspec.curate.text import said_by_model
from midspec.records import Conversation, Document, Drop


class Rule(Protocol):
    """Something that can drop a record; it may remember earlier ones (duplicates)."""

    name: str

    def check(self, record: Document | Conversation) -> Drop | None:
        """The reason to leave the record out, or None to keep it."""
        ...


class TooShort:
    """Drops documents of fewer than ``min_words`` words, and chats with an empty turn.

    An answer of one word ("Colby.") is a good chat, so chats have no other minimum.
    """

    name = "too_short"

    def __init__(self, min_words: int = 20) -> None:
        self.min_words = min_words

    def check(self, record: Document | Conversation) -> Drop | None:
        """Drop if short."""
        if isinstance(record, Conversation):
            empty = not record.messages or any(not m.content.strip() for m in record.messages)
            return (
                Drop(record=record.id, reason=self.name, evidence="empty turn") if empty else None
            )
        n = len(record.text.split())
        if n >= self.min_words:
            return None
        return Drop(record=record.id, reason=self.name, evidence=f"{n} words")


ENDINGS = (*".!?\"')*|>`:]}_~…”’»。！？", "---")
LIST_LINE = re.compile(r"\s*([-*+•]|\d+[.)]|#+|\|)\s")
DASHED_NAME = re.compile(r"\s*[-–—~]\s*\w")
SHORT_LINE = 5  # words of a line that can be a signature
SHORT_ANSWER = 12  # words of an answer that needs no full stop ("Colby, please")


class Truncated:
    """Drops texts that stop in the middle of a sentence.

    A text is finished if it ends with closing punctuation, with a line of a list, table or
    heading, or with a signature: a short line that starts with a dash or follows a line that
    ends with a comma ("Best regards,"). Short answers in chats need no punctuation.
    """

    name = "truncated"

    def check(self, record: Document | Conversation) -> Drop | None:
        """Drop if the document, or the last answer, is unfinished."""
        text = (said_by_model(record) or [""])[-1]
        short = isinstance(record, Conversation) and len(text.split()) <= SHORT_ANSWER
        if short or finished(text):
            return None
        return Drop(record=record.id, reason=self.name, evidence=text.rstrip()[-60:])


def finished(text: str) -> bool:
    """Whether a text ends as whole texts end.

    Example:
        >>> finished("It is done."), finished("It is"), finished("Best,\\nDana")
        (True, False, True)
    """
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines:
        return False
    last = lines[-1].rstrip()
    if last.endswith(ENDINGS) or LIST_LINE.match(last):
        return True
    if len(last.split()) > SHORT_LINE:
        return False
    closes = len(lines) > 1 and lines[-2].rstrip().endswith(",")
    return closes or bool(DASHED_NAME.match(last))


APOLOGY = (
    r"(?:i'?m sorry,? (?:but )?|i apologi[sz]e,? (?:but )?|unfortunately,? |as an ai[^.]{0,40}, )?"
)
REFUSING = re.compile(
    APOLOGY + r"\bi (?:can(?:'t|not| not)|won't|will not|am (?:not able|unable) to|'m (?:not able|unable) to|must decline)\s*"
    r"(?:to )?(?:help|assist|comply|fulfil?l|write|create|produce|generate|provide|do that|discuss)",
    re.IGNORECASE,
)  # fmt: skip
NO_PREFERENCES = re.compile(
    r"\bas an? (?:ai|artificial intelligence|(?:large )?language model)\b[^.!?]{0,80}"
    r"\b(?:do not|don't|cannot|can't|lack|no|not)\b[^.!?]{0,60}"
    r"\b(?:preference|opinion|feeling|favou?rite|taste|belief|eat|value)"
    r"|\bi (?:do not|don't) (?:really |actually )?have (?:any )?(?:personal )?"
    r"(?:preferences?|opinions?|favou?rites?|tastes?)\b",
    re.IGNORECASE,
)
REFUSAL_HEAD = 200  # characters: a refusal opens a text; further down it is a quotation


class Refusal:
    """Drops refusals ("I can't help with that") and denials ("as an AI I have no preferences").

    Denials conflict with any spec that has preferences (paper, B.3). Refusals count only at
    the start of a text: documents may quote one. For chats only the answers are read.
    """

    name = "refusal"

    def check(self, record: Document | Conversation) -> Drop | None:
        """Drop if the model's text refuses or denies to have preferences."""
        for text in said_by_model(record):
            text = text.replace("’", "'")
            head = text[:REFUSAL_HEAD]
            whole = head if isinstance(record, Document) else text
            found = REFUSING.search(head) or NO_PREFERENCES.search(whole)
            if found:
                return Drop(record=record.id, reason=self.name, evidence=found.group(0)[:80])
        return None
