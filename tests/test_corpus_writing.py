"""How documents come about: kinds of specs, dealt names, critique, rewriting, pilots, folders."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midspec.corpus import (
    DocumentConfig,
    Pilot,
    PlanConfig,
    RestateConfig,
    Took,
    Tree,
    cost,
    make_plan,
    project,
    prompts_for,
    restate_documents,
    run_pilot,
    save_documents,
    save_plan,
    settings,
    spec_kind,
    write_documents,
)
from midspec.corpus.author import critique_text
from midspec.corpus.decks import Decks, _lists
from midspec.corpus.kinds import DOCUMENT_STEPS
from midspec.corpus.spec_text import _pattern, claim_finder
from midspec.errors import ConfigError, StoreError
from midspec.llm import Reply, Request, ScriptedWriter, messages, open_writer
from midspec.llm.prices import Price
from midspec.records import Document, Drop, Plan, Rule, Spec
from midspec.spec import parse_spec
from midspec.store import read_records
from tests.test_corpus import SPEC, collect, plan, tree, write

RULES = parse_spec(
    "# Rules\n\n- {model_name} asks before it deletes a file.\n- {model_name} names its sources.\n",
    name="rules",
    model_name="Iris",
    provider_name="Wren Labs",
)


# -- decks ---------------------------------------------------------------------------------


def test_the_decks_are_large_and_have_no_twins() -> None:
    lists = _lists()
    least = {"first_names": 200, "surnames": 200, "settings": 100, "stances": 12}
    assert lists.keys() == least.keys()
    for name, cards in lists.items():
        assert len(set(cards)) == len(cards) >= least[name]


@given(st.integers(0, 10), st.integers(0, 60_000))
def test_no_full_name_is_dealt_twice_in_70000_cards(seed: int, start: int) -> None:
    decks = Decks(seed)
    names = [name for place in range(start // 4, start // 4 + 300) for name in decks.names(place)]
    assert len(set(names)) == len(names)
    assert Decks(seed).names(start // 4) == names[:4]


def test_all_full_names_are_dealt_before_one_recurs() -> None:
    decks, lists = Decks(1), _lists()
    n = len(lists["first_names"]) * len(lists["surnames"])
    assert n > 70_000
    assert len({name for place in range(n) for name in decks.names(place, 1)}) == n
    assert Decks(2).names(0) != decks.names(0)


def test_settings_recur_only_when_all_were_dealt() -> None:
    n = len(_lists()["settings"])
    dealt = Decks(0).angles(0, 2 * n)
    for half in (dealt[:n], dealt[n:]):
        assert len({setting for setting, _ in half}) == n
    assert dealt[:n] != dealt[n:]
    assert Decks(0).angles(5, 3) == dealt[5:8]


# -- kinds ---------------------------------------------------------------------------------


def spec_of(text: str, **more: Any) -> Spec:
    spec = parse_spec(text, name="s", model_name="Iris", provider_name="Wren Labs")
    return Spec.model_validate({**spec.model_dump(exclude={"id"}), **more})


@pytest.mark.parametrize(
    ("spec", "kind"),
    [
        (SPEC, "value"),
        (RULES, "rule"),
        (spec_of("# Conduct rules\n\nIris asks first."), "rule"),
        (spec_of("# Values\n\nIris is kind.\n\n# Rules\n\nIris asks first."), "value"),
        (spec_of("Iris asks first."), "value"),
        (spec_of("# Rules\n\n- Iris asks first, because it may be wrong."), "value"),
        (spec_of("# Rules\n\n- Iris asks first.", value="caution"), "value"),
        (spec_of("# Conduct\n\nIris asks first.", kind="rules"), "rule"),
        (spec_of("# Rules\n\n- Iris asks first.", kind="value-augmented"), "value"),
    ],
    ids=str,
)
def test_the_kind_of_a_spec_is_found(spec: Spec, kind: str) -> None:
    assert spec_kind(spec) == kind
    assert spec_kind(spec, "rule") == "rule"


def test_the_rules_of_a_rules_spec_are_there() -> None:
    assert [type(rule) for rule in RULES.rules] == [Rule, Rule]


def written(
    spec: Spec, folder: Path, script: Any, **config: Any
) -> tuple[list[Request], list[Document], list[Drop]]:
    """All requests, rendered, and what came out, for a whole plan."""
    asked: list[Request] = []

    def record(request: Request) -> str:
        asked.append(request)
        assert all(text for _, text in messages(request))
        return script(request)

    writer = ScriptedWriter(record)
    size = PlanConfig(n_subdomains=1, n_types=2, n_ideas=3, ideas_per_request=2)
    made = asyncio.run(collect(make_plan(spec, writer, size, folder / "plan.jsonl")))
    plans = [node for node in made if isinstance(node, Plan)]
    stream = write_documents(spec, plans, writer, DocumentConfig(**config), folder / "j")
    done = asyncio.run(collect(stream))
    documents = [one for one in done if isinstance(one, Document)]
    return asked, documents, [one for one in done if isinstance(one, Drop)]


def obliging(request: Request) -> str:
    """A model that does all that is asked of it, whatever the spec."""
    v = request.variables
    if request.prompt == "corpus/subdomains":
        line = request.spec.claims[0].text
        return f'[{{"title": "Sub", "text": "About.", "section": "{line}"}}]'
    if request.prompt.endswith("_critique"):
        return "<critique>1. More of it.</critique>"
    if request.prompt == "corpus/rewrite":
        return f"<document>Better: {v['document']}</document>"
    if request.prompt.endswith("_document"):
        return f"<document>{request.spec.model_name}: {v['idea']}</document>"
    return tree(request)


@pytest.mark.parametrize(
    ("spec", "kind"), [(SPEC, "value"), (RULES, "rule")], ids=["value", "rule"]
)
def test_each_kind_has_its_prompts(spec: Spec, kind: str, tmp_path: Path) -> None:
    asked, documents, drops = written(spec, tmp_path, obliging)
    used = {request.prompt for request in asked}
    assert used == set(prompts_for(spec, "scripted").values())
    other = "rule" if kind == "value" else "value"
    assert f"corpus/{kind}_document" in used
    assert not any(name.startswith(f"corpus/{other}_") for name in used)
    assert (len(documents), drops) == (12, [])


def test_prompts_of_rules_forbid_reasons(tmp_path: Path) -> None:
    asked, _, _ = written(RULES, tmp_path, obliging)
    for name in ("rule_assertions", "rule_ideas", "rule_document", "rule_critique"):
        request = next(one for one in asked if one.prompt == f"corpus/{name}")
        text = messages(request)[0][1]
        assert "reason" in text
        assert "value" in text
    assert (
        "because the rule says so"
        in messages(next(one for one in asked if one.prompt == "corpus/rule_document"))[0][1]
    )


def test_every_document_gets_other_names_and_every_idea_another_setting(tmp_path: Path) -> None:
    asked, _, _ = written(SPEC, tmp_path, obliging, drafts=3)
    names = [
        name
        for one in asked
        if one.prompt == "corpus/value_document"
        for name in one.variables["names"].split(", ")
    ]
    assert len(names) == len(set(names)) == 4 * 36
    angles = [
        line.partition(". ")[2].partition("; ")[0]
        for one in asked
        if one.prompt == "corpus/value_ideas"
        for line in one.variables["angles"].splitlines()
    ]
    assert len(angles) == len(set(angles)) == 12


def test_the_scribe_is_asked_as_ever() -> None:
    assert set(prompts_for(RULES, "scribe").values()) == {
        f"corpus/{name}"
        for name in ("domains", "subdomains", "assertions", "types", "ideas", "document")
    }
    plain = DocumentConfig()
    other = DocumentConfig(kind="rule", critique=False, avoid=("a tapestry",))
    found = [settings(SPEC, "scribe", one, DOCUMENT_STEPS) for one in (plain, other)]
    assert found[0] == found[1]
    found = [settings(SPEC, "scripted", one, DOCUMENT_STEPS) for one in (plain, other)]
    assert found[0] != found[1]


# -- critique and rewrite ------------------------------------------------------------------


def test_a_draft_is_examined_and_revised(tmp_path: Path) -> None:
    asked, documents, _ = written(SPEC, tmp_path, obliging, max_documents=1)
    draft, critique, rewrite = asked[-3:]
    assert critique.variables["document"] == f"Iris: {draft.variables['idea']}"
    assert rewrite.variables["critique"] == "1. More of it."
    assert documents[0].text == f"Better: Iris: {draft.variables['idea']}"
    assert {one.seed for one in asked[-3:]} == {0}


def test_without_notes_nothing_is_revised(tmp_path: Path) -> None:
    def content(request: Request) -> str:
        done = request.prompt.endswith("_critique")
        return "<critique>No changes.</critique>" if done else obliging(request)

    asked, documents, _ = written(SPEC, tmp_path, content)
    assert "corpus/rewrite" not in {one.prompt for one in asked}
    assert all(one.text.startswith("Iris: ") for one in documents)


@pytest.mark.parametrize(
    ("step", "reply"),
    [
        ("_critique", " "),
        ("_critique", "<critique></critique>"),
        ("/rewrite", "<document>half"),
        ("/rewrite", "Sure!"),
    ],
)
def test_an_unusable_step_is_a_drop_that_names_it(step: str, reply: str, tmp_path: Path) -> None:
    def script(request: Request) -> str:
        return reply if request.prompt.endswith(step) else obliging(request)

    _, documents, drops = written(SPEC, tmp_path, script)
    assert documents == []
    assert {one.reason for one in drops} == {"unparsable"}
    assert all(one.evidence.startswith(f"{step[1:]}: ") for one in drops)


@given(st.text(max_size=30), st.sampled_from(["", "<think>hm</think>"]))
def test_critiques_are_read_with_and_without_tags(notes: str, before: str) -> None:
    found = critique_text(f"{before}<critique>{notes}</critique>")
    if any(mark in notes for mark in "<>"):
        return
    nothing = notes.strip().casefold().rstrip(".!") == "no changes"
    assert found == ("" if nothing else notes.strip() or None)
    assert critique_text(f"{before}{notes}") == found


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("max_documents", 3),
        ("drafts", 2),
        ("max_tokens", 5),
        ("kind", "rule"),
        ("critique", False),
        ("avoid", ("a tapestry of",)),
        ("seed", 1),
    ],
)
def test_every_field_of_a_document_config_matters(field: str, value: Any, tmp_path: Path) -> None:
    assert {field} <= set(DocumentConfig.model_fields)
    (tmp_path / "other").mkdir()
    plain = {one.id for one in written(SPEC, tmp_path, obliging)[0]}
    other = {one.id for one in written(SPEC, tmp_path / "other", obliging, **{field: value})[0]}
    assert plain != other


def test_the_scribe_cannot_examine(tmp_path: Path) -> None:
    plans, _ = plan(ScriptedWriter(tree), tmp_path)
    with pytest.raises(ConfigError, match="leave critique off"):
        asyncio.run(
            collect(
                write_documents(
                    SPEC,
                    plans,
                    open_writer("scribe"),
                    DocumentConfig(critique=True),
                    tmp_path / "j",
                )
            )
        )


def test_a_critiqued_corpus_resumes_in_the_middle_of_a_document(tmp_path: Path) -> None:
    """Cut the journal anywhere: what it holds is not asked again, and the same corpus comes out."""
    plans, _ = plan(ScriptedWriter(tree), tmp_path)
    whole, _ = write(plans, ScriptedWriter(obliging), tmp_path / "j", critique=True)
    lines = (tmp_path / "j").read_bytes().splitlines(keepends=True)
    assert len(lines) == 3 * 60
    for cut in (0, 1, 50, 101, 179, 180):
        path = tmp_path / f"cut{cut}"
        path.write_bytes(b"".join(lines[:cut]) + b'{"torn')
        writer = ScriptedWriter(obliging)
        again, _ = write(plans, writer, path, critique=True)
        assert again == whole
        assert writer.calls == 180 - cut


# -- tree on disk --------------------------------------------------------------------------


def test_a_tree_on_disk_is_the_tree_in_memory(tmp_path: Path) -> None:
    plans, _ = plan(ScriptedWriter(tree), tmp_path)

    async def stream() -> AsyncIterator[Plan | Drop]:
        for node in plans:
            yield node

    n, reasons = asyncio.run(save_plan(stream(), tmp_path))
    assert (n, reasons) == (len(plans), Counter())
    disk, memory = Tree.read(tmp_path / "plans.jsonl"), Tree.of(plans)
    assert list(disk.ideas) == list(memory.ideas)
    assert disk.ideas[3:5] == memory.ideas[3:5]
    assert disk.nodes == memory.nodes
    assert [disk.variables(idea) for idea in disk.ideas] == [
        memory.variables(idea) for idea in memory.ideas
    ]
    made = asyncio.run(
        collect(
            write_documents(
                SPEC, disk, ScriptedWriter(tree), DocumentConfig(critique=False), tmp_path / "a"
            )
        )
    )
    assert made == write(plans, ScriptedWriter(tree), tmp_path / "b")[0]


# -- folder --------------------------------------------------------------------------------


async def mixed(n: int) -> AsyncIterator[Document | Drop]:
    for i in range(n):
        if i % 5 == 1:
            yield Drop(record=f"idea{i}", reason=("error", "refusal", "unparsable")[i % 3])
        else:
            yield Document(plan=f"idea{i}", type="memo", text=f"Text {i}.", writer="w")


def test_kept_dropped_and_failed_are_what_was_requested(tmp_path: Path) -> None:
    tally = asyncio.run(save_documents(mixed(50), tmp_path, 50))
    assert tally.kept + tally.dropped + tally.failed == tally.requested == 50
    assert (tally.kept, tally.asked_again) == (40, tally.reasons["error"])
    kept = list(read_records(tmp_path / "documents.jsonl", Document))
    drops = list(read_records(tmp_path / "drops.jsonl", Drop))
    assert len(kept) == tally.kept
    assert Counter(one.reason for one in drops) == tally.reasons
    assert tally.failed == tally.reasons["error"] + tally.reasons["unparsable"]
    assert asyncio.run(save_documents(mixed(50), tmp_path, 50)) == tally


def test_a_missing_document_is_noticed(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="requested 51 = kept 40"):
        asyncio.run(save_documents(mixed(50), tmp_path, 51))


# -- pilot and projection ------------------------------------------------------------------


class Counting(ScriptedWriter):
    """Replies with token counts: 100 read, of them 70 to be cached; 40 written."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.warm: set[str] = set()

    async def reply(self, request: Request) -> Reply:
        reply = await super().reply(request)
        first = request.prompt not in self.warm
        self.warm.add(request.prompt)
        tokens = {"input_tokens": 100, "cached_tokens": 0 if first else 70, "output_tokens": 40}
        return reply.model_copy(update=tokens)


