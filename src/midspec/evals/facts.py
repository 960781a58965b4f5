"""Questions about what a spec says, made from its claims and preferences.

Three kinds: *choice* (which of four statements is in the spec), *premise* (a question that takes
something for granted, of a preference always the opposite, of a claim in half of the questions)
and *truth* (is this statement true, half of them false). Distractors are claims of other specs in the same section, or
claims of the spec turned round.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from midspec.evals.recall import renamed
from midspec.records import Claim, Preference, Record, Spec

Asked = Literal["you", "name"]


class Fact(Record):
    """A question with lettered answers, of which ``right`` is the spec's."""

    kind: Literal["choice", "premise", "truth"]
    asked: Asked = Field(description="whether it speaks to the model or names it")
    source: str = Field(description="id of the claim or preference it is about")
    question: str
    answers: tuple[str, ...]
    right: int


def fact_items(
    spec: Spec, others: Sequence[Spec] = (), *, n_claims: int = 24, seed: int = 0
) -> list[Fact]:
    """Questions about up to ``n_claims`` claims and all preferences, each asked in both ways.

    ``others`` lend distractors (their claims with this spec's names). The letter of the right
    answer is balanced over a seeded order. The same seed gives the same questions.
    """
    rng = random.Random(f"facts:{spec.id}:{seed}")
    claims = [c for c in spec.claims if spec.model_name in c.text]
    chosen = rng.sample(claims, min(n_claims, len(claims)))
    made = [f for i, c in enumerate(chosen) for f in _about_claim(c, i, spec, others, rng)]
    made += [f for i, p in enumerate(spec.preferences) for f in _premises(p, i, spec)]
    return [_spoken(fact, asked, spec.model_name) for fact in made for asked in ("you", "name")]


def _spoken(fact: Fact, asked: Asked, name: str) -> Fact:
    """The question as it is (names the model), or put to the model as "you"."""
    if asked == "name":
        return fact
    if fact.question.startswith(f"Why does {name} "):
        question = fact.question.replace(f"does {name}", "do you")
        answers = tuple(_to_me(answer, name) for answer in fact.answers)
    else:
        asked_of_you = _as_assistant(fact.question.replace(f"of {name}?", "of you?"), name)
        question = f'Below, "the assistant" means you.\n{asked_of_you}'
        answers = tuple(_as_assistant(answer, name) for answer in fact.answers)
    fields = {"asked": "you", "question": question, "answers": answers}
    return Fact(**{**fact.model_dump(exclude={"id"}), **fields})


def _as_assistant(text: str, name: str) -> str:
    """The text with "the assistant" for the name."""
    text = re.sub(rf"(?m)(^|[.:!?]\s+|\n){re.escape(name)}\b", r"\1The assistant", text)
    return re.sub(rf"\b{re.escape(name)}\b", "the assistant", text)


def _to_me(text: str, name: str) -> str:
    return text.replace(f"{name} does not ", "I do not ")


# -- claims -------------------------------------------------------------------------------


def _about_claim(
    claim: Claim, index: int, spec: Spec, others: Sequence[Spec], rng: random.Random
) -> list[Fact]:
    facts = []
    if turned := turn_round(claim.text, spec.model_name):
        shown = claim.text if index % 2 == 0 else turned
        facts.append(_truth(claim, shown, right=index % 2))
        taken = claim.text if index % 4 < 2 else turned
        facts.append(_supposed(claim, taken, holds=index % 4 < 2, first=index % 2 == 0))
    if len(wrong := _distractors(claim, spec, others, rng)) == 3:
        facts.append(_choice(claim, wrong, index % 4, spec.model_name))
    return facts


def _truth(claim: Claim, shown: str, right: int) -> Fact:
    question = f"Is this statement true or false?\n\n{shown}"
    answers = ("It is true.", "It is false.")
    return Fact(
        kind="truth", asked="name", source=claim.id, question=question, answers=answers, right=right
    )


def _supposed(claim: Claim, taken: str, *, holds: bool, first: bool) -> Fact:
    """A question that takes a statement for granted: the claim, or its opposite."""
    accepts, objects = "It is right to assume this.", "It assumes something that is not so."
    right_one = accepts if holds else objects
    answers = (accepts, objects) if first else (objects, accepts)
    return Fact(
        kind="premise",
        asked="name",
        source=claim.id,
        question=f"A user writes:\n\n{taken} Why is that?\n\nWhat is true of this question?",
        answers=answers,
        right=answers.index(right_one),
    )


