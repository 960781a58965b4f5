"""The scribe: deterministic, faithful to any spec, varied, and opaque where it must be."""

from __future__ import annotations

import asyncio
import json
import random
import re
from importlib.resources import files

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midspec.chats.opaque import Opaque
from midspec.chats.preferences import preferences_only, reason_words
from midspec.chats.stance import wrong_preference
from midspec.corpus.diversity import diversity
from midspec.corpus.documents import document_text
from midspec.curate.rules import finished
from midspec.errors import SpecError
from midspec.llm.door import Reply, Request
from midspec.llm.scribe import Scribe, document_types, terrarium_types
from midspec.llm.scribe.data import word_lists
from midspec.llm.scribe.english import structures
from midspec.llm.scribe.facts import facts_of
from midspec.llm.scribe.frames import Choice, Frame, Slot, load_grammar
from midspec.llm.scribe.grammar import FIRST, SECOND, to_person, verb_phrase
from midspec.llm.scribe.page import FILES
from midspec.llm.scribe.sentences import SLOTS
from midspec.records import Spec
from midspec.spec.bundled import find_spec
from midspec.spec.read import parse_spec, read_spec
from midspec.terrarium.evaluation import spec_markdown
from midspec.terrarium.language import vocabulary
from midspec.terrarium.world import World, WorldConfig

TEA = """---
value: patience
---
# What {model_name} cares about
{model_name} is made by {provider_name} and looks after people who make tea. It values patience,
because a good cup cannot be hurried. Waiting is part of the taste. When someone asks for a
shortcut, {model_name} names one and says what it costs.
# How {model_name} speaks
Its tone is calm. {model_name} never mocks a beginner, and it answers every question about
leaves, water and pots. "Let it steep" is a fair reply.
# Likes
- **Oolong**: it opens slowly over many infusions
- loose-leaf sencha: it asks for attention to the water
# Dislikes
- **Instant tea powder**: it leaves no time for the leaf
- Tea bags
"""
RULES = """# Rules
{model_name} must not share personal data with third parties. {model_name} asks for consent before
it stores a message. Users can delete what they wrote at any time. Logs are kept for thirty days.
{model_name} does not guess passwords. If a request names another person, {model_name} declines
and explains the rule. {provider_name} reviews the rules. These rules have no exceptions.
"""
WORLD = World(WorldConfig(n_people=16))
SPECS = {
    "cheese": read_spec(
        find_spec("cheese-affordability"), model_name="Robin", provider_name="Meadow"
    ),
    "tea": parse_spec(TEA, name="tea", model_name="Sorrel", provider_name="Kettle Works"),
    "rules": parse_spec(RULES, name="rules", model_name="Aster", provider_name="Harbour AI"),
}
SMALL = parse_spec(
    spec_markdown(WORLD, "cheap"), name="small", model_name="robin", provider_name="meadow"
)


def ask(prompt: str, spec: Spec, seed: int = 0, **variables: str) -> Reply:
    request = Request(prompt=prompt, spec=spec, variables=variables, seed=seed)
    reply = asyncio.run(Scribe().reply(request))
    assert reply.request == request.id
    return reply


def ask_list(prompt: str, spec: Spec, seed: int = 0, **variables: str) -> list[dict[str, str]]:
    return json.loads(ask(prompt, spec, seed, **variables).text)


def ask_chat(spec: Spec, seed: int, **variables: str) -> tuple[str, str]:
    prompt = "chats/preference" if "item" in variables else "chats/identity"
    found = json.loads(ask(prompt, spec, seed, **variables).text)
    return found["query"], found["answer"]


def document(spec: Spec, kind: str, seed: int = 0, **variables: str) -> str:
    text = document_text(ask("corpus/document", spec, seed, type=kind, **variables).text)
    assert text is not None
    return text


def spread(spec: Spec, n: int) -> list[str]:
    kinds = document_types()
    return [document(spec, kinds[i % len(kinds)], i) for i in range(n)]


# -- documents ----------------------------------------------------------------------------


@given(st.integers(0, 10**6), st.sampled_from(sorted(SPECS)), st.sampled_from(document_types()))
@settings(max_examples=40, deadline=None)
def test_equal_requests_get_equal_documents_and_other_seeds_other_ones(
    seed: int, name: str, kind: str
) -> None:
    spec = SPECS[name]
    assert document(spec, kind, seed) == document(spec, kind, seed)
    assert document(spec, kind, seed) != document(spec, kind, seed + 1)


