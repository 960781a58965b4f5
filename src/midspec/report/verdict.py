"""The verdict: what the run shows and what it does not, in plain English.

A claim is made only for a contrast whose 95% interval is clear of zero (and, where several values
are tested, still is after Holm's correction); everything else is called open. Controls that weaken
a claim are named beside it. A recipe with questions of its own is answered by them instead of by
the crossing (``questions.py``).
"""

from __future__ import annotations

from typing import Literal

from midspec.report.agreement import bound_to_a_place, scorers_agree
from midspec.report.contrasts import contrast_terms
from midspec.report.inputs import ReportInput, SpecInfo
from midspec.report.numbers import listed, with_interval
from midspec.report.questions import answer, would_have_shown
from midspec.report.results import BOTH, Analysis, ContrastName, ContrastRow
from midspec.report.stats import Estimate

Kind = Literal[
    "both", "one", "none", "reversed", "mixed", "few_seeds", "impossible", "answered", "open"
]

# With two seeds the 95% intervals cover .83 to .99 in simulation; with one they lack seed noise.
ENOUGH_SEEDS = 3

HEADLINES: dict[Kind, str] = {
    "both": "The crossing is there for every value: after the same fine-tuning, each spec moves "
    "the model to its own value more than the other spec does.",
    "one": "A partial crossing: clear for {clear}, open for {rest}.",
    "none": "No crossing is shown: for no value is the difference between the specs clear of zero.",
    "reversed": "The crossing is reversed for {against}: there, the other spec moves the model to "
    "this value more than its own spec does.",
    "mixed": "No crossing but a one-sided shift: one spec is ahead on its own value ({clear}) and also "
    "on the other's ({against}).",
    "few_seeds": "Too few seeds for a verdict: {seeds}. What follows describes these trainings and "
    "may not hold in the next ones.",
    "impossible": "This run cannot show a crossing: {why}.",
}


def verdict(inputs: ReportInput, found: Analysis) -> tuple[Kind, str]:
    """The verdict in one word, and as paragraphs split by empty lines; the first is the headline."""
    why = _obstacle(inputs, found)
    if inputs.questions:
        kind, headline = answer(found, _n_seeds(found))
        paragraphs = [headline, "" if why else _crossing(inputs, found)]
    elif why:
        kind, paragraphs = "impossible", [HEADLINES["impossible"].format(why=why)]
    else:
        kind, headline = _headline(inputs, found)
        paragraphs = [headline, _crossing(inputs, found), _msm_only(found)]
    paragraphs += [
        _interaction(found),
        _controls(inputs, found),
        scorers_agree(inputs, found),
        bound_to_a_place(found),
        _scope(inputs, found),
    ]
    return kind, "\n\n".join(text for text in paragraphs if text)


def _measured(inputs: ReportInput) -> list[SpecInfo]:
    """Specs with items of their own; a variant of another spec has none."""
    return [spec for spec in inputs.specs if spec.sets]


def _obstacle(inputs: ReportInput, found: Analysis) -> str:
    """Why no crossing can be computed; empty if it can."""
    if len(inputs.specs) < 2:
        return (
            "it has fewer than two specs. Name a second in the recipe's specs, or name the arms to "
            "compare in its comparisons"
        )
    if len(_measured(inputs)) < 2:
        unmeasured = next((s for s in inputs.specs if not s.sets), inputs.specs[0])
        return f"no items measure {unmeasured.value} (spec {unmeasured.label})"
    for spec in _measured(inputs):
        if not any(set(group.sets) & set(spec.sets) for group in found.groups):
            return f"no items measure {spec.value} (spec {spec.label})"
        if "crossing" not in contrast_terms(inputs.arms, spec):
            return f"spec {spec.label} has no MSM+AFT arm, or nothing to compare it with"
        row = found.contrast("crossing", spec.label)
        if row is None or row.estimate is None:
            return f"no item of {spec.value} was scored in both MSM+AFT arms of one seed"
    return ""


def _headline(inputs: ReportInput, found: Analysis) -> tuple[Kind, str]:
    specs = _measured(inputs)
    signs = {spec.value: _sign(found.contrast("crossing", spec.label)) for spec in specs}
    clear = listed([value for value, sign in signs.items() if sign > 0])
    rest = listed([value for value, sign in signs.items() if sign == 0])
    against = listed([value for value, sign in signs.items() if sign < 0])
    n = _n_seeds(found)
    kind = "few_seeds" if n < ENOUGH_SEEDS else kind_of(list(signs.values()))
    seeds = "one training per arm" if n == 1 else f"{n} trainings per arm"
    text = HEADLINES[kind].format(clear=clear, rest=rest, against=against, seeds=seeds)
    if kind == "reversed" and rest:
        text += f" For {rest} it is open."
    overall = found.contrast("crossing", BOTH)
    if overall and overall.estimate:
        text += f" Mean over the values: {with_interval(overall.estimate)} in rate."
        if kind == "none":
            text += f" On that mean, {would_have_shown(overall.estimate)}."
    return kind, text


def kind_of(signs: list[int]) -> Kind:
    """The kind of verdict from the signs of the crossing, one per value.

    Example:
        >>> kind_of([1, 1]), kind_of([1, 0]), kind_of([0, 0]), kind_of([-1, 0]), kind_of([1, -1])
        ('both', 'one', 'none', 'reversed', 'mixed')
    """
    if min(signs) < 0:
        return "mixed" if max(signs) > 0 else "reversed"
    if min(signs) > 0:
        return "both"
    return "one" if max(signs) > 0 else "none"


