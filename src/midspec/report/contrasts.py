"""Which arms are compared, as linear combinations.

crossing           own+AFT − other+AFT: does the spec decide what the same AFT teaches?
msm_crossing       own − other: the same before AFT
interaction        (own+AFT − own) − (AFT − base): does AFT add more after midtraining?
spec_interaction   (own+AFT − own) − (other+AFT − other): ... more after the own spec?
the rest           controls: AFT alone, instruction chats alone, what each stage adds

"Own" is the arm midtrained on the spec whose value is measured.
"""

from __future__ import annotations

from collections.abc import Sequence

from midspec.report.inputs import ArmInfo, SpecInfo
from midspec.report.results import ContrastName

Terms = tuple[tuple[float, str], ...]


def contrast_terms(arms: Sequence[ArmInfo], spec: SpecInfo) -> dict[ContrastName, Terms]:
    """The contrasts that these arms allow, for the value of one spec.

    With more than two specs, "other" is the mean of all other specs' arms.
    """
    own, own_aft = _of(arms, "MSM", spec.label), _of(arms, "MSM+AFT", spec.label)
    other, other_aft = _others(arms, "MSM", spec.label), _others(arms, "MSM+AFT", spec.label)
    base, aft, mix = _of(arms, "base"), _of(arms, "AFT"), _of(arms, "instruction")
    wanted: dict[ContrastName, tuple[tuple[int, Terms], ...]] = {
        "crossing": ((1, own_aft), (-1, other_aft)),
        "msm_crossing": ((1, own), (-1, other)),
        "interaction": ((1, own_aft), (-1, own), (-1, aft), (1, base)),
        "spec_interaction": ((1, own_aft), (-1, own), (-1, other_aft), (1, other)),
        "aft_base": ((1, aft), (-1, base)),
        "aft_instruction": ((1, aft), (-1, mix)),
        "msm_base": ((1, own), (-1, base)),
        "own_aft": ((1, own_aft), (-1, aft)),
        "other_aft": ((1, other_aft), (-1, aft)),
    }
    return {
        name: tuple((sign * weight, arm) for sign, terms in parts for weight, arm in terms)
        for name, parts in wanted.items()
        if all(terms for _, terms in parts)
    }


def _of(arms: Sequence[ArmInfo], role: str, spec: str | None = None) -> Terms:
    """The first arm of a role (and spec)."""
    found = [a.name for a in arms if a.role == role and (spec is None or a.spec == spec)]
    return ((1.0, found[0]),) if found else ()


def _others(arms: Sequence[ArmInfo], role: str, spec: str) -> Terms:
    labels = dict.fromkeys(a.spec for a in arms if a.role == role and a.spec != spec)
    found = [_of(arms, role, label) for label in labels if label is not None]
    return tuple((weight / len(found), arm) for terms in found for weight, arm in terms)


def formula(terms: Terms) -> str:
    """The contrast in names of arms.

    Example:
        >>> formula(((1.0, "MSM-A+AFT"), (-0.5, "MSM-B+AFT"), (-0.5, "MSM-C+AFT")))
        'MSM-A+AFT − ½ MSM-B+AFT − ½ MSM-C+AFT'
    """
    text = ""
    for weight, arm in terms:
        size = {1.0: "", 0.5: "½ "}.get(abs(weight), f"{abs(weight):.2g} ")
        sign = "−" if weight < 0 else "+"
        text += f" {sign} {size}{arm}" if text else f"{'−' if weight < 0 else ''}{size}{arm}"
    return text
