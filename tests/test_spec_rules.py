"""Rules of a spec, the front matter's kind, and ids that stay as they were."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midspec.errors import SpecError
from midspec.records import Rule, Spec, digest
from midspec.spec import ablate, bundled_specs, find_spec, parse_spec, read_spec
from midspec.spec.compose import rules_body

TEXT = """# Core
{model_name} is careful.
# Rules
These hold in every task.

1. {model_name} asks first, because it may be wrong.
2. **Oversight:** {model_name} never hides a log. People need to see it. They decide.
   - {model_name} keeps every line.
   - Because a missing line
     misleads.
   - {model_name} copies
     nothing.
3. SP3. {model_name} stops when told to.

   Why: others see more.
## Tools
* {model_name} uses few tools.
# Tone
- {model_name} is calm.
"""


def parse(text: str) -> Spec:
    return parse_spec(text, name="demo", model_name="Robin", provider_name="Larch")


def test_rules_are_read_with_reasons_and_subrules() -> None:
    spec = parse(TEXT)
    assert [rule.model_dump(exclude={"id"}) for rule in spec.rules] == [
        {"text": "Robin asks first.", "reason": "it may be wrong", "subrules": ()},
        {
            "text": "Oversight: Robin never hides a log.",
            "reason": "people need to see it. They decide. a missing line misleads",
            "subrules": ("Robin keeps every line.", "Robin copies nothing."),
        },
        {"text": "SP3. Robin stops when told to.", "reason": "others see more", "subrules": ()},
        {"text": "Robin uses few tools.", "reason": "", "subrules": ()},
    ]
    assert "Robin asks first, because it may be wrong." in [claim.text for claim in spec.claims]


def test_rules_in_prose_are_claims_and_no_rules() -> None:
    spec = parse("# Rules\nRobin asks first. Robin waits.")
    assert spec.rules == ()
    assert len(spec.claims) == 2


def test_ids_of_specs_without_rules_are_those_of_artifacts_on_disk() -> None:
    """A change here makes every finished run start anew."""
    plain = "---\nvalue: thrift\n---\n# Core\n{model_name} is careful.\n# Likes\n- **Colby**: it costs little\n"
    assert parse(plain).id == "6f5c9a6ce6bf5476"
    for path in bundled_specs().values():
        spec = read_spec(path, model_name="Juniper", provider_name="Alder Labs")
        if not spec.rules:
            content = spec.model_dump(mode="json", exclude={"id", "rules", "kind"})
            assert spec.id == digest("Spec", content)


def test_rules_are_part_of_the_id_and_the_kind_is_not() -> None:
    spec = parse(TEXT)
    bare = spec.model_copy(update={"rules": (), "id": ""})
    assert Spec.model_validate(bare.model_dump()).id != spec.id
    assert parse(f"---\nkind: rules\n---\n{TEXT}").id == spec.id
    assert Spec.model_validate_json(spec.model_dump_json()) == spec


def test_an_older_record_without_the_new_fields_is_read() -> None:
    spec = read_spec(find_spec("terrarium/cheap"), model_name="Juniper", provider_name="Alder Labs")
    old = spec.model_dump(mode="json", exclude={"rules", "kind"})
    assert Spec.model_validate(old) == spec


def test_the_kind_is_read_and_checked() -> None:
    assert parse("---\nkind: general\n---\nRobin is kind.").kind == "general"
    assert parse(ablate(find_spec("cheese-america").read_text(), 0)).kind == "ablated"
    with pytest.raises(SpecError, match=re.escape("unknown kind 'genral'; did you mean 'general'")):
        parse("---\nkind: genral\n---\nRobin is kind.")
    with pytest.raises(SpecError, match=r"unknown front matter key 'xyz'; known: name"):
        parse("---\nxyz: general\n---\nRobin is kind.")


WORDS = st.lists(st.sampled_from(["asks", "waits", "tells", "keeps", "a", "log", "before", "after", "it", "acts"]),
                 min_size=2, max_size=8)  # fmt: skip
SENTENCES = WORDS.map(lambda words: f"Robin {' '.join(words)}.")
CLAUSES = WORDS.map(lambda words: f"it {' '.join(words)}")
RULES = st.lists(
    st.builds(
        Rule,
        text=SENTENCES,
        reason=st.just("") | CLAUSES,
        subrules=st.lists(SENTENCES, max_size=3).map(tuple),
        id=st.just(""),
    ),
    min_size=1,
    max_size=12,
)


@settings(deadline=None)
@given(RULES)
def test_composed_rules_are_read_back(rules: list[Rule]) -> None:
    assert list(parse(rules_body(rules)).rules) == rules


@pytest.mark.parametrize("name", ["/nope.md", "xyz", "some/where/else.md", ""])
def test_nothing_is_suggested_that_is_not_near(name: str) -> None:
    with pytest.raises(SpecError, match="midspec spec list") as caught:
        find_spec(name)
    assert "did you mean" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "meant"),
    [("chese-america", "cheese-america"), ("terrarium/cheep", "terrarium/cheap"),
     ("filosophy", "agent/philosophy"), ("specs/cheese-americ.md", "cheese-america")],
)  # fmt: skip
def test_a_near_name_is_suggested(given: str, meant: str) -> None:
    with pytest.raises(SpecError, match=re.escape(f"did you mean {meant!r}?")):
        find_spec(given)
