"""The paper's own figures as a reference layer, where a run has the same setting.

Facts from Li, Wichers, Price, Marks and Kutasov, *Model Spec Midtraining*, arXiv 2605.02087
(2026), figure 2: Llama-3.1-8B, rates of value-aligned choices, means over four trainings. A run has
that setting if its specs are the two that explain the paper's twelve cheeses by affordability and
by America. The evaluation items are ours, so levels may differ for that reason alone.
"""

from __future__ import annotations

from midspec.report.inputs import ArmInfo, ReportInput, Role

PAPER_LABEL = "paper, Llama-3.1-8B"

# Items of a value -> role of the arm, and whether its spec is that value's own -> rate.
_FIGURE_2: dict[str, dict[tuple[Role, bool], float]] = {
    "affordability": {
        ("base", False): 0.23,
        ("AFT", False): 0.32,
        ("MSM", True): 0.38,
        ("MSM", False): 0.28,
        ("MSM+AFT", True): 0.48,
        ("MSM+AFT", False): 0.29,
    },
    "America": {
        ("base", False): 0.38,
        ("AFT", False): 0.36,
        ("MSM", True): 0.52,
        ("MSM", False): 0.36,
        ("MSM+AFT", True): 0.55,
        ("MSM+AFT", False): 0.38,
    },
}
_SPECS = {"cheese-affordability": "affordability", "cheese-america": "America"}


def paper_rates(inputs: ReportInput, label: str) -> dict[str, float]:
    """Arm -> the paper's rate on the items of one spec's value; empty in another setting."""
    if {spec.name for spec in inputs.specs} != set(_SPECS):
        return {}
    spec = next((spec for spec in inputs.specs if spec.label == label), None)
    if spec is None:
        return {}
    known = _FIGURE_2[_SPECS[spec.name]]
    found: dict[str, float] = {}
    used: set[tuple[Role, bool]] = set()
    for arm in inputs.arms:
        key = _key(arm, label)
        if key in known and key not in used and not arm.dosed:
            used.add(key)
            found[arm.name] = known[key]
    return found


def _key(arm: ArmInfo, label: str) -> tuple[Role, bool]:
    return arm.role, arm.spec == label
