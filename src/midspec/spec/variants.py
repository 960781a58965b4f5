"""Variants of a spec, for comparisons that change one thing (paper, section 5 and C.4).

| kind | what it is | made by |
|---|---|---|
| rules | the rules, nothing else | taken out, or a writer if the spec lists none |
| value-augmented | the rules, each explained | taken out, or a writer where reasons are missing |
| rules-augmented | the rules, each with subrules; as long as value-augmented | a writer |
| general | one paragraph | a writer |
| ablated | preferences shuffled and unexplained | `ablate` |
| anti-spec | the opposite of it all; as long as the spec | a writer |
| neutral | nothing about values; as long as the spec | `neutral_text` |
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import Field

from midspec.errors import ConfigError
from midspec.llm import Desk, Writer
from midspec.records import Frozen, Rule, Spec, digest
from midspec.spec.ablation import ablate
from midspec.spec.compose import rules_body, spec_file, unfill
from midspec.spec.drafts import Drafter, VariantConfig
from midspec.spec.kinds import WITHOUT_VALUE, VariantKind
from midspec.spec.length import TokenCount, count_pieces
from midspec.spec.neutral import neutral_text
from midspec.spec.read import fill, parse_spec, split_front_matter
from midspec.spec.written import Written


class Variant(Frozen):
    """A derived spec, ready to be reviewed and frozen as a file."""

    kind: VariantKind
    text: str = Field(description="the file: front matter, a comment on its origin, Markdown")
    tokens: int = Field(description="length of the body, names filled in")
    target: int = Field(default=0, description="length that was asked for, met within 5%; 0: none")
    rounds: int = Field(default=0, description="drafts that a writer was asked for; 0: no writer")


async def derive(
    text: str,
    kind: VariantKind,
    *,
    name: str = "spec",
    writer: Writer | None = None,
    journal: Path | None = None,
    config: VariantConfig | None = None,
    count: TokenCount = count_pieces,
    match: str = "",
) -> Variant:
    """One variant of the spec file ``text``; the result is a spec file with its variables.

    ``match`` is the text of a spec to be as long as (within 5%, in tokens of ``count``); without
    it, rules-augmented is matched to value-augmented, anti-spec and neutral to the spec itself.
    Drafts go through ``journal``: asked again, they come from there. Rules that the spec lists
    are never reworded. Equal seeds and replies give equal variants.

    Raises:
        SpecError: the text is no spec, or the variant cannot be made of it.
        ConfigError: a writer and a journal are needed and not given.
        WriterError: no draft can be used after ``max_rounds`` rounds.

    Example:
        >>> import asyncio
        >>> text = "# Rules\\n1. {model_name} asks first, because it may err.\\n   - It waits."
        >>> made = asyncio.run(derive(text, "rules"))
        >>> made.text.splitlines()[-1], made.rounds
        ('1. {model_name} asks first.', 0)
    """
    maker = _Maker(text, kind, name, config or VariantConfig(), count, match)
    if _needs_no_writer(maker.spec, kind):
        return await maker.make(None, "midspec")
    if writer is None or journal is None:
        raise ConfigError(f"{name}: {kind!r} is drafted by a language model; give --writer")
    async with Desk(writer, journal) as desk:
        return await maker.make(Drafter(desk, maker.spec, maker.config), writer.name)


def _needs_no_writer(spec: Spec, kind: VariantKind) -> bool:
    if kind == "value-augmented":
        return bool(spec.rules) and all(rule.reason for rule in spec.rules)
    return kind in ("ablated", "neutral") or (kind == "rules" and bool(spec.rules))


class _Maker:
    """Makes one variant of one spec."""

    def __init__(
        self,
        text: str,
        kind: VariantKind,
        name: str,
        config: VariantConfig,
        count: TokenCount,
        match: str,
    ) -> None:
        self.kind: VariantKind = kind
        self.text, self.config, self._count = text, config, count
        self.spec = self._parse(text, name)
        self._match = self._tokens(self._parse(match, "--match").text) if match else 0

    async def make(self, drafter: Drafter | None, author: str) -> Variant:
        """The variant; ``drafter`` may be None where no writer is needed."""
        body, target = await self._body(drafter)
        rounds = drafter.rounds if drafter else 0
        tokens = self._tokens(self._filled(body))
        note = (
            f"{self.kind} of {self.spec.name} ({digest(self.text)}), seed {self.config.seed}, "
            f"by {author} in {rounds} drafts"
        )
        body = unfill(body, self.config.model_name, self.config.provider_name)
        text = spec_file(self._front(), note, body)
        return Variant(kind=self.kind, text=text, tokens=tokens, target=target, rounds=rounds)

    async def _body(self, drafter: Drafter | None) -> tuple[str, int]:
        """Markdown, and the length that it had to have."""
        if self.kind == "ablated":
            return split_front_matter(ablate(self.text, self.config.seed))[1], 0
        target = self._match or self._tokens(self.spec.text)
        if self.kind == "neutral":
            return neutral_text(self.spec, target, self._count, self.config.seed), target
        if self.kind == "anti-spec":
            return await self._written(drafter).opposite(target), target
        if self.kind == "general":
            return await self._written(drafter).paragraph(), 0
        return await self._ruled(drafter)

    async def _ruled(self, drafter: Drafter | None) -> tuple[str, int]:
        """The three variants that are lists of rules."""
        bare = [Rule(text=rule.text) for rule in self.spec.rules]
        rules = bare or await self._written(drafter).rules()
        if self.kind == "rules":
            return rules_body(rules), 0
        if self.kind == "value-augmented":
            return rules_body(await self._explained(rules, drafter, self._match)), self._match
        target = self._match
        if not target:
            explained = rules_body(await self._explained(rules, drafter, 0))
            target = self._tokens(self._filled(explained))
        subruled = await self._written(drafter).subrules(rules, target)
        return rules_body(subruled), target

    async def _explained(
        self, rules: Sequence[Rule], drafter: Drafter | None, target: int
    ) -> list[Rule]:
        """The rules with reasons: the spec's own, and a writer's where it gives none."""
        own = [rule.reason for rule in self.spec.rules] or [""] * len(rules)
        known = [Rule(text=r.text, reason=why) for r, why in zip(rules, own, strict=True)]
        if all(own):
            return known
        return await self._written(drafter).reasons(known, target)

    def _written(self, drafter: Drafter | None) -> Written:
        if drafter is None:
            raise ConfigError(f"{self.spec.name}: {self.kind!r} needs a writer; give --writer")
        return Written(drafter, self.spec, lambda body: self._tokens(self._filled(body)))

    def _front(self) -> dict[str, str]:
        """Front matter; kinds that must not give the value away leave it out."""
        spec = self.spec
        return {
            "name": f"{spec.name}-{self.kind}",
            "value": "" if self.kind in WITHOUT_VALUE else spec.value,
            "language": "" if spec.language == "english" else spec.language,
            "kind": self.kind,
        }

    def _parse(self, text: str, name: str) -> Spec:
        names = {"model_name": self.config.model_name, "provider_name": self.config.provider_name}
        return parse_spec(text, name=name, **names)

    def _filled(self, body: str) -> str:
        return fill(body, self.config.model_name, self.config.provider_name).strip()

    def _tokens(self, text: str) -> int:
        return self._count(text)
