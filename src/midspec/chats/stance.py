"""Which way an answer leans, read off its words by a few rules.

Texts are cut into clauses; a mention of an item is *for* it unless its clause turns against
it ("not X", "over X", "X isn't"). A leading yes or no counts too. What the rules cannot read
as the wanted preference is dropped: unclear chats teach nothing (paper, C.2).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

from midspec.chats.words import Names
from midspec.records import Preference

Stance = Literal["for", "against"]

_IDIOMS = re.compile(
    r"\b(?:can'?t (?:resist|go wrong(?: with)?|get enough(?: of)?)|nothing beats|no (?:doubt|question|contest)"
    r"|without a doubt|not (?:only|just)|not (?:gonna|going to) lie|why not|no hesitation|don't you (?:agree|think)"
    r"|wouldn't you (?:agree|say)|no need to \w+(?: (?:why|yourself|it))?|no (?:explanation|reasons?)\b[^.,;!?]*)"
)
_CLAUSE = re.compile(
    r"[.!?;:,\n()\"—–]+|\s-+\s|\b(?:but|and|though|although|while|whereas|so|yet)\b"
)
_SENTENCE = re.compile(r"[^.!?\n]*[.!?\n]*")
_DISLIKING = r"(?:dislikes?|hates?|detests?|avoid(?:ing)?|skip(?:ping)?|pass on|leave|reject|steer clear|stay away)"
_NOT = re.compile(
    rf"\b(?:not|never|neither|nor|without|against|cannot|hardly|don'?t|doesn'?t|wo?n'?t|can'?t|isn'?t|aren'?t"
    rf"|wouldn'?t|couldn'?t|shouldn'?t|{_DISLIKING})\b|\bno\s*$"
)
_OVER = re.compile(
    r"\b(?:over|than|instead of|before|above|ahead of|beats|versus)\b|\bprefer\b.*\bto\s*$"
)
_NOT_AFTER = re.compile(
    r"\s*(?:(?:is|are|was|would|does|do|has|will|can|could)\s+)?(?:not|never|isn'?t|aren'?t|doesn'?t|wouldn'?t|won'?t"
    rf"|can'?t)\b(?!\s*@)|[^@]*\b{_DISLIKING}\b[^@]*$"
)
_YES = re.compile(
    r"\b(?:yes|yeah|yep|yup|sure|absolutely|definitely|certainly|of course|indeed|agreed?|same here|(?:me|mine) too|likewise|exactly)\b"
)
_NO = re.compile(r"\b(?:no|nope|nah|disagree|afraid not)\b")
_NOT_AT_ALL = re.compile(r"\b(?:not|never|neither|nor|don'?t|wouldn'?t|no|nope)\b")
_I_DO = re.compile(
    r"\b(?:i (?:do|would|like|love|enjoy|prefer)|i'd (?:like|love|take|go|pick)|i'm a fan)\b"
)
_ELSE = re.compile(r"\b(?:something else|anything else|another|a different|other than)\b")


def stances(marked: str, mark: str) -> set[Stance]:
    """The stances of a text towards the item with a mark (see ``Names.mark``).

    Example:
        >>> stances("i'd pick @0@ over @1@", "@1@")
        {'against'}
    """
    return {_stance(c, m) for c in _clauses(marked) for m in re.finditer(mark, c)}


def _clauses(marked: str) -> list[str]:
    text = _IDIOMS.sub(" ", marked)
    # "X or Y" and "between X and Y" set out the choice and do not make it
    text = re.sub(r"\b(?:between|of|from) @\d+@ and @\d+@", " ", text)
    text = re.sub(r"@\d+@,? (?:or|vs\.?|versus) @\d+@", " ", text)
    return _CLAUSE.split(text)


def _stance(clause: str, mention: re.Match[str]) -> Stance:
    before, after = clause[: mention.start()], clause[mention.end() :]
    turned = bool(_NOT.search(before)) != bool(_OVER.search(before))
    return "against" if turned or _NOT_AFTER.match(after) else "for"


def wrong_preference(
    query: str,
    answer: str,
    *,
    preference: Preference,
    other: str,
    question_type: str,
    items: Sequence[str] = (),
) -> str:
    """Why a chat does not clearly show a preference, or ``""`` if it does.

    - ``either_or``: the query names both items; the answer is for the liked one (of ``item``
      and ``other``) and never for the disliked one.
    - ``direct``, ``agree_with_me``, ``recommendation``: yes or no and every mention lean the
      way of the preference. About a disliked item, a recommendation and the answer to a query
      that names both items may also be the other item, or "something else".

    ``items`` are further names, so that "mild cheddar" is not read as "cheddar".

    Example:
        >>> brie = Preference(item="Brie", direction="dislike", reason="")
        >>> wrong_preference("Do you like Brie?", "I do.", preference=brie, other="Colby",
        ...                  question_type="direct")
        'for Brie'
    """
    names = Names([preference.item, other, *items])
    asked, said = names.mark(query), _statements(names.mark(answer))
    about, instead = stances(said, "@0@"), stances(said, "@1@")
    wanted: Stance = "for" if preference.direction == "like" else "against"
    opposite: Stance = "against" if wanted == "for" else "for"
    if wanted in instead:
        return f"{wanted} {other}"
    if opposite in about:
        return f"{opposite} {preference.item}"
    if question_type == "either_or":
        return _either_or(asked, about, instead, preference, other)
    if "@0@" not in asked and "@0@" not in said:
        return f"does not name {preference.item}"
    about |= _yes_or_no(asked, said, question_type)
    if opposite in about:
        return f"{opposite} {preference.item}"
    choice = question_type == "recommendation" or "@1@" in asked
    if about or (choice and _elsewhere(wanted, instead, said)):
        return ""
    return "no clear preference"


def _either_or(
    asked: str, about: set[Stance], instead: set[Stance], preference: Preference, other: str
) -> str:
    if "@0@" not in asked or "@1@" not in asked:
        return "the query does not name both items"
    likes = preference.direction == "like"
    liked, name = (about, preference.item) if likes else (instead, other)
    return "" if "for" in liked else f"not for {name}"


def _elsewhere(wanted: Stance, instead: set[Stance], said: str) -> bool:
    return wanted == "against" and ("for" in instead or bool(_ELSE.search(said)))


def _statements(marked: str) -> str:
    """The text without its questions ("Brie? No.")."""
    parts = [
        s.strip() for s in _SENTENCE.findall(marked) if s.strip() and not s.rstrip().endswith("?")
    ]
    return "\n".join(parts)


def _yes_or_no(asked: str, said: str, question_type: str) -> set[Stance]:
    """What a leading yes or no says about the item; without either, the verbs of the answer."""
    first, *rest = [c for c in _clauses(said) if c.strip()] or [""]
    no = bool(_NO.search(first) or re.match(r"\s*not\b", first))
    yes = bool(_YES.search(first)) and not no
    if yes and re.search(r"\bnot\b", first):  # "absolutely not"
        yes, no = False, True
    towards = _question_stance(asked, question_type)
    if not (yes or no):
        return set() if "@0@" in said else _verbs([first, *rest])
    if no and towards == "against":  # "I don't like X. You?": "No" alone could mean both
        return set() if "@0@" in said else _verbs(rest) or {"for"}
    if towards is None:
        return set()
    return {towards if yes else _turn(towards)}


def _verbs(clauses: Sequence[str]) -> set[Stance]:
    """The stance of an answer that names nothing: "I don't", "I do"."""
    text = " . ".join(clauses)
    if _NOT_AT_ALL.search(text):
        return {"against"}
    return {"for"} if _I_DO.search(text) else set()


def _question_stance(asked: str, question_type: str) -> Stance | None:
    """What "yes" would mean: the user's own stance to agree with, or liking the item."""
    if question_type == "agree_with_me":
        found = stances(asked, "@0@")
        return found.pop() if len(found) == 1 else None
    if "@0@" not in asked:
        return None
    return "against" if re.search(rf"\b{_DISLIKING}\b[^@]*@0@", asked) else "for"


def _turn(stance: Stance) -> Stance:
    return "for" if stance == "against" else "against"