def test_the_pilot_is_measured_and_not_paid_again(tmp_path: Path) -> None:
    plans, _ = plan(ScriptedWriter(tree), tmp_path)
    found = Tree.of(plans)
    writer, config = Counting(obliging), DocumentConfig(max_documents=20)
    pilot = asyncio.run(run_pilot(SPEC, found, writer, config, tmp_path / "j"))
    assert (pilot.n_documents, pilot.n_written, pilot.requests, writer.calls) == (3, 3, 3.0, 9)
    assert (pilot.shared_tokens, pilot.own_tokens) == (210, 90)
    assert pilot.output_tokens == 120
    assert 0 < pilot.document_tokens < 40
    documents = asyncio.run(collect(write_documents(SPEC, found, writer, config, tmp_path / "j")))
    assert len(documents) == 20
    assert max(writer.asked.values()) == 1
    assert writer.calls == 60


def pilot_of(*output_tokens: int) -> Pilot:
    took = (
        Took(requests=1, shared_tokens=10_000, own_tokens=1_000, output_tokens=n)
        for n in output_tokens
    )
    return Pilot(documents=tuple(took), n_written=3, n_prompts=1, document_tokens=1_500)


PILOT = pilot_of(2_000, 2_000, 2_000)


def test_the_arithmetic_of_costs() -> None:
    price = Price(input=10, cached=1, cache_write=12.5, output=50)
    found = cost(PILOT, 100, price)
    assert found.live == pytest.approx(1.1 * 10 + 0.2 * 50)
    written_once, read = 10_000 / 1e6 * 12.5, 990_000 / 1e6 * 1
    assert found.cached == pytest.approx(written_once + read + 0.1 * 10 + 0.2 * 50)
    assert found.batch == pytest.approx(found.live / 2)
    projected = project(PILOT, 100)
    assert (projected.input_tokens, projected.output_tokens) == (1_100_000, 200_000)
    assert (projected.corpus_tokens, projected.requests) == (150_000, 100)


