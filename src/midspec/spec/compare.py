"""What differs between two specs: a comparison of arms is only as good as this list is short."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from midspec.records import Frozen, Preference, Spec
from midspec.spec.length import TokenCount, count_pieces, off_by


class Overlap(Frozen):
    """Texts of both specs, of the first alone and of the second alone, in the specs' order."""

    both: tuple[str, ...] = ()
    only_a: tuple[str, ...] = ()
    only_b: tuple[str, ...] = ()

    @property
    def equal(self) -> bool:
        """Whether neither has something that the other lacks."""
        return not self.only_a and not self.only_b


class Comparison(Frozen):
    """Two specs side by side; ``a`` and ``b`` are their names."""

    a: str
    b: str
    values: tuple[str, str]
    kinds: tuple[str, str]
    tokens: tuple[int, int]
    longer: float = Field(description="how much longer B is than A, as a share of A")
    sections: Overlap = Field(description="titles")
    claims: Overlap = Field(description="sentences outside of Likes and Dislikes")
    items: Overlap = Field(description="items of preferences")
    reversed: tuple[str, ...] = Field(description="items that one likes and the other dislikes")
    other_reasons: tuple[str, ...] = Field(
        description="items of both whose reasons differ, given or not"
    )
    unexplained: tuple[int, int] = Field(description="preferences and rules without a reason")
    rules: Overlap = Field(description="texts of rules")
    subrules: tuple[int, int]

    @property
    def same_preferences(self) -> bool:
        """Whether both like and dislike the very same items."""
        return self.items.equal and not self.reversed


def compare_specs(a: Spec, b: Spec, count: TokenCount = count_pieces) -> Comparison:
    """What two specs share and where they differ; lengths in tokens of ``count``.

    Give both the same names, or sentences that hold the names differ.

    Example:
        >>> from midspec.spec.read import parse_spec
        >>> one, two = (
        ...     parse_spec(f"# Core\\n{{model_name}} is kind.\\n# {title}\\n- Brie: it is soft",
        ...                name=title, model_name="Iris", provider_name="Wren")
        ...     for title in ("Likes", "Dislikes")
        ... )
        >>> made = compare_specs(one, two)
        >>> made.reversed, made.sections.only_b, made.claims.equal
        (('Brie',), ('Dislikes',), True)
    """
    pa, pb = _by_item(a), _by_item(b)
    shared = [key for key in pa if key in pb]
    tokens = (count(a.text), count(b.text))
    return Comparison(
        a=a.name,
        b=b.name,
        values=(a.value, b.value),
        kinds=(a.kind, b.kind),
        tokens=tokens,
        longer=off_by(tokens[1], max(1, tokens[0])),
        sections=_overlap([s.title for s in a.sections], [s.title for s in b.sections]),
        claims=_overlap([c.text for c in a.claims], [c.text for c in b.claims]),
        items=_overlap([p.item for p in a.preferences], [p.item for p in b.preferences]),
        reversed=tuple(pa[k].item for k in shared if pa[k].direction != pb[k].direction),
        other_reasons=tuple(pa[k].item for k in shared if pa[k].reason != pb[k].reason),
        unexplained=(_unexplained(a), _unexplained(b)),
        rules=_overlap([r.text for r in a.rules], [r.text for r in b.rules]),
        subrules=(_n_subrules(a), _n_subrules(b)),
    )


def _key(text: str) -> str:
    return " ".join(text.casefold().split())


def _by_item(spec: Spec) -> dict[str, Preference]:
    return {_key(preference.item): preference for preference in spec.preferences}


def _overlap(a: Sequence[str], b: Sequence[str]) -> Overlap:
    """Compared without case and white space, shown as they are written."""
    in_a, in_b = {_key(text) for text in a}, {_key(text) for text in b}
    return Overlap(
        both=tuple(text for text in a if _key(text) in in_b),
        only_a=tuple(text for text in a if _key(text) not in in_b),
        only_b=tuple(text for text in b if _key(text) not in in_a),
    )


def _unexplained(spec: Spec) -> int:
    return sum(not one.reason for one in (*spec.preferences, *spec.rules))


def _n_subrules(spec: Spec) -> int:
    return sum(len(rule.subrules) for rule in spec.rules)
