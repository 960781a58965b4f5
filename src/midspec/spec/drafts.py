"""Drafts of a writer: asked for, checked, and given back with what is wrong, a few times."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import TypeVar

from pydantic import BaseModel, Field

from midspec.errors import WriterError
from midspec.llm import Desk, Request, Unusable, lists, render
from midspec.records import Frozen, Spec
from midspec.spec.length import TOLERANCE, TokenCount, matches, off_by

S = TypeVar("S", bound=BaseModel)
T = TypeVar("T")


class VariantConfig(Frozen):
    """How variants are derived."""

    seed: int = Field(default=0, description="another seed gives other drafts and other shuffles")
    max_rounds: int = Field(
        default=4, ge=1, description="drafts of one variant at most, the first included"
    )
    max_tokens: int = Field(default=8192, gt=0, description="limit of one draft")
    model_name: str = Field(
        default="Juniper", description="what the writer calls the model; a rare word"
    )
    provider_name: str = Field(default="Alder Labs", description="what it calls the maker")


class Drafter:
    """A desk for drafts about one spec; ``rounds`` counts the drafts that were asked for."""

    def __init__(self, desk: Desk, spec: Spec, config: VariantConfig) -> None:
        self.rounds = 0
        self._desk, self._spec, self._config = desk, spec, config

    async def draft(
        self, prompt: str, variables: dict[str, str], shape: type[S], use: Callable[[list[S]], T]
    ) -> T:
        """What ``use`` makes of the first draft that it takes.

        ``use`` raises ValueError with what is wrong, which goes to the writer with the draft.
        Raises WriterError if a reply is unusable, or if no draft of ``max_rounds`` is taken.
        """
        revision, problem = "", ""
        for number in range(self._config.max_rounds):
            rows = await self._ask(prompt, {**variables, "revision": revision}, shape, number)
            self.rounds += 1
            try:
                return use(rows)
            except ValueError as error:
                problem = " ".join(str(error).split())
            draft = json.dumps([row.model_dump() for row in rows], ensure_ascii=False, indent=1)
            revision = render("spec/revision", draft=draft, problems=problem)
        raise WriterError(
            f"{prompt}: none of {self._config.max_rounds} drafts can be used, the last since "
            f"{problem[:200]}; try another seed or another writer"
        )

    async def _ask(
        self, prompt: str, variables: dict[str, str], shape: type[S], number: int
    ) -> list[S]:
        request = Request(
            prompt=prompt,
            spec=self._spec,
            variables=variables,
            # A draft that comes back unchanged must not be asked for, and answered, once more.
            seed=self._config.seed * 100 + number,
            max_tokens=self._config.max_tokens,
        )
        async for _, rows in lists(self._desk, [request], shape):
            if not isinstance(rows, Unusable):
                return rows
            evidence = " ".join(rows.evidence.split())
            raise WriterError(
                f"{prompt}: no usable reply ({rows.reason}: {evidence[:160]}); "
                "use a language model as writer, or another seed"
            )
        raise AssertionError("one request has one reply")


def length_wish(text: str, target: int, count: TokenCount) -> str:
    """The wished length in words, for a prompt; ``text`` shows how many tokens a word has."""
    if not target:
        return "as long as it takes, and no longer."
    words = round(target * len(text.split()) / max(1, count(text)))
    return f"about {words} words in all, everything counted."


def check_length(text: str, target: int, count: TokenCount) -> None:
    """Raise ValueError, in words for a writer, if a text is not within 5% of the target."""
    tokens, words = count(text), len(text.split())
    if matches(tokens, target):
        return
    change = -off_by(tokens, target)
    raise ValueError(
        f"with {words} words it is too {'short' if change > 0 else 'long'}: make it "
        f"{abs(change):.0%} {'longer' if change > 0 else 'shorter'}, to about "
        f"{round(words * target / max(1, tokens))} words (at most {TOLERANCE:.0%} off)"
    )


def numbered(texts: Sequence[str]) -> str:
    """A numbered list for a prompt."""
    return "\n".join(f"{number}. {text}" for number, text in enumerate(texts, 1))
