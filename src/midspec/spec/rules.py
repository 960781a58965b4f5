"""Numbers and bullets under "Rules": the rule, why, and what it means in cases."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from midspec.records import Rule
from midspec.spec.markdown import Block, RawSection, split_blocks, strip_strong
from midspec.spec.preferences import normalise_reason
from midspec.spec.sentences import split_sentences

_TITLE = re.compile(r"rules\b", re.IGNORECASE)
_BECAUSE = re.compile(r",?\s+because\b[\s,:]*")
_WHY = re.compile(r"(?:because\b|why:|reason:)[\s,:]*", re.IGNORECASE)
_LABEL_WORDS = 2  # "SP1." and "On oversight." open a rule, they are none


def hold_rules(sections: Sequence[RawSection]) -> list[bool]:
    """For each section, whether its bullets are rules.

    Titles that start with "Rules" open it, and sections below them in the tree go on.

    Example:
        >>> hold_rules([RawSection("Rules", 1, ""), RawSection("Tools", 2, ""),
        ...             RawSection("Tone", 1, "")])
        [True, True, False]
    """
    found: list[bool] = []
    depth = 0  # level of the title that opened the rules; 0: none is open
    for section in sections:
        if _TITLE.match(section.title):
            depth = section.level
        elif section.level <= depth:
            depth = 0
        found.append(depth > 0)
    return found


def read_rules(text: str, names: Sequence[str], lowercase: frozenset[str]) -> list[Rule]:
    """The rules of one section: one for each bullet that is not nested in another.

    The first sentence is the rule, up to "because"; what follows it is the reason. A nested
    bullet is a subrule, or the reason if it starts with "Because", "Why:" or "Reason:".
    ``names`` and ``lowercase`` are as for `read_preferences`.

    Example:
        >>> read_rules("1. Robin asks first, because it may be wrong.\\n   - It waits.", [],
        ...            frozenset())[0].model_dump(exclude={"id"})
        {'text': 'Robin asks first.', 'reason': 'it may be wrong', 'subrules': ('It waits.',)}
    """
    return [_rule(head, nested, names, lowercase) for head, nested in _entries(text)]


def _entries(text: str) -> Iterator[tuple[str, list[str]]]:
    """Text of each outer bullet, and the texts of those nested in it."""
    head: Block | None = None
    nested: list[Block] = []
    for block in split_blocks(text):
        if block.kind != "bullet":
            continue
        if head is None or block.indent < head.indent + 2:
            if head is not None:
                yield head.text, [one.text for one in nested]
            head, nested = block, []
        elif nested and block.indent >= nested[-1].indent + 2:
            nested[-1] = nested[-1]._replace(text=f"{nested[-1].text} {block.text}")
        else:
            nested.append(block)
    if head is not None:
        yield head.text, [one.text for one in nested]


def _rule(head: str, nested: list[str], names: Sequence[str], lowercase: frozenset[str]) -> Rule:
    text, reason = _split_reason(strip_strong(head), names)
    reasons = [reason] if reason else []
    subrules = []
    for bullet in map(strip_strong, nested):
        if match := _WHY.match(bullet):
            reasons.append(bullet[match.end() :])
        else:
            subrules.append(bullet)
    why = normalise_reason(" ".join(reasons), names, lowercase)
    return Rule(text=text, reason=why, subrules=tuple(subrules))


def _split_reason(text: str, names: Sequence[str]) -> tuple[str, str]:
    """The rule and the reason in the text of one bullet."""
    sentences = split_sentences(text, names) or [text]
    n = 2 if len(sentences[0].split()) <= _LABEL_WORDS and len(sentences) > 1 else 1
    first, rest = " ".join(sentences[:n]), sentences[n:]
    rest_text = " ".join(rest)
    if why := _WHY.match(rest_text):
        rest_text = rest_text[why.end() :]
    match = _BECAUSE.search(first)
    if match is None:
        return first, rest_text
    return f"{first[: match.start()]}.", f"{first[match.end() :]} {rest_text}".strip()