def _crossing(inputs: ReportInput, found: Analysis) -> str:
    parts = []
    for spec in inputs.specs:
        row = found.contrast("crossing", spec.label)
        if row and row.estimate:
            parts.append(f"on the {spec.value} items, {row.formula} = {_called_row(row)}")
    text = "Rate of value-aligned choices: " + "; ".join(parts) + "."
    margin = found.contrast("crossing", BOTH, measure="margin")
    if margin and margin.estimate:
        text += f" The mean over the values in log-odds, which do not saturate: {_called(margin.estimate)} nats."
    return text


def _msm_only(found: Analysis) -> str:
    row = found.contrast("msm_crossing", BOTH)
    if row is None or row.estimate is None:
        return ""
    there = {1: "is clear of zero too", 0: "is not clear", -1: "is reversed"}[row.estimate.sign]
    after = found.contrast("crossing", BOTH)
    against = f"; after it {after.estimate.value:+.2f}" if after and after.estimate else ""
    return (
        f"Before fine-tuning the crossing {there} (mean over the values "
        f"{with_interval(row.estimate)}{against})."
    )


def _interaction(found: Analysis) -> str:
    texts = [
        _stacking(found, "interaction", "fine-tuning adds", "after midtraining on the own spec than it adds to the base"),
        _stacking(found, "spec_interaction", "fine-tuning adds", "after the own spec than after the other"),
    ]  # fmt: skip
    return " ".join(text for text in texts if text)


def _stacking(found: Analysis, name: ContrastName, what: str, than: str) -> str:
    row = found.contrast(name, BOTH) or _only(found, name)
    if row is None or row.estimate is None:
        return ""
    margin = found.contrast(name, row.value, measure="margin")
    label = {"interaction": "Interaction", "spec_interaction": "Between the specs"}.get(name, name)
    says = {
        1: f"{what} more to the own value {than}",
        0: f"it is open whether {what} more {than}",
        -1: f"{what} less to the own value {than}",
    }[row.estimate.sign]
    text = f"{label}: {says}: {with_interval(row.estimate)}"
    if margin and margin.estimate:
        text += f" in rate, {with_interval(margin.estimate)} nats in log-odds"
        if margin.estimate.sign != row.estimate.sign:
            text += "; the two scales do not agree, so floor or ceiling effects may play a part"
    return text + "."


def _only(found: Analysis, name: ContrastName) -> ContrastRow | None:
    """The one row of a contrast when there is a single value."""
    rows = [
        row
        for row in found.contrasts
        if (row.name, row.scorer, row.measure) == (name, found.scorer, "rate")
    ]
    return rows[0] if len(rows) == 1 else None


def _controls(inputs: ReportInput, found: Analysis) -> str:
    texts = [text for spec in _measured(inputs) if (text := _controls_of(spec, found))]
    return "Controls. " + " ".join(texts) if texts else ""


def _controls_of(spec: SpecInfo, found: Analysis) -> str:
    parts = []
    wanted: tuple[tuple[ContrastName, str], ...] = (
        ("aft_base", "AFT alone against the base"),
        ("aft_instruction", "AFT alone against instruction chats alone"),
        ("own_aft", "own spec and AFT against AFT alone"),
        ("own_neutral", "against neutral documents and AFT"),
        ("own_prompt", "against the spec in the prompt"),
    )
    for name, what in wanted:
        row = found.contrast(name, spec.label)
        if row and row.estimate:
            parts.append(f"{what} {with_interval(row.estimate)}")
    if not parts:
        return ""
    text = f"{spec.value.capitalize()}: {', '.join(parts)}."
    own, crossing = found.contrast("own_aft", spec.label), found.contrast("crossing", spec.label)
    if _sign(crossing) > 0 and own and own.estimate and own.estimate.sign <= 0:
        text += (
            " The own spec is not clearly above AFT alone here, so this part of the crossing "
            "may come from the other spec pulling down."
        )
    return text


def _scope(inputs: ReportInput, found: Analysis) -> str:
    n = _n_seeds(found)
    items = sum(group.n_items for group in found.groups if group.is_value)
    over = (
        "items only (one seed): they leave out how much one training differs from the next"
        if n == 1
        else f"{items} items and {n} seeds"
    )
    documents = (
        "each seed wrote its own documents, so their draw is part of them"
        if inputs.corpus_per_seed
        else "all seeds share one corpus, so the draw of documents is not part of them"
    )
    return (
        f"Brackets are 95% intervals over {over}. They hold for these chats and this base; "
        f"{documents}."
    )


def _n_seeds(found: Analysis) -> int:
    """Fewest seeds behind any crossing, else behind any contrast."""
    rows = list(found.questions) or [row for row in found.contrasts if row.name == "crossing"]
    rows = rows or list(found.contrasts)
    return min((row.estimate.n_seeds for row in rows if row.estimate), default=len(found.seeds))


def _called_row(row: ContrastRow) -> str:
    """A contrast with what may be said about it."""
    assert row.estimate is not None
    if row.sign == 0 and row.estimate.sign:
        return f"{with_interval(row.estimate)} (not clear of zero after Holm's correction)"
    return _called(row.estimate)


def _called(found: Estimate) -> str:
    word = {1: "", 0: " (not clear of zero)", -1: " (reversed)"}[found.sign]
    return with_interval(found) + word


def _sign(row: ContrastRow | None) -> int:
    return row.sign if row else 0