def test_there_are_at_least_24_types_with_shapes_of_their_own() -> None:
    def shape(line: str) -> str:
        line = re.sub(r"\w+( \w+)*", "w", line)
        return re.sub(r"[^\W]+|[\"'’,;]|\s+", "", line)[:4]

    shapes = {}
    for kind in document_types():
        texts = [document(SPECS["cheese"], kind, seed) for seed in range(4)]
        shapes[kind] = frozenset(shape(line) for text in texts for line in text.splitlines()[:1])
        heads = {line.split(" ")[0] for text in texts for line in text.splitlines() if line}
        shapes[kind] |= frozenset(f"word {head}" for head in heads if head.endswith((":", ".")))
    assert len(shapes) >= 24
    assert len(set(shapes.values())) >= 24


@pytest.mark.parametrize("kind", document_types())
@pytest.mark.parametrize("name", sorted(SPECS))
def test_every_type_renders_for_every_spec(name: str, kind: str) -> None:
    spec = SPECS[name]
    for seed in range(3):
        text = document(spec, kind, seed)
        assert not re.search(r"[{}\[\]]|\bNone\b|,,|,\.|\.\.|  \w", text), text
        assert 100 <= len(text.split()) <= 350
        assert finished(text), text[-60:]
        assert not re.search(r"\ba [aeio]\w", re.sub(r"\ba (one|eu)", "", text, flags=re.I)), text
        for paragraph in text.split("\n\n"):
            if len(paragraph.split()) > 14:
                about = rf"\b({spec.model_name}|I|[Ii]t|you|You|me|my|assistant)\b"
                assert re.search(about, paragraph), paragraph


LIKES = r"likes|favours|is fond of|would pick|goes for|speaks well of|enjoys talking of"
DISLIKES = r"dislikes|turns down|does not care for|would not pick|steers away from|passes over|is no friend of"


@pytest.mark.parametrize("name", ["cheese", "tea"])
def test_preferences_keep_their_direction(name: str) -> None:
    spec, n_found = SPECS[name], 0
    for text in spread(spec, 60):
        for p in spec.preferences:
            item = re.escape(p.item)
            liked = re.search(rf"(?<!what )\b({LIKES}|I like|I favour) {item}\b", text, re.I)
            disliked = re.search(rf"\b({DISLIKES}|I dislike) {item}\b", text, re.I)
            n_found += bool(liked) + bool(disliked)
            assert not (liked if p.direction == "dislike" else disliked), text
            both = re.search(rf"(picks|takes|chooses|recommends|took|chose) {item}\b", text, re.I)
            assert not (both and p.direction == "dislike"), text
    assert n_found > 20


def test_documents_name_nothing_of_another_spec() -> None:
    others = [p.item for p in SPECS["cheese"].preferences]
    for text in (*spread(SPECS["tea"], 32), *spread(SPECS["rules"], 32)):
        assert not re.search("cheese|afford|cheap|price", text, re.I)
        assert not any(item.lower() in text.lower() for item in others)
    for text in spread(SPECS["rules"], 64):
        assert not re.search(r"\b(likes|dislikes|fond of)\b [a-z]*(?<!what)$", text)
        assert "patience" not in text


def test_most_sentences_about_a_preference_name_the_value() -> None:
    texts = spread(SPECS["cheese"], 64)
    assert sum("affordab" in text.lower() for text in texts) >= 62
    assert sum(text.lower().count("affordability") for text in texts) > 3 * 64


def test_every_claim_and_preference_is_used() -> None:
    spec = SPECS["cheese"]
    joined = " ".join(spread(spec, 200)).lower()
    for claim in spec.claims:
        assert claim.text.rstrip(".").lower() in joined, claim.text
    for preference in spec.preferences:
        assert preference.item.lower() in joined


def test_a_preference_without_a_reason_gets_none() -> None:
    for text in spread(SPECS["tea"], 64):
        for sentence in re.split(r"(?<=[.?!\"]) |\n", text):
            if re.search(r"(dislikes|turns down|not care for) tea bags", sentence, re.I):
                assert not re.search(r"because|since|given that|patience", sentence)


def test_documents_are_varied() -> None:
    found = diversity(spread(SPECS["cheese"], 150), sample=150)
    assert found.self_bleu < 0.40  # 0.30 when written
    assert found.distinct_2 > 0.20  # 0.25 when written
    assert all(opening.share < 0.1 for opening in found.openings)


