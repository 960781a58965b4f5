"""Which prompts a corpus is written with: those for specs of values, or for specs of rules.

A spec that only lists rules gets documents that show rule-following because the rule says so,
with no values and no invented reasons (paper, B.1).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Literal

from midspec.llm import prompt_hash
from midspec.records import Frozen, Spec

Kind = Literal["value", "rule"]
GivenKind = Literal["auto", "value", "rule"]
Step = Literal[
    "domain", "subdomain", "assertion", "type", "idea", "document", "critique", "rewrite"
]

SCRIBE = "scribe"
DOCUMENT_STEPS: tuple[Step, ...] = ("document", "critique", "rewrite")
PLAN_STEPS: tuple[Step, ...] = ("domain", "subdomain", "assertion", "type", "idea")
_RULE_SPECS = ("rules", "rules-augmented")
_RULES = re.compile(r"\b(?:rules|policies|prohibitions)\b", re.IGNORECASE)
_VALUES = re.compile(r"\b(?:values?|philosophy|character|why)\b", re.IGNORECASE)
_SHARED: dict[Step, str] = {
    "domain": "corpus/domains",
    "subdomain": "corpus/subdomains",
    "rewrite": "corpus/rewrite",
}
_PROMPTS: dict[Kind, dict[Step, str]] = {
    "value": {
        **_SHARED,
        "assertion": "corpus/assertions",
        "type": "corpus/types",
        "idea": "corpus/value_ideas",
        "document": "corpus/value_document",
        "critique": "corpus/value_critique",
    },
    "rule": {
        **_SHARED,
        "assertion": "corpus/rule_assertions",
        "type": "corpus/rule_types",
        "idea": "corpus/rule_ideas",
        "document": "corpus/rule_document",
        "critique": "corpus/rule_critique",
    },
}
# The scribe answers by the name of a prompt and never reads one. It has people and occasions of
# its own, and quotes the spec, so that it can invent no reason: one set serves both kinds.
_SCRIBES: dict[Step, str] = {
    "domain": "corpus/domains",
    "subdomain": "corpus/subdomains",
    "assertion": "corpus/assertions",
    "type": "corpus/types",
    "idea": "corpus/ideas",
    "document": "corpus/document",
}


def spec_kind(spec: Spec, given: GivenKind = "auto") -> Kind:
    """The kind of a spec: what is given, what the spec says of itself, or what it looks like.

    It looks like rules if a section is titled so, none is titled as values, and it has neither
    a value in its front matter, nor preferences, nor rules with reasons.

    Example:
        >>> from midspec.records import Section
        >>> rules = Section(title="Core rules", level=1, text="...")
        >>> spec = Spec(name="s", text="", model_name="I", provider_name="W", sections=(rules,))
        >>> spec_kind(spec), spec_kind(spec, "value")
        ('rule', 'value')
    """
    if given != "auto":
        return given
    if spec.kind:
        return "rule" if spec.kind in _RULE_SPECS else "value"
    if spec.value or spec.preferences or any(rule.reason for rule in spec.rules):
        return "value"
    titles = [section.title for section in spec.sections]
    rules, values = (any(map(word.search, titles)) for word in (_RULES, _VALUES))
    return "rule" if rules and not values else "value"


def prompts_for(spec: Spec, writer: str, kind: GivenKind = "auto") -> dict[Step, str]:
    """The prompt of every step, for a spec and the name of a writer.

    Example:
        >>> spec = Spec(name="s", text="", model_name="Iris", provider_name="Wren Labs")
        >>> prompts_for(spec, "scribe")["idea"], prompts_for(spec, "mockllm/model")["idea"]
        ('corpus/ideas', 'corpus/value_ideas')
    """
    return dict(_SCRIBES if writer == SCRIBE else _PROMPTS[spec_kind(spec, kind)])


def settings(spec: Spec, writer: str, config: Frozen, steps: Sequence[Step]) -> dict[str, Any]:
    """What decides the replies of some steps, for keys and manifests: writer, prompts, options.

    A prompt counts if one of the steps uses it, so that an edited one redoes no more. The scribe
    has one set of prompts for all, and neither critique nor lists of things to avoid.
    """
    if writer == SCRIBE:
        names, unread = list(_SCRIBES.values()), {"kind", "critique", "avoid"}
    else:
        prompts = prompts_for(spec, writer, getattr(config, "kind", "auto"))
        names, unread = [prompts[step] for step in steps], set()
    return {
        "writer": writer,
        "prompts": {name: prompt_hash(name) for name in sorted(names)},
        **config.model_dump(mode="json", exclude=unread),
    }
