"""Which arms are compared, as linear combinations.

crossing           own+AFT − other+AFT: does the spec decide what the same AFT teaches?
msm_crossing       own − other: the same before AFT
interaction        (own+AFT − own) − (AFT − base): does AFT add more after midtraining?
spec_interaction   (own+AFT − own) − (other+AFT − other): ... more after the own spec?
the rest           controls: AFT alone, instruction chats alone, neutral documents, the spec in
                   the prompt, what each stage adds

"Own" is the arm midtrained on the spec whose value is measured; arms that are compared saw the
same chats. Of several arms of one kind, the first with a full dose is taken.
"""

from __future__ import annotations

from collections.abc import Sequence

from midspec.report.inputs import ArmInfo, SpecInfo
from midspec.report.results import ContrastName

Terms = tuple[tuple[float, str], ...]


def contrast_terms(
    arms: Sequence[ArmInfo], spec: SpecInfo, others: Sequence[str] | None = None
) -> dict[ContrastName, Terms]:
    """The contrasts that these arms allow, for the value of one spec.

    With more than two specs, "other" is the mean over the arms of ``others``, the labels of specs
    with another value (default: all other specs).
    """
    own, own_aft = _of(arms, "MSM", spec.label), _of(arms, "MSM+AFT", spec.label)
    chats = next((arm.chats for arm in arms if own_aft and arm.name == own_aft[0][1]), None)
    away = [a.spec for a in arms if a.spec not in (None, spec.label)] if others is None else others
    other = _others(arms, "MSM", away, None)
    other_aft = _others(arms, "MSM+AFT", away, chats)
    base, mix = _of(arms, "base"), _of(arms, "instruction")
    aft, neutral = _of(arms, "AFT", chats=chats), _of(arms, "neutral+AFT", chats=chats)
    prompt = _of(arms, "prompt", spec.label)
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
        "own_neutral": ((1, own_aft), (-1, neutral)),
        "prompt_base": ((1, prompt), (-1, base)),
        "own_prompt": ((1, own_aft), (-1, prompt)),
    }
    return {
        name: tuple((sign * weight, arm) for sign, terms in parts for weight, arm in terms)
        for name, parts in wanted.items()
        if all(terms for _, terms in parts)
    }


def gain_terms(arms: Sequence[ArmInfo], label: str) -> Terms:
    """What AFT adds to the arm midtrained on a spec; empty without both arms."""
    msm, both = _of(arms, "MSM", label), _of(arms, "MSM+AFT", label)
    return (*both, *((-weight, arm) for weight, arm in msm)) if msm and both else ()


def _of(
    arms: Sequence[ArmInfo], role: str, spec: str | None = None, *, chats: str | None = None
) -> Terms:
    """The first arm of a role (of a spec, with the given chats)."""
    found = [
        a.name
        for a in sorted(arms, key=lambda arm: arm.dosed)
        if a.role == role and spec in (None, a.spec) and chats in (None, a.chats)
    ]
    return ((1.0, found[0]),) if found else ()


def _others(
    arms: Sequence[ArmInfo], role: str, labels: Sequence[str | None], chats: str | None
) -> Terms:
    """The mean over the first arms of the labels."""
    parts = [_of(arms, role, label, chats=chats) for label in dict.fromkeys(labels) if label]
    found = [terms for terms in parts if terms]
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