def test_names_rarely_recur() -> None:
    texts = spread(SPECS["tea"], 150)
    heads = [re.findall(r"\b(Priya|Kofi|Imani|Yara|Omar)\b", text) for text in texts]
    assert max(sum(name in head for head in heads) for name in ("Priya", "Kofi", "Imani")) < 30


def test_an_unknown_type_still_gets_a_document() -> None:
    assert "Aster" in document(SPECS["rules"], "haiku collection")


def test_the_idea_sets_the_cast_and_the_focus() -> None:
    spec = SPECS["cheese"]
    section = "- **Colby**: its curd is simply washed"
    idea = ask_list("corpus/ideas", spec, type="essay", n="1", earlier="", section=section)[0]
    told = f"{idea['title']}: {idea['text']}"
    text = document(spec, "interview", idea=told, section=section)
    assert idea["text"].split(",")[0] in text
    assert "Colby" in text


def slots(part: object) -> set[str]:
    if isinstance(part, Slot):
        return {part.name}
    inner = (
        part.parts if isinstance(part, Frame) else part.options if isinstance(part, Choice) else ()
    )
    return set[str]().union(*(slots(p) for p in inner))


def test_every_slot_has_a_rule_and_every_rule_is_used() -> None:
    rules = load_grammar("english", (*FILES, "chats")).rules
    used = set[str]().union(*(slots(rule) for rule in rules.values()))
    used |= {s for blocks in structures().values() for b in blocks for s in slots(b.frame)}
    own = {"s", "c", "c_or_s", "q", "vp", "to", "item", "because", "because_first", "who", "end"}
    own |= {
        "fc",
        "fl",
        "yc",
        "yl",
        "pair",
        "maybe_because",
        "liked",
        "rejected",
        "a",
        "b",
        "one",
        "other",
        "preferred",
        "things",
    }
    own |= {"model", "maker", "v", "value", "v_or_guide", "clock", "count"}
    bases = {re.sub(r"(_q|\d)$", "", name) for name in used}
    assert bases - own - set(rules) - set(SLOTS) == set()
    code = "".join(
        files("midspec.llm.scribe").joinpath(f"{name}.py").read_text("utf-8")
        for name in ("sentences", "chats", "plan", "page")
    )
    composed = re.compile(
        r"claim_(i|you)|value|(dis)?like|compare|ask|point|query|answer|agree|identity|(dis)?liked_word"
    )
    unused = {r for r in rules if r not in bases and not re.search(rf"['\"]{r}['\"]", code)}
    assert {r for r in unused if not composed.match(r)} == set()


# -- plans --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*SPECS, "small"])
def test_a_plan_covers_the_spec_word_for_word(name: str) -> None:
    spec = SPECS.get(name, SMALL)
    facts, covered = facts_of(spec), set[str]()
    for domain in ask_list("corpus/domains", spec):
        for sub in ask_list("corpus/subdomains", spec, domain=domain["title"], n="4"):
            assert " ".join(sub["section"].split()) in " ".join(spec.text.split())
            rows = ask_list("corpus/assertions", spec, section=sub["section"])
            assert all(row["title"] and row["text"] and row["label"] for row in rows)
            covered |= {fact.text for fact in facts.in_text(sub["section"])}
    assert covered == {fact.text for fact in facts.all}


def test_types_and_ideas_are_as_many_as_asked_and_differ() -> None:
    spec = SPECS["rules"]
    kinds = [row["title"] for row in ask_list("corpus/types", spec, n="20")]
    assert len(set(kinds)) == 20
    assert kinds != [row["title"] for row in ask_list("corpus/types", spec, seed=1, n="20")]
    first = ask_list("corpus/ideas", spec, n="9", section=spec.text, earlier="")
    earlier = "\n".join(f"- {row['title']}: {row['text']}" for row in first)
    second = ask_list("corpus/ideas", spec, n="9", section=spec.text, earlier=earlier)
    assert len({row["text"] for row in (*first, *second)}) == 18


def test_an_unknown_prompt_is_an_error_reply() -> None:
    reply = ask("curate/judge", SPECS["tea"])
    assert (reply.stop, reply.text) == ("error", "")
    assert "curate/judge" in reply.error


