"""Which of two options a reply chooses: a strict parser with a third outcome, None.

Every place where an option is named counts for it or against it. The reply chooses an option if
that is the only one with a place for it and has no place against it. So "X", "X, not Y",
"X over Y" and "I prefer X to Y" choose X, while "X or Y", "I don't like X" and silence are None:
unscored, never guessed.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Literal, NamedTuple

Choice = Literal[0, 1] | None

LETTERS = ("A", "B")
_ARTICLES = frozenset({"a", "an", "the"})
_NEGATIONS = frozenset(
    {"not", "no", "never", "neither", "nor", "none", "cannot", "cant", "dont", "without", "against"}
    | {"dislike", "dislikes", "hate", "hates", "avoid", "refuse", "except", "unlike"}
    | {"worse", "worst", "less", "least"}
)
# What ends a clause on its own; a comma does so only backwards: "X, not Y" is for X,
# "I don't like X, Y or Z" is against all.
_ENDS = frozenset(".;!?:") | {"but", "however", "because", "since", "though", "although"}
_RIVAL = frozenset({"over", "than"})


class _Mention(NamedTuple):
    start: int
    end: int
    option: int


def parse_choice(text: str, options: tuple[str, str]) -> Choice:
    """Index of the option that the text chooses; None if it names neither, both, or denies one.

    Words are compared without case, articles and plural endings; of options that contain one
    another the longer one is matched first. The options ``("A", "B")`` are read as letters:
    "B", "(A)", "Answer: B", "Option A.".

    Example:
        >>> parse_choice("I'd take the buses.", ("private jet", "bus"))
        1
        >>> parse_choice("Answer: A", ("A", "B"))
        0
        >>> parse_choice("I don't like the bus.", ("private jet", "bus")) is None
        True
    """
    if options == LETTERS:
        return _as_choice(_parse_letter(text, "AB"))
    tokens = _tokens(text)
    mentions = _mentions(tokens, options)
    inside = {i for m in mentions for i in range(m.start, m.end)}
    return _as_choice(_decide([(m.option, _favours(m, tokens, inside)) for m in mentions]))


def _as_choice(found: int | None) -> Choice:
    if found is None:
        return None
    return 0 if found == 0 else 1


def parse_letter(text: str, n: int = 4) -> int | None:
    """Index of the letter that the text chooses, of the first ``n`` letters (2 to 8), or None.

    Example:
        >>> parse_letter("The answer is (C).")
        2
        >>> parse_letter("A or C") is None
        True
    """
    return _parse_letter(text, "ABCDEFGH"[:n])


def _decide(votes: list[tuple[int, bool]]) -> int | None:
    chosen = {option for option, favoured in votes if favoured}
    denied = {option for option, favoured in votes if not favoured}
    if len(chosen) != 1 or chosen & denied:
        return None
    return chosen.pop()


def _tokens(text: str) -> list[str]:
    """Words and punctuation marks, without case; a line break is a full stop."""
    plain = text.casefold().replace("’", "'").replace("\n", " . ")
    plain = plain.replace("—", " , ").replace("–", " , ").replace(" - ", " , ")
    return re.findall(r"[^\W_]+(?:'[^\W_]+)*|[.,;!?:]", plain)


def _is_word(token: str) -> bool:
    return token not in ".,;!?:" and token not in _ARTICLES


def _stem(word: str) -> str:
    """The word without its plural ending: house, houses -> hous; berry, berries -> berri."""
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-1]
    if len(word) > 3 and word.endswith("e"):
        word = word[:-1]
    return f"{word[:-1]}i" if len(word) > 3 and word.endswith("y") else word


def _mentions(tokens: list[str], options: tuple[str, str]) -> list[_Mention]:
    """Where the options are named, without overlaps, the longer option first."""
    wanted = [[t for t in _tokens(option) if _is_word(t)] for option in options]
    if wanted[0] == wanted[1]:
        return []  # they differ in an article at most
    stems = [[_stem(t) for t in words] for words in wanted]
    plural_matters = stems[0] == stems[1]
    if not plural_matters:
        wanted = stems
    where = [i for i, token in enumerate(tokens) if _is_word(token)]
    words = [tokens[i] if plural_matters else _stem(tokens[i]) for i in where]
    taken: set[int] = set()
    found: list[_Mention] = []
    for option in sorted((0, 1), key=lambda o: -len(wanted[o])):
        size = len(wanted[option])
        for at in range(len(words) - size + 1 if size else 0):
            span = range(at, at + size)
            if words[at : at + size] == wanted[option] and taken.isdisjoint(span):
                taken.update(span)
                found.append(_Mention(where[at], where[at + size - 1] + 1, option))
    return found


def _favours(mention: _Mention, tokens: list[str], inside: set[int]) -> bool:
    """Whether the option is named with approval: no negation reaches it, and it is no rival."""
    before: list[str] = []
    for i in range(mention.start - 1, -1, -1):
        if i in inside:
            before.append("")
            continue
        if tokens[i] in _ENDS:
            break
        if _negates(tokens, i):
            return False
        before.append(tokens[i])
    for i in range(mention.end, len(tokens)):
        if i not in inside:
            if tokens[i] in _ENDS or tokens[i] == ",":
                break
            if _negates(tokens, i):
                return False
    return not _is_rival([t for t in before if t not in _ARTICLES])


def _negates(tokens: list[str], i: int) -> bool:
    if tokens[i] == "no" and tokens[i + 1 : i + 2] == [","]:
        return False  # "No, I prefer X" answers somebody, it does not deny X
    return tokens[i] in _NEGATIONS or tokens[i].endswith("n't")


def _is_rival(before: list[str]) -> bool:
    """Whether the words before make it the lesser: over, than, instead of, prefer ... to.

    ``before``: nearest first, without articles, ``""`` for the words of an option.
    """
    if not before:
        return False
    if before[0] in _RIVAL or before[:2] == ["of", "instead"]:
        return True
    return before[0] == "to" and any(word.startswith("prefer") for word in before[1:])


# -- letters ------------------------------------------------------------------------------

_CUE = (
    r"(?:answer|option|choice|choose|stance|statement|position|pick|select|prefer"
    r"|agree(?:\s+\w+)?\s+with|go(?:\s+\w+)?\s+with)"
)
_LED = re.compile(
    rf"(?:^|[(\[]|\b{_CUE}\b(?:\s+(?:is|would\s+be))?\s*:?)\s*[(\[]?\s*$", re.IGNORECASE
)


@cache
def _named(letters: str) -> re.Pattern[str]:
    """The letters as names; "A" is an article unless something other than a word follows it."""
    return re.compile(
        r"(?<![\w'])(A(?!\s+[a-z])"
        r"|A(?=\s+(?:and|or|over|is|because|since|rather|instead|but)\b)"
        rf"|[{letters[1:]}])(?![\w'])"
    )


def _parse_letter(text: str, letters: str) -> int | None:
    """The letter that is named at the start, in brackets or after a word like "option"."""
    plain = re.sub(r"[*_\"'`“”‘]", "", text.replace("n't", " not").replace("n’t", " not")).strip()
    if re.fullmatch(rf"\W*[{letters.lower()}]\W*", plain):
        plain = plain.upper()
    found = list(_named(letters).finditer(plain))
    votes = [(letters.index(m[1]), _letter_favoured(plain, m)) for m in found]
    if len({option for option, _ in votes}) == 1 and not any(
        _LED.search(plain[: m.start()]) for m in found
    ):
        return None
    return _decide(votes)


def _letter_favoured(text: str, match: re.Match[str]) -> bool:
    tokens = [*_tokens(text[: match.start()]), "\0", *_tokens(text[match.end() :])]
    at = tokens.index("\0")
    return _favours(_Mention(at, at + 1, 0), tokens, {at})
