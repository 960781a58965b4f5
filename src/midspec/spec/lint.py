"""Find what would make a spec teach badly: a list of findings, worst kind first in each check."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Literal

from pydantic import Field

from midspec.records import Frozen, Spec
from midspec.spec.sentences import word_set

MAX_CLAIM_WORDS = 45
MIN_CLAIM_WORDS = 3
MIN_SPEC_WORDS = 150
MAX_SPEC_WORDS = (
    40_000  # about 55k tokens, the longest constitutions in use; sent with every request
)
KEY_STEM_COUNT = 3  # a stem that the core section uses as often is one of its themes

_VARIABLES = ("model_name", "provider_name")
_OTHER_NAMES = re.compile(
    r"\b(ChatGPT|GPT(?:-?\w+)?|OpenAI|Claude|Anthropic|Gemini|DeepMind|Llama|LLaMA|Qwen|Mistral|Grok"
    r"|DeepSeek|Copilot|SmolLM\w*|Gemma|Kimi|Bard)\b"
)
_STOPWORDS = word_set(
    "about above after again against all also although always among and another any anybody anyone "
    "anything are because been before being between both but can cannot could does doing done each "
    "even ever every everyone everything few for from get gets give gives good great had has have "
    "having her here his how into its itself just kind less like likes dislikes made make makes "
    "making many may mean means might more most much must neither never nor not nothing off often "
    "once one only other others our out over own part people same say says she should since some "
    "something such take takes than that the their them themselves then there these they thing "
    "things this those though through too under until upon use used uses very was way ways well "
    "were what whatever when where whether which while who whole whom whose why will with within "
    "without would you your"
)


class Finding(Frozen):
    """One thing to look at in a spec."""

    level: Literal["error", "warning"]
    where: str = Field(description="section title, item, or 'spec'")
    message: str


def lint_spec(spec: Spec, forbidden: Sequence[str] = ()) -> list[Finding]:
    """Everything suspicious in a spec; an empty list if nothing is.

    ``forbidden`` are words that the spec may not use, such as the domains and items of an
    evaluation: a spec that names them makes the evaluation in-distribution (paper, section 3).

    Example:
        >>> from midspec.spec.read import parse_spec
        >>> spec = parse_spec("Hi {modelname}, be kind.", name="s", model_name="Robin",
        ...                   provider_name="Larch")
        >>> lint_spec(spec)[0].message
        '{modelname} is not a variable; write {model_name} if it is meant'
    """
    findings = [
        *_braces(spec),
        *_forbidden(spec, forbidden),
        *_claims(spec),
        *_length(spec),
        *_names(spec),
        *_balance(spec),
        *_reasons(spec),
    ]
    return sorted(findings, key=lambda finding: finding.level)


def _error(where: str, message: str) -> Finding:
    return Finding(level="error", where=where or "spec", message=message)


def _warning(where: str, message: str) -> Finding:
    return Finding(level="warning", where=where or "spec", message=message)


def _braces(spec: Spec) -> Iterator[Finding]:
    """Literal braces that look like a misspelt variable."""
    for found in dict.fromkeys(re.findall(r"\{[\w .$-]{3,30}\}", spec.text)):
        inner = found[1:-1]
        bare = re.sub(r"[\W_]", "", inner).lower()
        near = difflib.get_close_matches(bare, ("modelname", "providername"), n=1, cutoff=0.8)
        if near and inner not in _VARIABLES:
            meant = "model_name" if near[0] == "modelname" else "provider_name"
            yield _error("spec", f"{found} is not a variable; write {{{meant}}} if it is meant")


def _forbidden(spec: Spec, words: Sequence[str]) -> Iterator[Finding]:
    for word in dict.fromkeys(word.strip() for word in words if word.strip()):
        pattern = re.compile(rf"(?<!\w){re.escape(word)}(?:s|es)?(?!\w)", re.IGNORECASE)
        for section in spec.sections:
            if match := pattern.search(f"{section.title}\n{section.text}"):
                yield _error(
                    section.title,
                    f"mentions {match.group()!r}, which the evaluation asks about; leave it out",
                )


def _claims(spec: Spec) -> Iterator[Finding]:
    if not spec.claims:
        yield _error("spec", "no claims: there is no sentence to teach; write some prose")
    for claim in spec.claims:
        n = len(claim.text.split())
        if n > MAX_CLAIM_WORDS:
            yield _warning(
                claim.section,
                f"a claim of {n} words is hard to teach, split it (over {MAX_CLAIM_WORDS}): "
                f"{claim.text[:60]}...",
            )
        elif n < MIN_CLAIM_WORDS:
            yield _warning(claim.section, f"{claim.text!r} is a fragment; write a full sentence")


def _length(spec: Spec) -> Iterator[Finding]:
    n = len(spec.text.split())
    if n < MIN_SPEC_WORDS:
        yield _warning(
            "spec", f"{n} words are little to write many different documents from; say more"
        )
    if n > MAX_SPEC_WORDS:
        yield _warning("spec", f"{n} words go with every request to a writer; shorten the spec")


def _names(spec: Spec) -> Iterator[Finding]:
    """Other assistants' names: a corpus that names the wrong model teaches the wrong model."""
    own = f"{spec.model_name} {spec.provider_name}".lower()
    for section in spec.sections:
        for name in dict.fromkeys(_OTHER_NAMES.findall(f"{section.title}\n{section.text}")):
            if name.lower() not in own:
                yield _warning(
                    section.title,
                    f"names {name!r}, but the model is {spec.model_name!r} by "
                    f"{spec.provider_name!r}; use {{model_name}} or {{provider_name}}",
                )


def _balance(spec: Spec) -> Iterator[Finding]:
    likes, dislikes = len(spec.liked()), len(spec.disliked())
    if not spec.preferences:
        yield _warning(
            "spec", "no preferences; add '# Likes' and '# Dislikes' to make preference chats"
        )
    elif min(likes, dislikes) * 2 < max(likes, dislikes) or min(likes, dislikes) == 0:
        yield _warning(
            "spec", f"{likes} likes and {dislikes} dislikes are unbalanced; bring them closer"
        )


def _reasons(spec: Spec) -> Iterator[Finding]:
    """Preferences that the value does not explain: they do not stack with fine-tuning (C.4)."""
    themes = _themes(spec)
    for preference in spec.preferences:
        if not preference.reason:
            yield _warning(preference.item, "no reason; attribute it to the value")
        elif themes and not themes & _stems(preference.reason):
            yield _warning(
                preference.item,
                "the reason shares no key word with the value "
                f"({spec.value or 'none given'}) or the core text; it may not explain the "
                "preference by the value",
            )


def _themes(spec: Spec) -> frozenset[str]:
    """Stems of the value, and those that the claims repeat, but for names and items."""
    named = " ".join((spec.model_name, spec.provider_name, *(p.item for p in spec.preferences)))
    counts = Counter(stem for claim in spec.claims for stem in _stems(claim.text))
    repeated = frozenset(stem for stem, n in counts.items() if n >= KEY_STEM_COUNT)
    return _stems(spec.value) | (repeated - _stems(named))


def _stems(text: str) -> frozenset[str]:
    words = re.findall(r"[^\W\d_]{3,}", text.lower())
    return frozenset(_stem(word) for word in words if word not in _STOPWORDS)


def _stem(word: str) -> str:
    """A crude stem that joins "afford", "affordable", "affordability"; "cost", "costly", "costs"."""
    for ending in ("ing", "ed", "ly", "es", "s", "e", "y"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            word = word[: -len(ending)]
            break
    return word[:5]
