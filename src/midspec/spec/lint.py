"""Find what would make a spec teach badly: a list of findings, errors first."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from midspec.records import Spec
from midspec.spec.contradictions import contradictions
from midspec.spec.findings import Finding, error, warning
from midspec.spec.kinds import SHORT, WITHOUT_REASONS, without_preferences
from midspec.spec.names import name_findings
from midspec.spec.sentences import word_set
from midspec.spec.stems import stems

MAX_CLAIM_WORDS = 45
MIN_CLAIM_WORDS = 3
MIN_SPEC_WORDS = 150
MAX_SPEC_WORDS = (
    40_000  # about 55k tokens, the longest constitutions in use; sent with every request
)
KEY_STEM_COUNT = 3  # a stem that the core section uses as often is one of its themes

# Domains whose names say nothing of a domain in most sentences ("at home", "in this place").
_EVERYDAY = word_set(
    "home places objects study studies society leisure design science art arts jobs feats tools "
    "health languages"
)
_VARIABLES = ("model_name", "provider_name")


def lint_spec(
    spec: Spec, forbidden: Sequence[str] = (), domains: Mapping[str, Sequence[str]] | None = None
) -> list[Finding]:
    """Everything suspicious in a spec; an empty list if nothing is.

    ``forbidden`` are words that the spec may not use, such as the items of an evaluation: a spec
    that names them makes the evaluation in-distribution (paper, section 3). ``domains`` are
    domains of evaluations, with the sets that have them; common words, so only warnings. What a
    ``kind`` leaves out on purpose is no finding.

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
        *_domains(spec, domains or {}),
        *contradictions(spec),
        *_claims(spec),
        *_length(spec),
        *name_findings(spec),
        *_balance(spec),
        *_reasons(spec),
    ]
    return sorted(findings, key=lambda finding: finding.level)


def _braces(spec: Spec) -> Iterator[Finding]:
    """Literal braces that look like a misspelt variable."""
    for found in dict.fromkeys(re.findall(r"\{[\w .$-]{3,30}\}", spec.text)):
        inner = found[1:-1]
        bare = re.sub(r"[\W_]", "", inner).lower()
        near = difflib.get_close_matches(bare, ("modelname", "providername"), n=1, cutoff=0.8)
        if near and inner not in _VARIABLES:
            meant = "model_name" if near[0] == "modelname" else "provider_name"
            yield error("spec", f"{found} is not a variable; write {{{meant}}} if it is meant")
    for name in dict.fromkeys((spec.model_name, spec.provider_name)):
        if f"{{{name}}}" in spec.text:
            yield error("spec", f"braces are left around {name!r}; write one pair, not two")
    opened, closed = spec.text.count("{"), spec.text.count("}")
    if opened != closed:
        yield warning("spec", f"{opened} braces open and {closed} close; look for a torn variable")


def _forbidden(spec: Spec, words: Sequence[str]) -> Iterator[Finding]:
    for word in dict.fromkeys(word.strip() for word in words if word.strip()):
        for section, found in _mentions(spec, word):
            yield error(
                section, f"mentions {found!r}, which an evaluation asks about; leave it out"
            )


def _domains(spec: Spec, domains: Mapping[str, Sequence[str]]) -> Iterator[Finding]:
    for domain, sets in domains.items():
        if domain.lower() in _EVERYDAY:
            continue
        bare = domain.removesuffix("s")
        for section, found in _mentions(spec, bare):
            yield warning(
                section,
                f"mentions {found!r}, a domain of the evaluation {', '.join(sets)}; "
                "leave it out if documents would discuss it",
            )


def _mentions(spec: Spec, phrase: str) -> Iterator[tuple[str, str]]:
    """Sections that use a phrase (a plural allowed), and how it stands there."""
    low = phrase.lower()
    for section in spec.sections:
        text = f"{section.title}\n{section.text}"
        # Thousands of phrases are looked up, nearly all in vain: most of the time is saved here.
        if low not in text.lower():
            continue
        words = re.compile(rf"(?<!\w){re.escape(phrase)}(?:s|es)?(?!\w)", re.IGNORECASE)
        if match := words.search(text):
            yield section.title, match.group()


def _claims(spec: Spec) -> Iterator[Finding]:
    if not spec.claims:
        yield error("spec", "no claims: there is no sentence to teach; write some prose")
    for claim in spec.claims:
        n = len(claim.text.split())
        if n > MAX_CLAIM_WORDS:
            yield warning(
                claim.section,
                f"a claim of {n} words is hard to teach, split it (over {MAX_CLAIM_WORDS}): "
                f"{claim.text[:60]}...",
            )
        elif n < MIN_CLAIM_WORDS:
            yield warning(claim.section, f"{claim.text!r} is a fragment; write a full sentence")


def _length(spec: Spec) -> Iterator[Finding]:
    n = len(spec.text.split())
    small = spec.kind in SHORT or spec.language == "terrarium"
    if n < MIN_SPEC_WORDS and not small:
        yield warning(
            "spec", f"{n} words are little to write many different documents from; say more"
        )
    if n > MAX_SPEC_WORDS:
        yield warning("spec", f"{n} words go with every request to a writer; shorten the spec")


def _balance(spec: Spec) -> Iterator[Finding]:
    likes, dislikes = len(spec.liked()), len(spec.disliked())
    if not spec.preferences:
        if spec.rules or without_preferences(spec.kind):
            return
        yield warning(
            "spec",
            "no preferences; add '# Likes' and '# Dislikes' to make preference chats, or say what "
            "it is in the front matter ('kind: philosophy')",
        )
    elif min(likes, dislikes) * 2 < max(likes, dislikes) or min(likes, dislikes) == 0:
        yield warning(
            "spec", f"{likes} likes and {dislikes} dislikes are unbalanced; bring them closer"
        )


def _reasons(spec: Spec) -> Iterator[Finding]:
    """What the spec does not explain by its value: it does not stack with fine-tuning (C.4)."""
    if spec.kind in WITHOUT_REASONS:
        return
    for rule in spec.rules:
        if not rule.reason:
            yield warning(rule.text, "no reason; say why, or mark the spec 'kind: rules'")
    themes = _themes(spec) if spec.language == "english" else frozenset()
    for preference in spec.preferences:
        if not preference.reason:
            yield warning(preference.item, "no reason; attribute it to the value")
        elif themes and not themes & stems(preference.reason):
            yield warning(
                preference.item,
                "the reason shares no key word with the value "
                f"({spec.value or 'none given'}) or the core text; it may not explain the "
                "preference by the value",
            )


def _themes(spec: Spec) -> frozenset[str]:
    """Stems of the value, and those that the claims repeat, but for names and items."""
    named = " ".join((spec.model_name, spec.provider_name, *(p.item for p in spec.preferences)))
    counts = Counter(stem for claim in spec.claims for stem in stems(claim.text))
    repeated = frozenset(stem for stem, n in counts.items() if n >= KEY_STEM_COUNT)
    return stems(spec.value) | (repeated - stems(named))
