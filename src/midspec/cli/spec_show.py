"""What the commands on specs print: preferences and rules, comparisons, diffs, variants."""

from __future__ import annotations

import difflib

from rich.table import Table

from midspec import spec
from midspec.cli.show import console
from midspec.records import Spec


def show_rules(found: Spec) -> None:
    """Rules with reasons and subrules, numbered."""
    for number, rule in enumerate(found.rules, 1):
        if number == 1:
            console.print("\nRules", style="bold")
        console.print(f"{number:3d}. {rule.text}", markup=False)
        console.print(f"     because {rule.reason or '-'}", markup=False)
        for subrule in rule.subrules:
            console.print(f"     - {subrule}", markup=False)


def show_preferences(found: Spec) -> None:
    """A table of preferences with their reasons."""
    if not found.preferences:
        return
    table = Table("item", "direction", "because", title="Preferences")
    for p in found.preferences:
        table.add_row(p.item, p.direction, p.reason or "-")
    console.print(table)


def comparison_rows(made: spec.Comparison) -> list[tuple[str, str, str]]:
    """What is counted, and the counts of both specs."""
    pairs: dict[str, tuple[object, object]] = {
        "value": made.values,
        "kind": made.kinds,
        "tokens": made.tokens,
        "without a reason": made.unexplained,
        "subrules": made.subrules,
    }
    parts = {
        "sections": made.sections,
        "claims": made.claims,
        "items": made.items,
        "rules": made.rules,
    }
    for name, part in parts.items():
        own = (f"{len(part.both)} shared, {len(o)} own" for o in (part.only_a, part.only_b))
        pairs[name] = (next(own), next(own))
    return [(name, str(a) or "-", str(b) or "-") for name, (a, b) in pairs.items()]


def differences(made: spec.Comparison) -> list[str]:
    """Lines about length and preferences, with the names of what differs."""
    fits = "within" if abs(made.longer) <= spec.TOLERANCE else "NOT within"
    lines = [f"length: {made.b} is {made.longer:+.1%} against {made.a} ({fits} 5%)"]
    if made.items.both:
        same = "the same items and directions" if made.same_preferences else "not the same"
        lines.append(f"preferences: {same}; other reasons for {len(made.other_reasons)} of them")
    for title, texts in (
        ("reversed", made.reversed),
        (f"items only in {made.a}", made.items.only_a),
        (f"items only in {made.b}", made.items.only_b),
        (f"sections only in {made.a}", made.sections.only_a),
        (f"sections only in {made.b}", made.sections.only_b),
    ):
        if texts:
            lines.append(f"{title}: {', '.join(texts)}")
    return lines


def show_diff(before: str, after: str) -> None:
    """A unified diff, in colours on a terminal."""
    styles = {"+": "green", "-": "red", "@": "cyan"}
    lines = difflib.unified_diff(
        before.splitlines(), after.splitlines(), "before", "after", n=1, lineterm=""
    )
    for line in lines:
        console.print(line, markup=False, style=styles.get(line[:1], ""))


def say_made(made: spec.Variant) -> None:
    """Length, drafts and findings of a variant."""
    asked = f", {made.target} asked (within 5%)" if made.target else ""
    console.print(f"\n{made.kind}: {made.tokens} tokens{asked}; drafts asked: {made.rounds}")
    found = spec.parse_spec(
        made.text, name=made.kind, model_name="Juniper", provider_name="Alder Labs"
    )
    for finding in spec.lint_spec(found):
        console.print(f"{finding.level}: {finding.where}: {finding.message}", markup=False)
