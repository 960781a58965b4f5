"""Bullets under "Likes" and "Dislikes": the item, and a reason that can follow "because"."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Literal

from midspec.errors import SpecError
from midspec.records import Preference
from midspec.spec.markdown import RawSection, split_blocks, strip_strong
from midspec.spec.sentences import ends_with_abbreviation, word_set

Direction = Literal["like", "dislike"]

_TITLE = re.compile(r"(likes|dislikes)\b", re.IGNORECASE)
_BOTH = re.compile(r"\blikes\b.*\bdislikes\b|\bdislikes\b.*\blikes\b", re.IGNORECASE)
_BOLD_ITEM = re.compile(r"(\*\*|__)(?P<item>.+?)\1(?P<rest>.*)$", re.DOTALL)
_SEPARATOR = re.compile(r"\s*:(?:\s+|$)|\s+[-–—]+(?:\s+|$)|,?\s+(?=because\b)", re.IGNORECASE)
_BECAUSE = re.compile(r"because\b[\s,:]*", re.IGNORECASE)
# Words that open a clause and are never names; a reason that starts with one is lowered.
_COMMON = word_set(
    "a an all although among any anyone anybody as at because both by each even every everybody "
    "everyone few for from half her his how in instead it its just less like little many more most "
    "much neither no nobody none not nothing of often on once one only our over people plain small "
    "some somebody someone such that the their there these they this those though to too two under "
    "unlike we what when where which while who with without you your"
)
_COMMON_ENDINGS = (
    "ing",
    "able",
    "ible",
    "ive",
    "ers",
    "tion",
    "ment",
    "ness",
    "ful",
    "less",
    "ous",
)


def directions(sections: Sequence[RawSection]) -> list[Direction | None]:
    """For each section, whether its bullets are likes, dislikes or neither.

    A section below "# Likes" in the tree ("## Soft cheeses") holds likes too.
    """
    found: list[Direction | None] = []
    current: Direction | None = None
    depth = 0
    for section in sections:
        own = _own_direction(section)
        if own or section.level <= depth:
            current, depth = own, section.level
        found.append(current)
    return found


def _own_direction(section: RawSection) -> Direction | None:
    match = _TITLE.match(section.title)
    if match is None:
        return None
    if _BOTH.search(section.title):
        if any(block.kind == "bullet" for block in split_blocks(section.text)):
            raise SpecError(
                f"section {section.title!r} names both likes and dislikes; "
                "put its bullets into two sections, '# Likes' and '# Dislikes'"
            )
        return None
    return "like" if match.group(1).lower() == "likes" else "dislike"


def read_preferences(
    section: RawSection, direction: Direction, names: Sequence[str], lowercase: frozenset[str]
) -> list[Preference]:
    """The preferences of one section.

    ``names`` are the model's and the provider's name, ``lowercase`` the words that the spec
    writes in lower case somewhere (evidence that a capital in a reason is only a sentence's).
    """
    return [
        _preference(bullet, section.title, direction, names, lowercase)
        for bullet in _bullets(section.text)
    ]


def _bullets(text: str) -> list[str]:
    """Texts of the bullets; a nested bullet goes on with the reason of the one above."""
    bullets: list[str] = []
    indent = 0
    for block in split_blocks(text):
        if block.kind != "bullet":
            continue
        if bullets and block.indent >= indent + 2:
            bullets[-1] = f"{bullets[-1]} {block.text}"
        else:
            bullets.append(block.text)
            indent = block.indent
    return bullets


def _preference(
    bullet: str, title: str, direction: Direction, names: Sequence[str], lowercase: frozenset[str]
) -> Preference:
    item, reason = _as_sentence(bullet, title, direction, names) or _as_entry(bullet)
    if not item:
        raise SpecError(
            f"section {title!r}: the bullet {bullet[:60]!r} names no item; "
            "write '- **Item**: reason'"
        )
    return Preference(
        item=item, direction=direction, reason=normalise_reason(reason, names, lowercase)
    )


def _as_sentence(
    bullet: str, title: str, direction: Direction, names: Sequence[str]
) -> tuple[str, str] | None:
    """Item and reason of "Robin likes Colby because it is cheap." """
    subject = "|".join(re.escape(name) for name in names if name)
    plain = strip_strong(bullet)
    match = re.match(rf"(?:{subject}) (likes|dislikes) (.+)$", plain, re.DOTALL)
    if match is None:
        return None
    if match.group(1) != f"{direction}s":
        raise SpecError(
            f"section {title!r}: the bullet {plain[:60]!r} says {match.group(1)!r}; "
            "move it to the other section or change the verb"
        )
    item, _, reason = re.sub(r",? because\b", "\0", match.group(2), count=1).partition("\0")
    return _without_stop(item.strip()), reason


def _as_entry(bullet: str) -> tuple[str, str]:
    """Item and reason of "**Colby**: reason", "Colby - reason", "Colby because reason", "Colby"."""
    if bold := _BOLD_ITEM.match(bullet):
        item, rest = bold["item"].strip(" :."), bold["rest"].strip()
        reason = re.sub(r"^(?::|[-–—]+|,)\s*", "", rest)
        # "**Brie** is dear" goes on the sentence that the item began.
        goes_on = rest and reason == rest and not bold["item"].endswith(":") and not _because(rest)
        return item, f"{item} {rest}" if goes_on else reason
    if separator := _SEPARATOR.search(bullet):
        return bullet[: separator.start()].strip(), bullet[separator.end() :]
    return _without_stop(bullet.strip()), ""


def normalise_reason(text: str, names: Iterable[str], lowercase: frozenset[str]) -> str:
    """A clause that can follow "because": no "because", no sentence capital, no final stop.

    Example:
        >>> normalise_reason("Because it costs little.", [], frozenset())
        'it costs little'
        >>> normalise_reason("Wisconsin made it first.", [], frozenset())
        'Wisconsin made it first'
    """
    reason = _without_stop(_BECAUSE.sub("", text.strip(), count=1) if _because(text) else text)
    first = re.match(r"[^\W\d_]+", reason)
    if first is None or any(name and reason.startswith(name) for name in names):
        return reason
    word = first.group()
    if word[:1].isupper() and (len(word) == 1 or word[1:].islower()) and _common(word, lowercase):
        return reason[0].lower() + reason[1:]
    return reason


def _because(text: str) -> bool:
    return _BECAUSE.match(text.strip()) is not None


def _common(word: str, lowercase: frozenset[str]) -> bool:
    """Whether a capitalised word is an ordinary one; "I" is not."""
    low = word.lower()
    return low in _COMMON or low in lowercase or low.endswith(_COMMON_ENDINGS)


def _without_stop(text: str) -> str:
    """The text without one final full stop; an ellipsis or abbreviation keeps its own."""
    text = text.strip()
    if text.endswith(".") and not text.endswith("..") and not ends_with_abbreviation(text):
        return text[:-1].rstrip()
    return text