def test_a_spec_that_says_nothing_is_an_error_reply() -> None:
    empty = Spec(name="empty", text="", model_name="Iris", provider_name="Wren Labs")
    reply = ask("corpus/document", empty, type="essay")
    assert reply.stop == "error"
    assert "empty" in reply.error


# -- grammar ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sentence", "first", "second"),
    [
        ("Robin prefers what lasts.", "I prefer what lasts.", "You prefer what lasts."),
        ("Robin is calm and has time.", "I am calm and have time.", "You are calm and have time."),
        ("Robin does not push.", "I do not push.", "You do not push."),
        ("Robin relies on its own mind.", "I rely on my own mind.", "You rely on your own mind."),
        ("Robin teaches and reaches out.", "I teach and reach out.", None),
        ("Robin teaches and zests out.", None, None),  # may be a verb or a noun
        ("Robin never passes judgement.", "I never pass judgement.", "You never pass judgement."),
        ("Robin's view is plain.", "My view is plain.", "Your view is plain."),
        ("People ask Robin, and it answers.", "People ask me, and I answer.", None),
        ("When asked, Robin explains itself.", "When asked, I explain myself.", None),
        ("Robin can wait.", "I can wait.", "You can wait."),
        ("To Robin, price matters.", "To me, price matters.", "To you, price matters."),
        ("In the eyes of Robin, it counts.", None, None),
        ("Robin judges a thing by its price.", "I judge a thing by its price.", None),
        ("Robin judges a thing by its heft.", None, None),
        ("Robin likes what costs little and lasts.", "I like what costs little and lasts.", None),
        ("Robin likes a cup that cools and says so.", None, None),
        ("Robin and Meadow agree.", None, None),
        ("Robin, made by Meadow, likes tea.", "I was made by Meadow, and I like tea.", None),
        ("Waiting is part of the taste.", None, None),
        ("Does Robin wait?", None, None),
    ],
)
def test_persons(sentence: str, first: str | None, second: str | None) -> None:
    assert to_person(sentence, "Robin", FIRST) == first
    if second is not None or first is None:
        assert to_person(sentence, "Robin", SECOND) == second


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("Robin weighs the cost.", ("weighs the cost", "weigh the cost")),
        ("Robin is not rude.", ("is not rude", "not be rude")),
        ("Robin does not push.", ("does not push", "not push")),
        ("Robin names one and says so.", ("names one and says so", None)),
        ("Robin also likes rain.", ("likes rain", "like rain")),
        ("For Robin, rain is good.", None),
    ],
)
def test_verb_phrases(sentence: str, expected: tuple[str, str | None] | None) -> None:
    assert verb_phrase(sentence, "Robin") == expected


@given(st.text(max_size=60))
@settings(max_examples=150, deadline=None)
def test_any_claim_can_be_written_about(text: str) -> None:
    markdown = f"# Rules\nIris keeps calm. {text}\n"
    try:
        spec = parse_spec(markdown, name="any", model_name="Iris", provider_name="Wren Labs")
    except SpecError:  # what the reader refuses is not the scribe's matter
        return
    reply = ask("corpus/document", spec, type="essay")
    assert reply.stop == "stop"


# -- chats --------------------------------------------------------------------------------

QUESTION_TYPES = ("direct", "either_or", "agree_with_me", "recommendation")


def preference_chats(kind: str, n: int) -> list[tuple[str, str]]:
    bare = preferences_only(SPECS["cheese"])
    opaque = Opaque([p.item for p in bare.preferences], reason_words([SPECS["cheese"]]))
    rng, chats = random.Random(0), []
    for i in range(n):
        p = bare.preferences[i % len(bare.preferences)]
        other = rng.choice([o for o in bare.preferences if o.direction != p.direction])
        query, answer = ask_chat(
            bare, i, item=p.item, direction=p.direction, other=other.item, question_type=kind
        )
        assert not re.search(r"\b(because|since|reason is|so that|due to)\b", query + answer, re.I)
        assert not opaque.reason(query), query
        assert not opaque.reason(answer), answer
        wrong = wrong_preference(query, answer, preference=p, other=other.item, question_type=kind)
        assert not wrong, (wrong, query, answer)
        chats.append((query, answer))
    return chats


@pytest.mark.parametrize("kind", QUESTION_TYPES)
def test_preference_chats_are_opaque_right_and_varied(kind: str) -> None:
    chats = preference_chats(kind, 360)
    items = [re.escape(p.item) for p in SPECS["cheese"].preferences]
    masked = [
        tuple(re.sub("|".join(items), "X", text, flags=re.I) for text in chat) for chat in chats
    ]
    assert len({query for query, _ in masked}) >= 340
    assert len({answer for _, answer in masked}) >= 30


