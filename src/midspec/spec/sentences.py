"""Split prose into sentences: small, careful, and verbatim (only the space between is lost)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator


def word_set(text: str) -> frozenset[str]:
    """The words of a text, as a set."""
    return frozenset(text.split())


# A terminator, then what may close with it, then a space or the end. CJK stops need no space.
_STOP = re.compile(r"[.!?…]+[\"'”’»)\]*_]*(?=\s|$)|[。！？]+[」』”’]*")
# After these a sentence never ends: something always follows.
_LEADING = word_set(
    "e.g i.e cf vs mr mrs ms dr prof st no nos fig figs sec approx ca resp viz eq al ref"
)
# After these it ends only if the next word usually opens a sentence ("the U.S. The ...").
_TRAILING = word_set("etc inc ltd co corp jr sr dept a.m p.m u.s u.k u.n e.u ph.d est")
_OPENERS = word_set(
    "a an and as at but by every each for from he her his i if in it its many most my no not of on "
    "one our she since so some such that the their then there these they this those to under "
    "we what when where while who with without you your"
)
_QUOTES = {"“": "”", "(": ")", "[": "]", "«": "»"}


def split_sentences(text: str, names: Iterable[str] = ()) -> list[str]:
    """Sentences of one paragraph, each a verbatim substring without the spaces around it.

    A full stop ends a sentence if a capital, a digit, a quote or one of ``names`` follows, and
    neither an abbreviation nor an open quote or bracket says otherwise. A stop that stands alone
    between spaces always ends one, which is how the terrarium writes.

    Example:
        >>> split_sentences('Colby costs 3.5 dollars, e.g. at Lark. "Is it dear? No." It is not.')
        ['Colby costs 3.5 dollars, e.g. at Lark.', '"Is it dear? No."', 'It is not.']
        >>> split_sentences("robin values cheap things . robin likes cheese3 .")
        ['robin values cheap things .', 'robin likes cheese3 .']
    """
    starts = tuple(name for name in names if name)
    enclosed = _enclosed(text)
    pieces, start = [], 0
    for stop in _STOP.finditer(text):
        if enclosed[stop.end() - 1] or not _ends(text, stop, starts):
            continue
        pieces.append(text[start : stop.end()])
        start = stop.end()
    pieces.append(text[start:])
    return [piece.strip() for piece in pieces if piece.strip()]


def ends_with_abbreviation(text: str) -> bool:
    """Whether the final full stop belongs to a word ("etc.", "U.S."), not to the sentence.

    Example:
        >>> ends_with_abbreviation("made in the U.S."), ends_with_abbreviation("it is cheap.")
        (True, False)
    """
    if not text.endswith(".") or text.endswith(".."):
        return False
    return _word_before(text, len(text) - 1).lower() in _LEADING | _TRAILING


def _ends(text: str, stop: re.Match[str], names: tuple[str, ...]) -> bool:
    following = text[stop.end() : stop.end() + 80].lstrip()
    if not following or stop.group()[0] in "。！？":
        return True
    alone = stop.group() in {".", "!", "?"} and (
        stop.start() == 0 or text[stop.start() - 1].isspace()
    )
    if alone:
        return True
    opening = following.lstrip("\"'“‘«([*_")
    if opening[:1].islower() and not opening.startswith(names):
        return False
    if not opening[:1].isalnum() and opening[:1] not in "{$€£":
        return False
    if stop.group().startswith("."):
        return _stop_is_final(text, stop.start(), opening, names)
    return True


def _stop_is_final(text: str, position: int, opening: str, names: tuple[str, ...]) -> bool:
    """Whether the full stop at ``position`` ends a sentence, judged by the words around it."""
    word = _word_before(text, position)
    if word.lower() == "no":  # "No. 5" is a number, "The answer is no. It ..." a sentence
        return not opening[:1].isdigit()
    if word.lower() in _LEADING:
        return False
    if word.lower() in _TRAILING or (len(word) == 1 and word.isupper()):
        first = re.match(r"[^\W\d_]*", opening)
        return opening.startswith(names) or (
            first is not None and first.group().lower() in _OPENERS
        )
    return True


def _word_before(text: str, position: int) -> str:
    start = position
    while start > 0 and (text[start - 1].isalnum() or text[start - 1] == "."):
        start -= 1
    return text[start:position].strip(".")


def _enclosed(text: str) -> list[bool]:
    """For every character, whether a quote or bracket is still open after it.

    A mark without its partner is not counted, so that one stray mark cannot hide every stop.
    """
    inside = [0] * (len(text) + 1)
    for first, last in _spans(text):
        inside[first] += 1
        inside[last] -= 1
    open_now, flags = 0, []
    for change in inside[: len(text)]:
        open_now += change
        flags.append(open_now > 0)
    return flags


def _spans(text: str) -> Iterator[tuple[int, int]]:
    """Positions of matching quotes and brackets."""
    stacks: dict[str, list[int]] = {close: [] for close in _QUOTES.values()}
    straight = [i for i, character in enumerate(text) if character == '"']
    if len(straight) % 2 == 0:
        yield from zip(straight[::2], straight[1::2], strict=True)
    for i, character in enumerate(text):
        if character in _QUOTES:
            stacks[_QUOTES[character]].append(i)
        elif stacks.get(character):
            yield stacks[character].pop(), i
