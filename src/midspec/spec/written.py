"""The variants that a writer drafts: each a prompt, and what its draft has to satisfy."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TypeVar

from pydantic import BaseModel

from midspec.errors import SpecError
from midspec.records import Rule, Spec
from midspec.spec.compose import clean, one_line, rules_body
from midspec.spec.drafts import Drafter, check_length, length_wish, numbered
from midspec.spec.length import TOLERANCE, TokenCount
from midspec.spec.names import other_names
from midspec.spec.read import parse_spec

T = TypeVar("T")
PARAGRAPH_WORDS = (60, 200)
_REASONED = re.compile(r"\b(?:because|so that|in order to)\b", re.IGNORECASE)


class _Rule(BaseModel):
    rule: str


class _Reason(BaseModel):
    rule: int
    reason: str


class _Subrules(BaseModel):
    rule: int
    subrules: list[str]


class _Paragraph(BaseModel):
    paragraph: str


class _Section(BaseModel):
    title: str
    text: str


class Written:
    """What a writer makes of a spec. ``count`` gives the tokens of a body, names filled in.

    Every method returns a draft that passed its checks, or raises WriterError.
    """

    def __init__(self, drafter: Drafter, spec: Spec, count: TokenCount) -> None:
        self._drafter, self._spec, self._count = drafter, spec, count
        self._names = {"model_name": spec.model_name}

    async def rules(self) -> list[Rule]:
        """The spec as three to twelve rules without reasons."""

        def use(rows: list[_Rule]) -> list[Rule]:
            texts = [one_line(row.rule) for row in rows]
            if not 3 <= len(texts) <= 12:
                raise ValueError(f"it has {len(texts)} rules; write between 3 and 12")
            _check_no_reasons(texts)
            self._check_names(" ".join(texts))
            return [Rule(text=text) for text in texts]

        return await self._drafter.draft("spec/rules", self._names, _Rule, use)

    async def reasons(self, rules: Sequence[Rule], target: int) -> list[Rule]:
        """The rules, each with a reason; those that have one keep it."""

        def use(rows: list[_Reason]) -> list[Rule]:
            given = _in_order({row.rule: one_line(row.reason) for row in rows}, len(rules))
            made = [
                Rule(text=rule.text, reason=rule.reason or why)
                for rule, why in zip(rules, given, strict=True)
            ]
            self._check_rules(made, target)
            return made

        return await self._drafter.draft("spec/reasons", self._about(rules, target), _Reason, use)

    async def subrules(self, rules: Sequence[Rule], target: int) -> list[Rule]:
        """The rules, each with subrules, ``target`` tokens long in all (within 5%)."""

        def use(rows: list[_Subrules]) -> list[Rule]:
            lists = {row.rule: tuple(map(one_line, row.subrules)) for row in rows}
            given = _in_order(lists, len(rules))
            _check_no_reasons([subrule for one in given for subrule in one])
            made = [
                Rule(text=rule.text, subrules=tuple(filter(None, one)))
                for rule, one in zip(rules, given, strict=True)
            ]
            made = self._trimmed(made, target)
            self._check_rules(made, target)
            return made

        return await self._drafter.draft(
            "spec/subrules", self._about(rules, target), _Subrules, use
        )

    async def paragraph(self) -> str:
        """The spec in one paragraph."""
        low, high = PARAGRAPH_WORDS

        def use(rows: list[_Paragraph]) -> str:
            if len(rows) != 1:
                raise ValueError(f"it has {len(rows)} members; write one paragraph")
            text = one_line(rows[0].paragraph)
            if not low <= len(text.split()) <= high:
                raise ValueError(f"it has {len(text.split())} words; write {low} to {high}")
            self._check_names(text)
            return f"# About {{model_name}}\n\n{text}"

        names = {**self._names, "provider_name": self._spec.provider_name}
        return await self._drafter.draft("spec/general", names, _Paragraph, use)

    async def opposite(self, target: int) -> str:
        """The anti-spec, ``target`` tokens long (within 5%)."""

        def use(rows: list[_Section]) -> str:
            body = "\n\n".join(f"# {one_line(r.title).rstrip('.')}\n\n{_text(r)}" for r in rows)
            self._check_names(body)
            self._check_opposite(body)
            check_length(body, target, self._count)
            return body

        wish = length_wish(self._spec.text, target, self._count)
        names = {**self._names, "provider_name": self._spec.provider_name, "length": wish}
        return await self._drafter.draft("spec/anti_spec", names, _Section, use)

    def _about(self, rules: Sequence[Rule], target: int) -> dict[str, str]:
        """Variables of the prompts that go on with a list of rules."""
        wish = length_wish(self._spec.text, target, self._count)
        listed = numbered([rule.text for rule in rules])
        return {**self._names, "rules": listed, "length": wish}

    def _trimmed(self, rules: list[Rule], target: int) -> list[Rule]:
        """The rules without some last subrules, those of the longest lists first, to fit."""
        rules = list(rules)
        while self._count(rules_body(rules)) > target * (1 + TOLERANCE):
            longest = max(range(len(rules)), key=lambda n: len(rules[n].subrules))
            if len(rules[longest].subrules) < 2:
                break
            kept = rules[longest].subrules[:-1]
            rules[longest] = Rule(text=rules[longest].text, subrules=kept)
        return rules

    def _check_rules(self, rules: list[Rule], target: int) -> None:
        """Every rule has what it should have, and the whole has the length."""
        for number, rule in enumerate(rules, 1):
            if not rule.reason and not rule.subrules:
                raise ValueError(f"rule {number} has nothing; write it for every rule")
        body = rules_body(rules)
        self._check_names(body)
        check_length(body, target, self._count)

    def _check_names(self, text: str) -> None:
        if others := other_names(text, self._spec):
            raise ValueError(
                f"it names {others[0]!r}; the assistant is {self._spec.model_name} "
                f"by {self._spec.provider_name}"
            )

    def _check_opposite(self, body: str) -> None:
        """It reads as a spec with the same items the other way round, and as many rules."""
        names = {
            "model_name": self._spec.model_name,
            "provider_name": self._spec.provider_name,
        }
        try:
            made = parse_spec(body, name="the anti-spec", **names)
        except SpecError as error:
            raise ValueError(str(error)) from None
        wanted = {
            (p.item, "dislike" if p.direction == "like" else "like") for p in self._spec.preferences
        }
        if wrong := sorted(wanted ^ {(p.item, p.direction) for p in made.preferences}):
            raise ValueError(f"{wrong[0][0]!r} has to be among the {wrong[0][1]}s, and only there")
        if len(made.rules) != len(self._spec.rules):
            raise ValueError(f"it has {len(made.rules)} rules, not {len(self._spec.rules)}")


def _text(row: _Section) -> str:
    """The text of a section, without headings of its own."""
    return re.sub(r"^\s*#+\s*", "", clean(row.text).strip(), flags=re.MULTILINE)


def _in_order(by_number: dict[int, T], n: int) -> list[T]:
    """The values of the numbers 1 to n."""
    if set(by_number) != set(range(1, n + 1)):
        raise ValueError(f"it has the rules {sorted(by_number)}; number them 1 to {n}, each once")
    return [by_number[number] for number in range(1, n + 1)]


def _check_no_reasons(texts: Sequence[str]) -> None:
    for text in texts:
        if match := _REASONED.search(text):
            raise ValueError(f"{text[:80]!r} gives a reason ({match.group()}); say only what")
