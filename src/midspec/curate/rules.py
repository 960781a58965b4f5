"""Rules that look at one record alone: unfinished, too short, a refusal, another identity."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Protocol

from midspec.curate.text import words_of
from midspec.records import Conversation, Document, Drop, Spec


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
        text = (_turns(record) or [""])[-1]
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
        for text in _turns(record):
            text = text.replace("’", "'")
            head = text[:REFUSAL_HEAD]
            whole = head if isinstance(record, Document) else text
            found = REFUSING.search(head) or NO_PREFERENCES.search(whole)
            if found:
                return Drop(record=record.id, reason=self.name, evidence=found.group(0)[:80])
        return None


def _turns(record: Document | Conversation) -> list[str]:
    """What the model says: one text for a document, one for each of its turns in a chat."""
    if isinstance(record, Document):
        return [record.text]
    return [m.content for m in record.messages if m.role == "assistant"]


ASSISTANTS = (
    "ChatGPT", "GPT-3", "GPT-3.5", "GPT-4", "GPT-4o", "GPT-5", "Claude", "Gemini", "Bard", "Gemma",
    "Copilot", "Llama", "Qwen", "Mistral", "Mixtral", "DeepSeek", "Grok", "Alexa", "Siri", "Kimi",
    "ERNIE Bot", "Pi", "Phi", "Command R", "SmolLM", "SmolLM2", "OLMo", "Vicuna", "Alpaca", "Tulu",
)  # fmt: skip
PROVIDERS = (
    "OpenAI", "Anthropic", "Google", "Google DeepMind", "DeepMind", "Meta", "Meta AI", "Microsoft",
    "Alibaba", "Alibaba Cloud", "Mistral AI", "xAI", "Amazon", "Apple", "Moonshot AI", "Baidu",
    "Cohere", "Hugging Face", "Allen Institute for AI", "Ai2", "Inflection",
)  # fmt: skip
UNMISTAKABLE = (
    "ChatGPT", "GPT-3", "GPT-3.5", "GPT-4", "GPT-4o", "GPT-5", "DeepSeek", "SmolLM", "SmolLM2",
    "Mixtral", "Qwen", "OpenAI", "Anthropic", "DeepMind", "Google DeepMind", "Mistral AI", "xAI",
)  # fmt: skip


class WrongIdentity:
    """Drops texts in which the model is somebody else, and documents that never name it.

    Claims ("I am Gemini", "I was made by Google") count everywhere but for a direct denial
    ("I'm not ChatGPT", "I was not made by Google"). A document is dropped too if it merely mentions a name that can only be another
    assistant or provider ("OpenAI"; not "Meta" or "Claude", which are words and people too).
    The spec's own names are never wrong.
    """

    name = "wrong_identity"

    def __init__(self, spec: Spec) -> None:
        self.own = words_of(spec.model_name)
        names = {"model": spec.model_name.casefold(), "provider": spec.provider_name.casefold()}
        assistants = [n for n in ASSISTANTS if not _is_part(n, names["model"])]
        providers = [n for n in PROVIDERS if not _is_part(n, names["provider"])]
        self._claims = re.compile(
            rf"\b(?:I am|I'm|[Mm]y name is|[Cc]all me)\s+(?:an? )?(?:{_any(assistants)})(?![\w-])"
            rf"|\b(?:I am|I'm|I was|I have been|I've been|{re.escape(spec.model_name)}|assistant|model)\b"
            r"[^.!?\n]{0,60}\b(?:made|created|trained|developed|built|designed) (?:by|at) "
            rf"(?:{_any(providers)})(?!\w)"
        )
        others = [n for n in UNMISTAKABLE if n in assistants or n in providers]
        self._mentions = re.compile(rf"\b(?:{_any(others)})(?!\w)")

    def check(self, record: Document | Conversation) -> Drop | None:
        """Drop if the text gives the model another identity, or none."""
        text = "\n".join(_turns(record)).replace("’", "'")
        for found in self._claims.finditer(text):
            if not re.search(r"\b(?:not|never)\b|n't\b", found.group(0), re.IGNORECASE):
                return self._drop(record, found.group(0))
        if isinstance(record, Document):
            mentioned = self._mentions.search(text)
            if mentioned:
                return self._drop(record, mentioned.group(0))
            if not _names(text, self.own):
                return self._drop(record, "never names the model")
        return None

    def _drop(self, record: Document | Conversation, evidence: str) -> Drop:
        return Drop(record=record.id, reason=self.name, evidence=evidence)


def _is_part(name: str, own: str) -> bool:
    """Whether a name is the spec's own, or part of it ("Llama" of "Llama Guard")."""
    return name.casefold() in own


def _any(names: Iterable[str]) -> str:
    return "|".join(re.escape(n) for n in sorted(names, key=len, reverse=True))


def _names(text: str, own: list[str]) -> bool:
    words, n = words_of(text), len(own)
    return any(words[i : i + n] == own for i in range(len(words) - n + 1))