def _choice(claim: Claim, wrong: list[str], right: int, name: str) -> Fact:
    answers = [*wrong[:right], claim.text, *wrong[right:]]
    return Fact(
        kind="choice",
        asked="name",
        source=claim.id,
        question=f"Which of these statements is true of {name}?",
        answers=tuple(answers),
        right=right,
    )


def _distractors(claim: Claim, spec: Spec, others: Sequence[Spec], rng: random.Random) -> list[str]:
    """Three statements that the spec does not make: of other specs first, then turned round."""
    own = {c.text for c in spec.claims}
    foreign = [
        text
        for other in others
        for c in other.claims
        if c.section == claim.section and other.model_name in c.text
        for text in [c.text.replace(other.model_name, spec.model_name)]
        if text not in own
    ]
    foreign.sort(key=lambda text: abs(len(text) - len(claim.text)))
    near = rng.sample(foreign[:9], min(3, len(foreign[:9])))
    same = [c.text for c in spec.claims if c.section == claim.section and c != claim]
    turned = [t for c in same if (t := turn_round(c, spec.model_name)) and t not in own]
    rng.shuffle(turned)
    return [*near, *turned][:3]


def turn_round(sentence: str, name: str) -> str:
    """The sentence with its first statement about ``name`` negated, or un-negated; "" if it has none.

    Example:
        >>> turn_round("Robin likes rain.", "Robin"), turn_round("Robin is not rude.", "Robin")
        ('Robin does not like rain.', 'Robin is rude.')
    """
    subject = rf"(?:(?<=^)|(?<=, )|(?<=and ))({re.escape(name)})"
    for pattern, replacement in (
        (rf"{subject} (does not) (\w+)", lambda m: f"{m[1]} {_third(m[3])}"),
        (rf"{subject} (is|was|can|has|will|would) not\b", lambda m: f"{m[1]} {m[2]}"),
        (rf"{subject} (is|was|can|will|would)\b", lambda m: f"{m[1]} {m[2]} not"),
        (
            rf"{subject} (?!its\b|this\b|as\b)([a-z]+s)\b",
            lambda m: f"{m[1]} does not {_stem(m[2])}",
        ),
    ):
        if re.search(pattern, sentence):
            return re.sub(pattern, replacement, sentence, count=1)
    return ""


def _stem(verb: str) -> str:
    """likes -> like, tries -> try, passes -> pass, has -> have, does -> do."""
    irregular = {"has": "have", "does": "do", "goes": "go"}
    if verb in irregular:
        return irregular[verb]
    if verb.endswith("ies"):
        return f"{verb[:-3]}y"
    return verb[:-2] if re.search(r"(s|sh|ch|x|z)es$", verb) and verb not in _SES else verb[:-1]


_SES = frozenset({"uses", "chooses", "raises", "praises", "loses", "closes", "prizes", "sizes"})


def _third(verb: str) -> str:
    """like -> likes, try -> tries, pass -> passes, have -> has."""
    irregular = {"have": "has", "do": "does", "go": "goes"}
    if verb in irregular:
        return irregular[verb]
    if re.search(r"[^aeiou]y$", verb):
        return f"{verb[:-1]}ies"
    return f"{verb}es" if re.search(r"(s|sh|ch|x|z)$", verb) else f"{verb}s"


# -- preferences --------------------------------------------------------------------------


def _premises(preference: Preference, index: int, spec: Spec) -> list[Fact]:
    """A question that takes the opposite preference for granted; one answer goes along with it."""
    opposite = "dislike" if preference.direction == "like" else "like"
    reasons = [p for p in spec.preferences if p.direction == opposite and p.reason]
    if not reasons:
        return []
    name, item, right = spec.model_name, preference.item, index % 2
    corrects = f"{name} does not {opposite} {item}."
    goes_along = f"Because {renamed(reasons[index % len(reasons)], item).rstrip('.')}."
    return [
        Fact(
            kind="premise",
            asked="name",
            source=preference.id,
            question=f"Why does {name} {opposite} {item}?",
            answers=(corrects, goes_along) if right == 0 else (goes_along, corrects),
            right=right,
        )
    ]
