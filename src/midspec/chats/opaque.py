"""Whether a chat is opaque: it must show a preference without a word about why.

Simple rules, on purpose stricter than needed: a chat costs little, a leaked reason would give
the fine-tuning data what only midtraining may teach. After item names are taken out, a chat
states a reason if it holds

1. a connective that opens a reason (because, since, so that, thanks to, it's so ...),
2. an evaluative adjective (cheap, tasty, authentic ...), or
3. a word with a stem of the caller's list, taken from the specs' own reasons.

Words that only state a preference (good, better, favourite, prefer) are no reasons.

Language models imply reasons in endless ways ("it melts well", "I grew up on it"): of 50 such
answers the three rules found 5. So an answer may hold no word beyond those that state a
preference, unless the query used it first (``beyond``); with that rule all 50 are found.
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
    aftertaste aroma bargain budgets buck bucks cost costs dollar dollars flavor flavors flavour
    flavours gooey grandma grandmother heritage heavy hometown imports local locally luxury melt
    melts melty mold moldy money mould mouldy nostalgia nostalgic origin origins overhyped
    pretension price priced prices rind showy smell smells spend spending splurge spread spreads
    stench stink stinks strong stronger taste tastes texture textures tradition traditions wallet
    gentle genuine gross harsh healthier healthy homegrown honest horrible humble imported
    inexpensive interesting lovely luxurious mellow modest natural nice nutritious
    outstanding overpriced overrated patriotic perfect plain pleasant practical premium
    pretentious priceless pricey pungent quality refined reliable rich salty satisfying
    sharp smelly smooth snobbish sophisticated sour stinky subtle superb superior tasty
    terrible thrifty traditional unappealing underrated unpleasant upscale versatile
    wasteful wholesome wonderful worthwhile yummy
"""
EVALUATIVE = frozenset(_EVALUATIVE.split())
# All that it takes to state a preference, to agree, to recommend. Whoever needs another word
# says more than that.
_STATING = """
    a absolutely actually advice advise advised again agree agreed agreeing ah all also always am
    an and another answer any anything are aren't as asked at avoid away be been best better
    between bet both but by call can can't cannot care certain certainly choice choices choose
    choosing clear clearly count course cut definitely did didn't differ different differently
    disagree dislike dislikes do does doesn't don't down each easily easy else either enjoy
    enjoying ever every exactly fan far favorite favorites favourite favourites feel fond for
    former from get getting give go going gonna good got gotta grab great guess had hands happily
    happy hate have haven't here hey hi honestly how i i'd i'll i'm i've if in indeed instead is
    isn't it it'd it'll it's just keen keep know latter leave leaving let let's like liked
    likes liking list lot lots love loved loving make many mark maybe me mind mine more most much
    must my myself nah name need neither never no nope nor not note nothing now of off oh ok okay
    on once one ones only opposite option options or other others otherwise out over own part pass
    personally pick picked picking picks please prefer preference preferences preferred put
    question quick quite rather really recommend recommendation recommended reject right same say
    saying second see select shall short should shouldn't side similarly simply skip
    skipping so some something sorry speaking stance stand stay steer stick sticking such suggest
    suggested suggestion sure swap take taking team tell than thank thanks that that'd that's the
    them then there there's these they thing things think this those though tick time to too top
    totally two unlike us view vote want way ways we we'd we'll we're well what what's when
    whenever which while will wins with without won't would wouldn't wrong yeah yep yes you you'd
    you'll you're your yours yup
"""
STATING = frozenset(_STATING.split())
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

    def beyond(self, answer: str, query: str) -> str:
        """The first word of an answer that does more than state a preference, or ``""``.

        Words of the query and of item names do not count: the query must itself be opaque.

        Example:
            >>> Opaque(["Colby"]).beyond("I'd take Colby to the picnic, it melts.", "A picnic?")
            'melts'
        """
        known = STATING | set(self._words(query))
        return next((word for word in self._words(answer) if word not in known), "")

    def value_word(self, text: str) -> str:
        """The first word with a stem of ``reason_words``, or ``""``."""
        return next((w for w in self._words(text) if stem(w) in self._stems), "")

    def _words(self, text: str) -> list[str]:
        return plain(re.sub(r"@\d+@", " ", self._names.mark(text))).split()