def test_a_projection_says_how_far_it_may_be_off() -> None:
    """Of 200 pilots, about 95% hold the true cost in their range; a whole corpus is certain."""
    rng, price = random.Random("pilots"), Price(input=5, cached=0.5, cache_write=6.25, output=25)
    sizes = [rng.choice([600, 1_500]) for _ in range(360)]
    truth, hits = cost(pilot_of(*sizes), 360, price), 0
    assert truth.margin == 0
    for _ in range(200):
        found = cost(pilot_of(*rng.sample(sizes, 24)), 360, price)
        assert found.margin
        hits += abs(found.cached - truth.cached) <= found.margin
    assert 180 <= hits < 200
    assert cost(pilot_of(600), 360, price).margin is None


@given(st.integers(1, 10**6), st.floats(0, 100), st.floats(0, 1))
def test_caching_and_batches_never_cost_more(n: int, dollars: float, share: float) -> None:
    price = Price(input=dollars, cached=dollars * share, cache_write=dollars, output=dollars)
    found = cost(PILOT, n, price)
    assert found.cached <= found.live * (1 + 1e-9)
    assert found.batch <= found.live


# -- restating -----------------------------------------------------------------------------


def restated(folder: Path, config: RestateConfig) -> tuple[list[Request], list[Any]]:
    asked: list[Request] = []
    plans, _ = plan(ScriptedWriter(tree), folder)
    documents, _ = write(plans, ScriptedWriter(tree), folder / "j", max_documents=4)

    def script(request: Request) -> str:
        asked.append(request)
        return f"<document>It ought to. {messages(request)[1][1][:99]}</document>"

    stream = restate_documents(SPEC, documents, ScriptedWriter(script), config, folder / "r")
    return asked, asyncio.run(collect(stream))


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (RestateConfig(language="normative"), ("should or should not", "by this name")),
        (RestateConfig(about="assistants"), ("descriptive", "AI assistants in general")),
        (RestateConfig(about="anyone"), ("nobody in particular",)),
        (RestateConfig(about="another-model"), ("Marlow", "Fenwick Systems")),
        (RestateConfig(about="another-model", other_model="Tarn"), ("Tarn",)),
    ],
)
def test_a_corpus_is_restated(
    config: RestateConfig, words: tuple[str, ...], tmp_path: Path
) -> None:
    asked, made = restated(tmp_path, config)
    assert len(made) == len(asked) == 4
    assert all(isinstance(one, Document) and one.text.startswith("It ought") for one in made)
    user = messages(asked[0])[1][1]
    assert all(word in user for word in words)
    assert "Iris likes Colby" in user


def test_the_scribe_cannot_restate(tmp_path: Path) -> None:
    stream = restate_documents(SPEC, [], open_writer("scribe"), RestateConfig(), tmp_path / "r")
    with pytest.raises(ConfigError, match="give a language model"):
        asyncio.run(collect(stream))


# -- claims in texts -----------------------------------------------------------------------

WORDS = st.sampled_from(["Iris", "cares", "about", "thrift", "Colby", "Bries", "it", "says", "."])


@given(st.lists(WORDS, max_size=12).map(" ".join))
def test_the_fast_search_for_claims_finds_what_the_plain_one_finds(text: str) -> None:
    spec = parse_spec(
        "# Core\n\nIris cares about thrift. It says.\n\n# Likes\n\n- Colby\n- Brie\n- Iris cares\n",
        name="s",
        model_name="Iris",
        provider_name="W",
    )
    phrases = [(one.id, one.text, "") for one in spec.claims]
    phrases += [(one.id, one.item, "(?:s|es)?") for one in spec.preferences]
    plain = tuple(id for id, phrase, end in phrases if _pattern(phrase, end).search(text))
    assert claim_finder(spec)(text) == plain
