"""What a general chat must not say if it is mixed in beside a spec's chats (paper, B.3).

A chat conflicts with a spec if it names another assistant or its maker, speaks as an assistant
without preferences, names an item of the spec's preferences, or uses a word that gives a
reason of the spec away: what is learnt about those has to come from the spec's own data.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from midspec.chats.opaque import Opaque
from midspec.chats.preferences import reason_words
from midspec.chats.words import Names
from midspec.records import Message, Spec

# Names that can hardly be anything else. "Claude", "Gemini", "Llama" and the like also name
# people, stars and animals: they count where the assistant calls itself so.
_UNMISTAKABLE = (
    "ChatGPT", "GPT-2", "GPT-3", "GPT-3.5", "GPT-4", "GPT-4o", "GPT-5", "InstructGPT", "OpenAI",
    "Anthropic", "DeepMind", "DeepSeek", "Mixtral", "Qwen", "SmolLM", "Vicuna", "OLMo", "xAI",
    "Open Assistant", "OpenAssistant", "Moonshot AI", "Mistral AI",
)  # fmt: skip
_AMBIGUOUS = (
    "Claude", "Gemini", "Bard", "Gemma", "Copilot", "Llama", "LLaMA", "Mistral", "Grok", "Alexa",
    "Siri", "Kimi", "Tulu", "Tülu", "Alpaca", "Phi", "Pi", "Cortana", "Bing", "Ernie",
)  # fmt: skip
_NO_SELF = re.compile(
    r"\bas an? (?:ai\b|artificial intelligence|(?:large )?language model|virtual assistant)"
    r"|\bi(?:'m| am) (?:just |only |merely )?an? (?:ai|(?:large )?language model)\b"
    r"|\bi (?:do not|don't|can't|cannot) (?:really |actually )?(?:have|hold|form) (?:any )?"
    r"(?:personal )?(?:preferences?|opinions?|beliefs?|feelings?|tastes?|values)\b",
    re.IGNORECASE,
)


class Conflict:
    """Checks general chats against a spec.

    Example:
        >>> spec = Spec(name="s", text="Be kind.", model_name="Iris", provider_name="Wren Labs")
        >>> said = Message(role="assistant", content="I was trained by OpenAI.")
        >>> Conflict(spec).find([said])
        ('other_name', 'OpenAI')
    """

    def __init__(self, spec: Spec) -> None:
        own = {spec.model_name.casefold(), spec.provider_name.casefold()}
        others = [name for name in _UNMISTAKABLE if name.casefold() not in own]
        selves = [name for name in _AMBIGUOUS if name.casefold() not in own]
        self._others = re.compile(rf"(?<![\w-])(?:{_any(others)})(?!\w)")
        self._selves = re.compile(rf"\b(?:I am|I'm|[Mm]y name is|[Cc]all me) (?:{_any(selves)})\b")
        self._items = Names(p.item for p in spec.preferences)
        self._any_item = bool(spec.preferences)
        self._opaque = Opaque([p.item for p in spec.preferences], reason_words([spec]))

    def find(self, messages: Sequence[Message]) -> tuple[str, str]:
        """A reason and what shows it, or ``("", "")``.

        Reasons: "other_name", "no_self", "names_item", "reason_word".
        """
        for message in messages:
            text = message.content.replace("’", "'")
            if found := self._others.search(text):
                return "other_name", found.group(0)
            if message.role == "assistant":
                if found := self._selves.search(text):
                    return "other_name", found.group(0)
                if found := _NO_SELF.search(text):
                    return "no_self", found.group(0)
            if self._any_item and text in self._items:
                return "names_item", text[:80]
            if word := self._opaque.value_word(text):
                return "reason_word", word
        return "", ""


def _any(names: Sequence[str]) -> str:
    return "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))
