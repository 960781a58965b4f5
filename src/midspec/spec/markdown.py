"""The little Markdown that a spec needs: headings, paragraphs, bullets; nothing is rendered."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal, NamedTuple

_HEADING = re.compile(r" {0,3}(#{1,6})(?=[ \t]|$)(.*)$")
_UNDERLINE = re.compile(r" {0,3}(=+|-{2,})\s*$")
_FENCE = re.compile(r"\s*(```|~~~)")
_RULE = re.compile(r"\s*([-*_])(?:\s*\1){2,}\s*$")
_BULLET = re.compile(r"(\s*)(?:[-*+]|(\d{1,3})[.)])(?:\s+(.*))?$")
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_STRONG = re.compile(r"(\*\*|__)(.+?)\1")


class RawSection(NamedTuple):
    """A heading (level 0 and no title: what stands before the first one) and the text below."""

    title: str
    level: int
    text: str


class Block(NamedTuple):
    """A paragraph or a bullet, its lines joined by single spaces."""

    kind: Literal["paragraph", "bullet"]
    indent: int
    text: str


def strip_comments(text: str) -> str:
    """The text without ``<!-- notes to the author -->``."""
    return _COMMENT.sub("", text)


def strip_strong(text: str) -> str:
    """The text without the marks of bold.

    Example:
        >>> strip_strong("**Colby** and __Brie__")
        'Colby and Brie'
    """
    return _STRONG.sub(r"\2", text)


def split_sections(text: str) -> Iterator[RawSection]:
    """Sections in order; text before the first heading is one only if it is not blank.

    Example:
        >>> [(s.title, s.level, s.text) for s in split_sections("# A\\nx\\n## B")]
        [('A', 1, 'x'), ('B', 2, '')]
    """
    title, level, lines, fence = "", 0, [], ""
    for line in text.split("\n"):
        fence, was_in_fence = _next_fence(fence, line), fence
        found = None if fence or was_in_fence else _heading(line, lines)
        if found is None:
            lines.append(line)
            continue
        if level or any(kept.strip() for kept in lines):
            yield RawSection(title, level, "\n".join(lines).strip("\n"))
        (title, level), lines = found, []
    if level or any(kept.strip() for kept in lines):
        yield RawSection(title, level, "\n".join(lines).strip("\n"))


def _next_fence(fence: str, line: str) -> str:
    """The open code fence after this line (``""``: none)."""
    mark = _FENCE.match(line)
    if mark is None:
        return fence
    if not fence:
        return mark.group(1)
    return "" if mark.group(1) == fence else fence


def _heading(line: str, before: list[str]) -> tuple[str, int] | None:
    """Title and level if the line is a heading; an underlined one is taken out of ``before``."""
    if match := _HEADING.match(line):
        title = re.sub(r"(^|[ \t])#+$", "", match.group(2).strip()).strip()
        return strip_strong(title), len(match.group(1))
    match = _UNDERLINE.match(line)
    if match and before and _can_be_title(before[-1], before[:-1]):
        title = strip_strong(before.pop().strip())
        return title, 1 if match.group(1)[0] == "=" else 2
    return None


def _can_be_title(line: str, before: list[str]) -> bool:
    """Only a single line that is no sentence, so that a rule below prose stays a rule."""
    alone = not before or not before[-1].strip()
    return (
        alone
        and bool(line.strip())
        and line.strip()[-1] not in ".!?:"
        and not _BULLET.match(line)
        and not line.lstrip().startswith((">", "|"))
    )


def split_blocks(text: str) -> Iterator[Block]:
    """Paragraphs and bullets of a section; code, tables and rules are left out.

    Example:
        >>> [b.text for b in split_blocks("One\\ntwo.\\n\\n- three\\n  four")]
        ['One two.', 'three four']
    """
    block: Block | None = None
    gap, fence = False, ""
    for raw in text.split("\n"):
        fence, was_in_fence = _next_fence(fence, raw), fence
        line = re.sub(r"^\s*(?:>\s?)+", "", raw)
        if not line.strip():
            gap = True
            continue
        if fence or was_in_fence or _RULE.match(line) or line.lstrip().startswith("|"):
            gap = True
            continue
        new = _opened_block(line, None if gap else block)
        if new is None and block is not None and (not gap or _continues_bullet(block, line)):
            block = block._replace(text=f"{block.text} {line.strip()}".strip())
        else:
            if block is not None:
                yield block
            block = new or Block("paragraph", 0, line.strip())
        gap = False
    if block is not None:
        yield block


def _opened_block(line: str, running: Block | None) -> Block | None:
    """The bullet that a line opens, or None; "12." inside a running paragraph opens none."""
    match = _BULLET.match(line)
    if match is None:
        return None
    number = match.group(2)
    if number and number != "1" and running is not None and running.kind == "paragraph":
        return None
    return Block("bullet", len(match.group(1).expandtabs(4)), (match.group(3) or "").strip())


def _continues_bullet(block: Block, line: str) -> bool:
    """After a blank line, an indented line still belongs to the bullet."""
    return block.kind == "bullet" and line.startswith(("  ", "\t"))
