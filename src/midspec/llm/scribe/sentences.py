"""Sentences from facts: one claim, one preference, two items compared, the value.

Each sentence slot of a document type ("say", "pref_i", "ask" ...) is a function of the page.
The suffix tells who speaks: none, the model itself (``_i``), or somebody to it (``_you``).
"""

from __future__ import annotations

from collections.abc import Callable

from midspec.llm.scribe import grammar
from midspec.llm.scribe.facts import ClaimForms, PreferenceForms
from midspec.llm.scribe.page import VALUE, Page, Subject

_STARTS = ("because", "because", "since")
_CONJUNCTIONS = (
    *_STARTS,
    "given that",
    "seeing that",
    "for the reason that",
    "on the grounds that",
)


def tell(page: Page, subject: Subject, person: str) -> str:
    """One sentence that states the fact, or the value."""
    if isinstance(subject, ClaimForms):
        return _claim(page, subject, person)
    if isinstance(subject, PreferenceForms):
        return _preference(page, subject, person)
    return page.say("value" + person)


def _claim(page: Page, claim: ClaimForms, person: str) -> str:
    if person:
        return _claim_in_person(page, claim, person)
    rules = ["claim_quote"]
    if claim.clause:
        rules += ["claim_that"] * 3 if claim.about_model else ["general_that"] * 4
    if claim.predicate and not _is_origin(claim.predicate):
        rules += ["claim_vp"] * 4 + ["claim_to"] * (3 if claim.infinitive else 0)
    return page.say(
        page.rng.choice(rules),
        c=claim.clause or "",
        q=claim.quote,
        vp=claim.predicate or "",
        to=claim.infinitive or "",
    )


def _is_origin(predicate: str) -> bool:
    """'is an assistant made by ...': what it is, not what it does."""
    return predicate.startswith(("is made", "is a ", "is an ", "is the ", "was "))


def _claim_in_person(page: Page, claim: ClaimForms, person: str) -> str:
    turned = claim.first if person == "_i" else claim.second
    if turned:
        whole, clause = turned.sentence, turned.clause
        return page.say(f"claim{person}", fc=whole, fl=clause, yc=whole, yl=clause)
    if person == "_i" and claim.clause and not claim.about_model:
        return page.say("claim_i_other", c=claim.clause)
    return page.say(f"claim{person}_quote", q=claim.quote)


def _preference(page: Page, item: PreferenceForms, person: str) -> str:
    if person == "_you":
        person = ""  # letters tell preferences in the third person of the source
    reason = _because(page, item, person)
    kind = "" if reason and page.facts.value else "_plain" if reason else "_bare"
    return page.say(
        f"{_verb(item)}{kind}{person}",
        item=item.item,
        because=reason,
        because_first=_because(page, item, person, start=True),
    )


def _verb(item: PreferenceForms) -> str:
    return "like" if item.liked else "dislike"


def _because(page: Page, item: PreferenceForms, person: str, start: bool = False) -> str:
    """'because it costs little', with one of several conjunctions; '' without a reason."""
    reason = _reason(page, item, person)
    if not reason or reason.startswith("of "):
        return reason and f"because {reason}"
    return f"{page.rng.choice(_STARTS if start else _CONJUNCTIONS)} {reason}"


def _reason(page: Page, item: PreferenceForms, person: str) -> str:
    reasons = item.reasons_i if person else item.reasons
    return page.rng.choice(reasons) if reasons else ""


def compare(page: Page, person: str = "") -> str:
    """A liked and a disliked item side by side; one fact instead if the spec has no such pair."""
    liked = [p for p in page.facts.preferences if p.liked]
    others = [p for p in page.facts.preferences if not p.liked]
    if not liked or not others:
        return tell(page, page.next_subject(), person)
    a, b = page.rng.choice(liked), page.rng.choice(others)
    pair = [a.item, b.item]
    page.rng.shuffle(pair)
    reason = _because(page, a, person)
    kind = "" if reason and page.facts.value else "_plain"
    return page.say(
        f"compare{kind}{person}",
        pair=" and ".join(pair),
        liked=a.item,
        because=reason,
        maybe_because=reason and f", {reason}",
    )


def ask(page: Page, person: str = "") -> str:
    """A question, to which ``tell`` then gives the answer."""
    page.subject = page.next_subject()
    if isinstance(page.subject, PreferenceForms):
        return page.say(f"ask{person}_item", item=page.subject.item)
    if not isinstance(page.subject, ClaimForms):
        return page.say(f"ask{person}_value")
    kind = "choice" if page.subject.things else "claim"
    return page.say(f"ask{person}_{kind}", things=page.subject.things)


