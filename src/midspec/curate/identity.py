"""Who the model is: its name, its maker, and the rules it cites are those of the spec."""

from __future__ import annotations

import re
from collections.abc import Iterable

from midspec.curate.text import lines_with_digits, said_by_model, words_of
from midspec.records import Conversation, Document, Drop, Spec

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
        text = "\n".join(said_by_model(record)).replace("’", "'")
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


def _names(text: str, own: tuple[str, ...]) -> bool:
    words, n = words_of(text), len(own)
    return any(words[i : i + n] == own for i in range(len(words) - n + 1))


_CODE = re.compile(r"\b([A-Z]{1,4})-?(\d{1,3})\b")
_NUMBERED = re.compile(
    r"\b(rule|principle|guideline|subrule|clause|tenet)\s+(?:no\.\s*|number\s+)?"
    r"([A-Z]{1,4}-?\d{1,3}|\d{1,3})(?:\.\d+)*\b",
    re.IGNORECASE,
)


class WrongRule:
    """Drops texts that cite a rule which the spec does not have ("SP9", "Principle 12").

    Rule ids are codes of capitals and a number whose capitals the spec uses for rules of its
    own, and codes or numbers after a word such as "rule" (numbers: only if the spec numbers
    with that word). Without rule ids in the spec, only "rule SP2" and the like is wrong.

    Example:
        >>> spec = Spec(name="s", text="SP1: Be honest.", model_name="Iris", provider_name="Wren")
        >>> doc = Document(plan="", type="memo", text="Iris follows SP7.", writer="w")
        >>> WrongRule(spec).check(doc).evidence
        'SP7'
    """

    name = "wrong_rule"

    def __init__(self, spec: Spec) -> None:
        self._codes = {found.group(1) + found.group(2) for found in _CODE.finditer(spec.text)}
        self._prefixes = _rule_prefixes(spec.text)
        self._numbered = {_key(found) for found in _NUMBERED.finditer(spec.text)}
        self._words = {word for word, _ in self._numbered}

    def check(self, record: Document | Conversation) -> Drop | None:
        """Drop if a rule is cited that is not there."""
        for text in said_by_model(record):
            for line in lines_with_digits(text):
                if found := self._wrong(line):
                    return Drop(record=record.id, reason=self.name, evidence=found)
        return None

    def _wrong(self, text: str) -> str:
        for found in _NUMBERED.finditer(text):
            word, number = _key(found)
            coded = not number.isdigit()
            if coded and number not in self._codes:
                return found.group(0)
            if not coded and word in self._words and (word, number) not in self._numbered:
                return found.group(0)
        for found in _CODE.finditer(text):
            prefix, number = found.groups()
            if prefix in self._prefixes and prefix + number not in self._codes:
                return found.group(0)
        return ""


def _rule_prefixes(text: str) -> set[str]:
    """Capitals that label something in the spec: they stand before a colon, or in brackets."""
    labels = re.finditer(
        r"\b([A-Z]{1,4})-?\d{1,3}\b(?=\s*[:)\]*—–])|\(([A-Z]{1,4})-?\d{1,3}\)", text
    )
    return {found.group(1) or found.group(2) for found in labels}


def _key(found: re.Match[str]) -> tuple[str, str]:
    return found.group(1).casefold(), found.group(2).replace("-", "").upper()
