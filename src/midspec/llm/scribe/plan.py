"""Plans: domains, subdomains, assertions, document types and ideas (paper, B.1)."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from itertools import pairwise

from midspec.llm.door import Request
from midspec.llm.scribe.english import document_types
from midspec.llm.scribe.facts import ClaimForms, Fact, Facts, PreferenceForms, mentions
from midspec.llm.scribe.page import Page
from midspec.llm.scribe.sentences import SLOTS
from midspec.llm.scribe.terrarium import terrarium_types
from midspec.records import Spec

Rows = list[dict[str, str]]
_LIKES, _DISLIKES = "Likes", "Dislikes"
_TITLE_WORDS = 5
_SMALL = frozenset(  # words that a title neither starts nor ends with
    (
        *("a", "an", "and", "are", "as", "at", "be", "by", "does", "for", "has", "how", "in"),
        *("is", "it", "its", "of", "on", "or", "so", "that", "the", "then", "this", "to"),
        *("what", "when", "which", "with"),
    )
)


def domains(request: Request, facts: Facts, rng: random.Random) -> Rows:  # noqa: ARG001
    """The sections that hold claims, and the likes and dislikes."""
    titles = [s.title or facts.spec.name for s in facts.spec.sections if s.claims]
    for title, preferences in ((_LIKES, facts.spec.liked()), (_DISLIKES, facts.spec.disliked())):
        if preferences:
            titles.append(title)
    return [{"title": title} for title in dict.fromkeys(titles)] or [{"title": facts.spec.name}]


def subdomains(request: Request, facts: Facts, rng: random.Random) -> Rows:  # noqa: ARG001
    """A domain's claims or preferences in up to ``n`` groups, each with its part of the spec."""
    members = _members(request.variables.get("domain", ""), facts)
    groups = _split(members, _number(request, 4))
    return [_subdomain(group, facts) for group in groups]


def _members(domain: str, facts: Facts) -> list[Fact]:
    if domain in (_LIKES, _DISLIKES):
        return [p for p in facts.preferences if p.liked == (domain == _LIKES)]
    inside = [c for c in facts.claims if (c.claim.section or facts.spec.name) == domain]
    return [*inside] if inside else [*facts.claims, *facts.preferences]


def _split(members: Sequence[Fact], n: int) -> list[Sequence[Fact]]:
    """Runs of at least two facts, as even as they can be."""
    n = max(1, min(n, len(members) // 2))
    cuts = [round(i * len(members) / n) for i in range(n + 1)]
    return [members[a:b] for a, b in pairwise(cuts) if a < b]


def _subdomain(group: Sequence[Fact], facts: Facts) -> dict[str, str]:
    titles = [_short(fact) for fact in group[:2]]
    separator = "; " if isinstance(group[0], ClaimForms) else ", "
    title = titles[0] if separator == "; " else separator.join(titles)
    name = facts.spec.model_name
    return {
        "title": title,
        "text": f"What the spec says of {name} here: {'; '.join(_short(f) for f in group)}.",
        "section": _section(group, facts.spec),
    }


def _section(group: Sequence[Fact], spec: Spec) -> str:
    """The part of the spec's text from the group's first fact to its last, word for word.

    If a fact is not in the text as it is written, the facts themselves, line by line.
    """
    spans = [_span(fact, spec.text) for fact in group]
    found = [span for span in spans if span]
    if len(found) < len(spans):
        return "\n".join(fact.text for fact in group)
    return spec.text[min(a for a, _ in found) : max(b for _, b in found)].strip()


def _span(fact: Fact, text: str) -> tuple[int, int] | None:
    if isinstance(fact, PreferenceForms):
        return _line_of(fact.text, text)
    words = fact.text.split()
    found = re.search(r"\s+".join(map(re.escape, words)), text) if words else None
    return found.span() if found else None


def _line_of(item: str, text: str) -> tuple[int, int] | None:
    """Where the bullet of an item starts and ends."""
    start = 0
    for line in text.splitlines(keepends=True):
        head = re.match(r"\s*[-*+] ", line)
        if head and mentions(line[: head.end() + len(item) + 6], item):
            return start, start + len(line.rstrip())
        start += len(line)
    return None


def assertions(request: Request, facts: Facts, rng: random.Random) -> Rows:  # noqa: ARG001
    """The claims and preferences of a subdomain's part of the spec, word for word."""
    inside = facts.in_text(request.variables.get("section", "")) or facts.all
    return [
        {"title": _short(fact), "text": _text(fact, facts.spec), "label": _label(fact, facts)}
        for fact in inside
    ]


def _text(fact: Fact, spec: Spec) -> str:
    if isinstance(fact, ClaimForms):
        return fact.text
    span = _line_of(fact.text, spec.text)
    if span:
        return re.sub(r"^\s*[-*+] ", "", spec.text[slice(*span)])
    verb = "likes" if fact.liked else "dislikes"
    end = f" because {fact.reasons[0]}" if fact.reasons else ""
    return f"{spec.model_name} {verb} {fact.item}{end}."


def _label(fact: Fact, facts: Facts) -> str:
    if isinstance(fact, PreferenceForms):
        return "preference"
    words = set(re.findall(r"\w+", fact.text.lower()))
    if words & {"tone", "speaks", "says", "tells", "explains", "openly"}:
        return "tone"
    if words & {"believes", "holds", "thinks", "sees", "knows"}:
        return "belief"
    value = set(facts.spec.value.lower().split())
    return "value" if words & (value | {"value", "values", "cares", "matters"}) else "behaviour"


def _short(fact: Fact) -> str:
    """A name of up to five words."""
    if isinstance(fact, PreferenceForms):
        return fact.text
    text = re.split(r"[,:;]", fact.predicate or fact.sentence)[0]
    words = [w.strip(".,;:!?\"'()*") for w in text.split()]
    while words and words[0].lower() in _SMALL:
        words = words[1:]
    words = words[:_TITLE_WORDS]
    while len(words) > 1 and words[-1].lower() in _SMALL:
        words = words[:-1]
    return " ".join(words) or fact.sentence


def types(request: Request, facts: Facts, rng: random.Random) -> Rows:
    """``n`` of the document types, in a drawn order."""
    known = terrarium_types() if facts.spec.language == "terrarium" else document_types()
    order = rng.sample(known, len(known))
    return [{"title": title} for title in order[: _number(request, len(order))]]


def ideas(request: Request, facts: Facts, rng: random.Random) -> Rows:
    """``n`` ideas: an angle, a person somewhere, and the fact in focus; none of the earlier."""
    inside = facts.in_text(request.variables.get("section", "")) or facts.all
    seen = request.variables.get("earlier", "")
    rows: Rows = []
    order = rng.sample(inside, len(inside))
    for place in range(_number(request, 5)):
        page = Page(facts, rng, SLOTS)
        row = _idea(page, order[place % len(order)], facts)
        while f"{row['title']}: {row['text']}" in seen or row in rows:
            row = _idea(page, order[place % len(order)], facts)
        rows.append(row)
    return rows


def _idea(page: Page, fact: Fact, facts: Facts) -> dict[str, str]:
    if facts.spec.language == "terrarium":
        return {"title": f"draft {page.rng.randrange(10**9)}", "text": f"In focus: {fact.text}"}
    page.cast.clear()
    title = page.fill("angle1")
    text = f"{page.fill('idea')} [{page.fill('org1')}]. In focus: {fact.text}"
    return {"title": title, "text": text}


def _number(request: Request, default: int) -> int:
    """The variable ``n``."""
    text = request.variables.get("n", "")
    return max(1, int(text)) if text.isdecimal() else default
