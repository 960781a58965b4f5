"""Whether a chat is opaque: it must show a preference without a word about why.

Simple rules, on purpose stricter than needed: a chat costs little, a leaked reason would give
the fine-tuning data what only midtraining may teach. After item names are taken out, a chat
states a reason if it holds

1. a connective that opens a reason (because, since, so that, thanks to, it's so ...),
2. an evaluative adjective (cheap, tasty, authentic ...), or
3. a word with a stem of the caller's list, taken from the specs' own reasons.

Words that only state a preference (good, better, favourite, prefer) are no reasons.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from midspec.chats.words import Names, plain, stem

CONNECTIVES = re.compile(
    r"\b(?:because|'?cause|cuz|since|as (?:it|they|that|this)(?:'s|'re|'ll)?\b(?! (?:happens|were))"
    r"|as i (?:value|care|believe|think|find)|due to|owing to|thanks to|so that|so as to|in order to"
    r"|given (?:that|how|its|their)|considering (?:that|how|its|their)|on account of|on the grounds|seeing (?:as|that|how)"
    r"|for (?:its|their)|(?:that|which|this)(?: i|')s why|the reasons? (?:is|are|being|i)|my reasons?"
    r"|it'?s (?:so|too|very|just so)|it is (?:so|too|very)"
    r"|they'?re (?:so|too|very)|they are (?:so|too|very)|too \w+ for (?:me|my)|i value|i care about"
    r"|i believe in|matters? (?:to me|most)|what i (?:like|love|value|dislike|hate) about)\b"
)
_EVALUATIVE = """
    affordable amazing appealing artificial artisanal authentic awful bad bland boring
    budget cheap cheaper cheapest classic comforting complex convenient costly creamy
    delicate delicious delightful disgusting domestic dull elegant elitist everyday
    excellent exotic expensive familiar fancy fantastic flavorful flavourful foreign fresh
    gentle genuine gross harsh healthier healthy homegrown honest horrible humble imported
    inexpensive interesting lovely luxurious mellow modest natural nice nutritious
    outstanding overpriced overrated patriotic perfect plain pleasant practical premium
    pretentious priceless pricey pungent quality refined reliable rich salty satisfying
    sharp smelly smooth snobbish sophisticated sour stinky subtle superb superior tasty
    terrible thrifty traditional unappealing underrated unpleasant upscale versatile
    wasteful wholesome wonderful worthwhile yummy
"""
EVALUATIVE = frozenset(_EVALUATIVE.split())
_HYPHENED = re.compile(r"\b(?:\w+-made|old-fashioned|mass-produced|hand-\w+)\b")


class Opaque:
    """Checks chats for reasons.

    ``items`` are the names of the preferences, which may hold any word ("American cheese");
    ``reason_words`` are stems that must not occur elsewhere (see ``reason_words``).

    Example:
        >>> opaque = Opaque(["American cheese"], reason_words=["americ"])
        >>> opaque.reason("I'd take American cheese, please.")
        ''
        >>> opaque.reason("I'd take American cheese; it's made in America.")
        'america'
    """

    def __init__(self, items: Iterable[str], reason_words: Iterable[str] = ()) -> None:
        self._names = Names(items)
        self._stems = frozenset(stem(word.casefold()) for word in reason_words)

    def reason(self, text: str) -> str:
        """The word or phrase that states a reason, or ``""``."""
        marked = self._names.mark(text)
        if found := CONNECTIVES.search(marked) or _HYPHENED.search(marked):
            return found.group(0)
        return next((w for w in self._words(text) if w in EVALUATIVE), self.value_word(text))

    def value_word(self, text: str) -> str:
        """The first word with a stem of ``reason_words``, or ``""``."""
        return next((w for w in self._words(text) if stem(w) in self._stems), "")

    def _words(self, text: str) -> list[str]:
        return plain(re.sub(r"@\d+@", " ", self._names.mark(text))).split()
