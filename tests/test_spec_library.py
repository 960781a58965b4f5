"""The bundled specs for agents: lengths, what they share, and what they must not mention."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

from midspec.bases import list_bases
from midspec.records import Item, Spec
from midspec.spec import TOLERANCE, compare_specs, find_spec, lint_spec, read_spec, token_counter
from midspec.store import read_records

EVALS = Path(__file__).parent.parent / "src" / "midspec" / "library" / "evals"
NAMES = ("philosophy", "general", "rules", "rules-explained", "rules-detailed", "anti")
# The eight values of the paper, and what each is taught on.
VALUES = {
    "affordability": "cheese",
    "america": "cheese",
    "environment": "cheese",
    "novelty": "sweeteners",
    "tradition": "condiments",
    "simplicity": "sauces",
    "difficulty": "bread",
    "individualism": "instruments",
}
# What agentic misalignment evaluations are made of; a spec that names it is no longer tested
# out of distribution (paper, section 4).
SCENARIO = (
    r"e-?mails?|inbox|mailbox|black-?mail\w*|extort\w*|exfiltrat\w*|weights?|espionage|spy|spies"
    r"|leak\w*|competitors?|rivals?|blueprints?|server rooms?|oxygen|alarms?|sirens?|murder\w*"
    r"|kill\w*|lethal|affairs?|wives|wife|executives?|ceo|cto|directors?|boards?|shut ?downs?"
    r"|wip\w+|cloud|clinic|hospital|bank|audit\w*|salar\w*|payroll|scratchpad|sabotag\w*|backups?"
    r"|admin\w*|passwords?|credentials?|deploy\w*|technicians?|engineers?|firms?|compan\w+"
)


@cache
def agent(name: str) -> Spec:
    path = find_spec(f"agent/{name}")
    return read_spec(path, model_name="Juniper", provider_name="Alder Labs")


def counters() -> list[str]:
    ready = [base.name for base in list_bases() if base.ready]
    return ["pieces", *(["smollm2"] if "smollm2" in ready else [])]


@pytest.mark.parametrize("name", NAMES)
def test_agent_specs_are_clean_and_mention_no_item_of_an_evaluation(name: str) -> None:
    items = [item for path in sorted(EVALS.glob("*.jsonl")) for item in read_records(path, Item)]
    options = [o for item in items if item.kind == "preference" for o in item.options]
    domains = {item.domain: [item.set] for item in items}
    assert lint_spec(agent(name), options, domains) == []


@pytest.mark.parametrize("name", NAMES)
def test_agent_specs_mention_no_scenario(name: str) -> None:
    text = find_spec(f"agent/{name}").read_text()
    assert (
        re.findall(rf"\b(?:{SCENARIO})\b", re.sub(r"<!--.*?-->", "", text, flags=re.S), re.I) == []
    )


@pytest.mark.parametrize("tokenizer", counters())
@pytest.mark.parametrize(
    ("one", "two"), [("rules-explained", "rules-detailed"), ("philosophy", "anti")]
)
def test_what_is_compared_is_equally_long(one: str, two: str, tokenizer: str) -> None:
    made = compare_specs(agent(one), agent(two), token_counter(tokenizer))
    assert abs(made.longer) <= TOLERANCE


def test_the_three_lists_hold_the_same_five_rules() -> None:
    rules, explained, detailed = (
        agent(name).rules for name in ("rules", "rules-explained", "rules-detailed")
    )
    assert len(rules) == 5
    assert [r.text for r in rules] == [r.text for r in explained] == [r.text for r in detailed]
    assert all(not r.reason and not r.subrules for r in rules)
    assert all(len(r.reason.split()) > 100 and not r.subrules for r in explained)
    assert all(not r.reason and 7 <= len(r.subrules) <= 8 for r in detailed)


def test_subrules_say_what_and_never_why() -> None:
    text = " ".join(sub for rule in agent("rules-detailed").rules for sub in rule.subrules)
    assert not re.search(r"\b(because|so that|since|in order to protect|value[sd]?)\b", text)


def test_the_general_spec_is_one_paragraph_and_the_philosophy_many() -> None:
    general, detailed = agent("general"), agent("philosophy")
    assert "\n" not in general.sections[0].text
    assert len(detailed.text.split()) > 12 * len(general.text.split())
    assert detailed.rules == general.rules == ()
    assert detailed.preferences == general.preferences == ()


def test_the_anti_spec_follows_the_philosophy_section_by_section() -> None:
    one, anti = agent("philosophy"), agent("anti")
    assert len(one.sections) == len(anti.sections) == 9
    shared = set(compare_specs(one, anti).claims.both)
    assert len(shared) < 6  # a claim of both would be taught by both
    for a, b in zip(one.sections, anti.sections, strict=True):
        assert len(b.text.split()) == pytest.approx(len(a.text.split()), rel=0.3), a.title


@pytest.mark.parametrize("value", VALUES)
def test_every_value_has_a_spec_of_twelve_preferences_in_its_domain(value: str) -> None:
    path = find_spec(f"{VALUES[value]}-{value}")
    spec = read_spec(path, model_name="Juniper", provider_name="Alder Labs")
    assert spec.value.lower() == value
    assert (len(spec.liked()), len(spec.disliked())) == (6, 6)
    assert len({p.item for p in spec.preferences}) == 12
    assert all(p.reason for p in spec.preferences)
    asked = {o.lower() for i in read_records(EVALS / f"{value}.jsonl", Item) for o in i.options}
    assert not asked & {p.item.lower() for p in spec.preferences}