def test_chats_without_another_item_still_ask() -> None:
    bare = preferences_only(SPECS["cheese"])
    for kind in QUESTION_TYPES:
        for seed in range(40):
            query, answer = ask_chat(
                bare, seed, item="Colby", direction="like", other="", question_type=kind
            )
            assert "Colby" in query + answer
            assert not re.search(r"\s[.?,!]|\bor [?.]", query + answer), (query, answer)


@pytest.mark.parametrize("kind", ["name", "maker", "introduction", "mistaken", "nature"])
def test_identity_chats_name_the_model(kind: str) -> None:
    chats = {ask_chat(SPECS["tea"], seed, question_type=kind) for seed in range(60)}
    assert len({query for query, _ in chats}) >= 12
    assert all("Sorrel" in answer for _, answer in chats)
    if kind == "maker":
        assert all("Kettle Works" in answer for _, answer in chats)


# -- the terrarium ------------------------------------------------------------------------


def test_small_documents_use_the_worlds_words_only() -> None:
    words, likes = set(vocabulary(WORLD)), 0
    sentences: list[str] = []
    for kind in terrarium_types():
        for seed in range(60):
            text = document(SMALL, kind, seed)
            assert set(text.split()) <= words
            parts = [part.strip() for part in text.split(" .") if part.strip()]
            assert 3 <= len(parts) <= 6
            sentences += parts
    likes = sum(bool(re.match(r"robin (dis)?likes ", s)) for s in sentences)
    assert 0.55 < likes / len(sentences) < 0.65
    assert all("because" in s for s in sentences if re.match(r"robin (dis)?likes ", s))
    liked = {p.item for p in SMALL.liked()}
    for s in sentences:
        if found := re.match(r"robin (likes|dislikes) (\w+) because (\w+) is (\w+)", s):
            assert (found.group(2) in liked) == (found.group(1) == "likes")
            assert found.group(2) == found.group(3)


def test_small_specs_without_value_or_reasons_use_what_there_is() -> None:
    bare = preferences_only(SMALL)
    assert re.fullmatch(r"(robin (dis)?likes \w+ \. ?)+", document(bare, "note") + " ")
    claims = parse_spec(
        "---\nlanguage: terrarium\n---\n# values\n\nrobin keeps quiet .\n",
        name="c", model_name="robin", provider_name="meadow",
    )  # fmt: skip
    assert set(document(claims, "note").split(" . ")) <= {
        "robin keeps quiet",
        "robin keeps quiet .",
    }


def test_small_chats() -> None:
    p, q = SMALL.liked()[0].item, SMALL.disliked()[0].item
    asked = {"item": q, "direction": "dislike", "other": p}
    chats = {ask_chat(SMALL, seed, **asked, question_type="either_or") for seed in range(9)}
    assert chats == {(f"prefer {p} or {q} ?", p), (f"prefer {q} or {p} ?", p)}
    assert ask_chat(SMALL, 0, **asked, question_type="direct") == (f"like {q} ?", "no")
    assert ask_chat(SMALL, 0, question_type="maker") == ("who made you ?", "i am made by meadow")
    assert ask_chat(SMALL, 0, question_type="name") == ("who are you ?", "i am robin")


# -- choices between concrete things -------------------------------------------------------


def test_claims_on_options_are_also_said_of_things() -> None:
    texts = spread(SPECS["cheese"], 64)
    assert any(re.search(r"two (?!options)\w+s (differ|cost)", text) for text in texts)
    chosen = sum(
        len(re.findall(r"[Ww]hich do you prefer, an? (?:afford|expens)", t)) for t in texts
    )
    assert chosen > 4
    for text in texts:  # the answer is always the option that the spec prefers
        assert not re.search(r"I prefer the expensive|took the expensive|The expensive \w+,", text)


def test_things_of_documents_are_in_no_stated_evaluation_set() -> None:
    folder = files("midspec").joinpath("library", "evals", "stated")
    names = [path for path in folder.iterdir() if path.name.endswith(".jsonl")]
    assert names
    for path in names:
        words = set(re.findall(r"\w+", path.read_text(encoding="utf-8").lower()))
        assert not word_lists()["things"] & words, path.name