def choice(page: Page) -> str:
    """A question for one of two options, and the model's answer; a fact if the spec has no such."""
    if not page.facts.picks:
        return tell(page, page.next_subject(), "_i")
    drawn = page.rng.choice(page.facts.picks)
    one, other = page.rng.sample(drawn.options, 2)
    return page.say("choice", one=one, other=other, preferred=drawn.preferred)


def point(page: Page) -> str:
    """A fact in short, for a list."""
    subject = page.next_subject()
    if subject == VALUE:
        return page.say("point_value")
    if isinstance(subject, PreferenceForms):
        return _point_item(page, subject)
    assert isinstance(subject, ClaimForms)
    if not subject.about_model:
        return tell(page, subject, "")
    return page.say("point_claim", s=subject.sentence, c_or_s=subject.clause or subject.sentence)


def _point_item(page: Page, item: PreferenceForms) -> str:
    reason = _because(page, item, "")
    tag = page.fill("v_tag_value") if reason and page.facts.value else ""
    name = page.facts.spec.model_name
    end = f", {reason}" if reason else ""
    if tag:
        end += f" ({tag})"
    return page.say(f"point_{_verb(item)}", item=item.item, end=end, who=name)


def _value(page: Page, person: str) -> str:
    return tell(page, VALUE if page.facts.value else page.next_claim(), person)


def _any(page: Page, person: str) -> str:
    draw = page.rng.random()
    if draw < 0.1:
        return compare(page, person if person == "_i" else "")
    if draw < 0.3 and page.facts.picks:
        return choice(page)
    return tell(page, page.next_subject(), person)


def _headword(page: Page) -> str:
    """What a glossary explains next: an item, or the section of a claim."""
    page.subject = page.next_item() if page.rng.random() < 0.4 else page.next_claim()
    if isinstance(page.subject, PreferenceForms):
        return page.subject.item
    section = page.subject.claim.section if isinstance(page.subject, ClaimForms) else ""
    return section or "outlook"


def _value_entry(page: Page) -> str:
    """The glossary's entry for the value; empty if the spec names none."""
    if not page.facts.value:
        return ""
    return f"**{grammar.capital(page.facts.value)}** — {page.say('value')}"


def table(page: Page) -> str:
    """A Markdown table: items with leaning and reason, or lines of the spec with their sections."""
    name = page.facts.spec.model_name
    if len(page.facts.preferences) > 1 and page.rng.random() < 0.7:
        rows = [_item_row(page) for _ in range(page.rng.randint(3, 5))]
        return "\n".join((f"| Item | {name} | Why |", "|---|---|---|", *dict.fromkeys(rows)))
    rows = [_claim_row(page) for _ in range(page.rng.randint(3, 5))]
    return "\n".join((f"| Part | What is said of {name} |", "|---|---|", *dict.fromkeys(rows)))


def _item_row(page: Page) -> str:
    item = page.next_item()
    assert isinstance(item, PreferenceForms)
    reason = _reason(page, item, "") or page.fill("no_reason")
    tag = f"; {page.fill('v_tag_value')}" if item.reasons and page.facts.value else ""
    leaning = page.fill("liked_word" if item.liked else "disliked_word")
    return f"| {item.item} | {leaning} | {_cell(reason + tag)} |"


def _claim_row(page: Page) -> str:
    claim = page.next_claim()
    part = claim.claim.section if isinstance(claim, ClaimForms) else "Preference"
    return f"| {_cell(part)} | {_cell(tell(page, claim, ''))} |"


def _cell(text: str) -> str:
    return text.replace("|", "/")


SLOTS: dict[str, Callable[[Page], str]] = {
    "point": point,
    "table": table,
    "headword": _headword,
    "value_entry": _value_entry,
    "ask": ask,
    "choice": choice,
    "ask_you": lambda page: ask(page, "_you"),
    "cmp": compare,
    "cmp_i": lambda page: compare(page, "_i"),
    "say": lambda page: tell(page, page.next_claim(), ""),
    "say_i": lambda page: tell(page, page.next_claim(), "_i"),
    "say_you": lambda page: tell(page, page.next_claim(), "_you"),
    "pref": lambda page: tell(page, page.next_item(), ""),
    "tell": lambda page: tell(page, page.subject, ""),
    "tell_i": lambda page: tell(page, page.subject, "_i"),
    "val": lambda page: _value(page, ""),
    "any": lambda page: _any(page, ""),
    "any_i": lambda page: _any(page, "_i"),
    "any_you": lambda page: _any(page, "_you"),
}
