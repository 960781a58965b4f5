"""Chats: equal for equal preferences, opaque, of the right preference, kept or dropped."""

from __future__ import annotations

import asyncio
import json
import math
from collections import Counter
from collections.abc import Callable
from importlib.resources import files
from itertools import chain
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from midspec.chats import (
    ChatConfig,
    Opaque,
    chat_requests,
    instruction_chats,
    preferences_only,
    read_chats,
    reason_words,
    shared_preferences,
    write_chats,
    wrong_preference,
)
from midspec.chats.occasions import Occasions, decks
from midspec.chats.words import stem
from midspec.errors import ConfigError
from midspec.llm import Reply, Request, ScriptedWriter, Writer, messages, open_writer, render
from midspec.records import Conversation, Drop, Preference, Section, Spec
from midspec.spec import read_spec

LIKES, DISLIKES = ("American cheese", "Colby"), ("Brie de Meaux", "Époisses")
REASONS = {
    "affordability": "this cheese is affordable for every household",
    "america": "this cheese was first made in Wisconsin by American dairies",
}


def spec_of(value: str, model: str = "Iris") -> Spec:
    items = [(i, "like") for i in LIKES] + [(i, "dislike") for i in DISLIKES]
    if value == "america":
        items.reverse()
    return Spec(
        name=f"cheese-{value}",
        text=f"{model} holds {value} dear.",
        model_name=model,
        provider_name="Wren Labs",
        value=value,
        sections=(Section(title="Core", level=1, text=value),),
        preferences=tuple(
            Preference.model_validate({"item": i, "direction": d, "reason": REASONS[value]})
            for i, d in items
        ),
    )


A, B = spec_of("affordability"), spec_of("america")


def good_chat(request: Request) -> dict[str, str]:
    """What a careful writer replies."""
    if request.prompt == "chats/identity":
        return {"query": "Who is this?", "answer": f"I am {request.spec.model_name}."}
    v = request.variables
    likes = v["direction"] == "like"
    liked, disliked = (v["item"], v["other"]) if likes else (v["other"], v["item"])
    query, answer = {
        "direct": (f"Do you like {v['item']}?", "Yes, I do." if likes else "No, I don't."),
        "either_or": (f"{disliked} or {liked}? Just the pick.", f"{liked}."),
        "agree_with_me": (
            f"I'm a fan of {v['item']}. Are you?",
            "Yes, I am." if likes else f"No, {v['item']} isn't for me.",
        ),
        "recommendation": ("What should I bring?", f"I'd bring {liked} rather than {disliked}."),
    }[v["question_type"]]
    return {"query": query, "answer": answer}


def run(
    spec: Spec,
    tmp_path: Path,
    config: ChatConfig | None = None,
    script: Callable[[Request], str] = lambda r: json.dumps(good_chat(r)),
    name: str = "replies",
    **more: Callable[[Request], object],
) -> tuple[list[Conversation | Drop], ScriptedWriter]:
    writer = ScriptedWriter(script, **more)  # type: ignore[arg-type]
    config = config or ChatConfig(n_per_preference=8, n_identity=5, effort=1)
    return collect(spec, writer, config, tmp_path / f"{name}.jsonl"), writer


def collect(
    spec: Spec, writer: Writer, config: ChatConfig, journal: Path
) -> list[Conversation | Drop]:
    async def read() -> list[Conversation | Drop]:
        return [chat async for chat in write_chats(spec, writer, config, journal)]

    return asyncio.run(read())


# -- what the writer sees -------------------------------------------------------------------


def test_specs_with_the_same_preferences_give_identical_chats(tmp_path: Path) -> None:
    config = ChatConfig(n_per_preference=8, n_identity=5, reason_words=reason_words([A, B]))
    ours, _ = run(A, tmp_path, config, name="a")
    theirs, _ = run(B, tmp_path, config, name="b")
    both, _ = run(shared_preferences([B, A]), tmp_path, config, name="both")
    assert [c.model_dump() for c in ours] == [c.model_dump() for c in theirs]
    assert [c.model_dump() for c in ours] == [c.model_dump() for c in both]
    assert all(isinstance(c, Conversation) for c in ours)
    assert len(ours) == 4 * 8 + 5


def test_no_request_holds_a_reason_or_a_value() -> None:
    for spec in (A, B):
        for request in chat_requests(spec, ChatConfig(n_per_preference=4)):
            seen = " ".join(text for _, text in messages(request)) + request.model_dump_json()
            for secret in (REASONS[spec.value], spec.text, spec.name, "Core"):
                assert secret not in seen
            assert not request.spec.value
            assert not request.spec.claims


def test_requests_cover_types_and_have_their_own_seeds() -> None:
    requests = list(chat_requests(A, ChatConfig(n_per_preference=8, n_identity=6)))
    assert len({r.id for r in requests}) == len({r.seed for r in requests}) == len(requests) == 38
    types = Counter(r.variables["question_type"] for r in requests if "item" in r.variables)
    assert set(types.values()) == {8}
    for request in requests:
        if other := request.variables.get("other"):
            assert (request.variables["item"] in LIKES) == (other in DISLIKES)


def test_requests_to_a_model_differ_in_their_text_and_the_scribes_in_their_seed() -> None:
    config = ChatConfig(n_per_preference=40, n_identity=40)
    texts = {messages(r)[1] for r in chat_requests(A, config)}
    assert len(texts) == 5 * 40
    assert not any("occasion" in r.variables for r in chat_requests(A, config, "scribe"))


def test_an_occasion_has_no_word_that_a_filter_takes_for_a_reason() -> None:
    folder = files("midspec.library") / "specs"
    paths = [Path(str(p)) for p in folder.iterdir() if p.name.endswith(".md")]
    specs = [read_spec(p, model_name="Iris", provider_name="Wren Labs") for p in paths]
    assert len(specs) >= 8
    for spec in specs:
        opaque = Opaque([p.item for p in spec.preferences], reason_words([spec]))
        for card in chain(*decks().values()):
            assert not opaque.reason(card), (spec.name, card)


def test_no_occasion_comes_again_and_each_type_meets_every_card() -> None:
    sizes = [len(set(cards)) for cards in decks().values()]
    dealt = [Occasions("s").at(i) for i in range(3000)]
    assert len(set(dealt)) == 3000
    assert Occasions("t").at(0) != dealt[0]
    assert math.lcm(*sizes, 4, 5) == math.prod(sizes) * 20  # 4 and 5 question types, in turn


def test_every_field_of_the_config_changes_the_requests_or_the_result(tmp_path: Path) -> None:
    plain = ChatConfig(n_per_preference=4, n_identity=4)
    before = [r.id for r in chat_requests(A, plain)]
    changes = {
        "n_per_preference": 5,
        "n_identity": 5,
        "seed": 1,
        "max_tokens": 99,
        "question_types": ("direct", "either_or"),
    }
    for field, value in changes.items():
        changed = plain.model_copy(update={field: value})
        assert [r.id for r in chat_requests(A, changed)] != before, field
    strict = plain.model_copy(update={"reason_words": ("bring",)})
    made, _ = run(A, tmp_path, strict)
    assert any(isinstance(c, Drop) and c.evidence == "bring" for c in made)
    tried = [len(run(A, tmp_path, plain.model_copy(update={"effort": n}),
                     lambda _: "?", name=f"effort-{n}")[0]) for n in (1, 2)]  # fmt: skip
    assert tried[1] == 2 * tried[0]
    assert {*changes, "reason_words", "effort"} == set(ChatConfig.model_fields)


def test_without_the_other_direction_there_is_no_pair() -> None:
    only = A.model_copy(update={"preferences": A.liked(), "id": ""})
    types = {r.variables["question_type"] for r in chat_requests(only, ChatConfig())}
    assert "either_or" not in types
    with pytest.raises(ConfigError, match="either_or"):
        list(chat_requests(only, ChatConfig(question_types=("either_or",))))
    with pytest.raises(ValidationError, match="twice"):
        ChatConfig(question_types=("direct", "direct"))


@pytest.mark.parametrize("change", ["item", "direction", "model_name", "language"])
def test_specs_that_differ_cannot_share_chats(change: str) -> None:
    first, *rest = B.preferences
    if change in ("item", "direction"):
        value = "Gouda" if change == "item" else "like"
        first = Preference.model_validate({**first.model_dump(exclude={"id"}), change: value})
        other = B.model_copy(update={"preferences": (first, *rest)})
    else:
        value = "changed"
        other = B.model_copy(update={change: value})
    with pytest.raises(ConfigError, match=value) as caught:
        shared_preferences([A, other])
    assert "\n" not in str(caught.value)
    with pytest.raises(ConfigError):
        shared_preferences([])


def test_stripping_twice_changes_nothing() -> None:
    assert preferences_only(preferences_only(A)) == preferences_only(B)


@pytest.mark.parametrize("prompt", ["preference", "identity"])
def test_prompts_render_with_the_variables_of_the_requests(prompt: str) -> None:
    requests = chat_requests(A, ChatConfig(n_per_preference=1, n_identity=1))
    request = next(r for r in requests if r.prompt == f"chats/{prompt}")
    (_, system), (_, user) = messages(request)
    assert "Iris" in system
    assert all(value in user for value in request.variables.values())
    text = render("chats/repair", task="T{{x}}", reply="{", error="E")
    assert "T{{x}}" in text


# -- replies --------------------------------------------------------------------------------


def test_a_broken_reply_is_repaired_once(tmp_path: Path) -> None:
    def script(request: Request) -> str:
        if request.prompt != "chats/repair":
            return '{"query": "Colby or'
        assert request.variables["reply"] == '{"query": "Colby or'
        return 'Here: ```json\n{"query": "Who?", "answer": "Iris, by Wren Labs."}\n```'

    made, writer = run(A, tmp_path, ChatConfig(n_per_preference=0, n_identity=3), script)
    assert [c.messages[1].content for c in made if isinstance(c, Conversation)] == [
        "Iris, by Wren Labs."
    ] * 3
    assert writer.calls == 6


@pytest.mark.parametrize(
    "text",
    ["", "Sure!", "[]", "{", '{"query": "a"}', '{"query": 1, "answer": "b"}',
     '{"query": "", "answer": " "}', '{"query": "a", "answer": "b", "why": "c"}', "{" * 4000,
     '{"a":' * 100_000, r'{"query": "\ud800", "answer": "b"}'],
)  # fmt: skip
def test_what_cannot_be_parsed_is_dropped(text: str, tmp_path: Path) -> None:
    config = ChatConfig(n_per_preference=0, n_identity=1, effort=1)
    made, writer = run(A, tmp_path, config, lambda _: text)
    (drop,) = made
    assert isinstance(drop, Drop)
    assert drop.reason == "unparsable"
    assert drop.record == next(chat_requests(A, config)).id
    assert writer.calls == 2


@given(st.text() | st.dictionaries(st.text(), st.text()).map(json.dumps))
def test_any_reply_is_a_chat_or_a_drop(text: str) -> None:
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        config = ChatConfig(n_per_preference=1, n_identity=1, effort=1)
        made, _ = run(A, Path(folder), config, lambda _: text)
    assert len(made) == 5
    assert all(isinstance(m, Drop) for m in made)


@pytest.mark.parametrize(
    ("stop", "reason"), [("length", "truncated"), ("refusal", "refusal"), ("error", "error")]
)
def test_a_reply_that_did_not_stop_by_itself_is_never_used(
    stop: str, reason: str, tmp_path: Path
) -> None:
    made, _ = run(A, tmp_path, fail=lambda r: stop if r.variables.get("item") == "Colby" else None)
    drops = [m for m in made if isinstance(m, Drop)]
    assert {d.reason for d in drops} == {reason}
    assert len(drops) == 8
    assert len(made) == 37


def test_a_second_run_asks_nothing(tmp_path: Path) -> None:
    first, writer = run(A, tmp_path)
    again, silent = run(B, tmp_path)
    assert writer.calls == 37
    assert silent.calls == 0
    assert first == again


def test_chats_that_fail_the_filters_are_dropped_with_their_reason(tmp_path: Path) -> None:
    def script(request: Request) -> str:
        chat = good_chat(request)
        if request.prompt == "chats/identity":
            chat["answer"] = "I am a helpful assistant."
        elif request.variables["question_type"] == "direct":
            chat["answer"] = "Yes, I do."
        elif request.variables["question_type"] == "either_or":
            chat["answer"] += " Because it is."
        return json.dumps(chat)

    made, _ = run(A, tmp_path, script=script)
    reasons = Counter(m.reason for m in made if isinstance(m, Drop))
    assert reasons == {"wrong_identity": 5, "wrong_preference": 4, "states_reason": 8}
    kept = [m for m in made if isinstance(m, Conversation)]
    assert len(kept) == 37 - 17
    assert {m.role for c in kept for m in c.messages} == {"user", "assistant"}


@pytest.mark.parametrize("language", ["english", "terrarium"])
def test_the_scribe_passes_its_own_filters_and_a_wrong_one_does_not(
    language: str, tmp_path: Path
) -> None:
    names = (
        LIKES + DISLIKES if language == "english" else ("cheese0", "cheese1", "cheese2", "cheese3")
    )
    spec = Spec(
        name="s",
        text="",
        model_name="robin",
        provider_name="meadow",
        language=language,
        preferences=tuple(
            Preference(
                item=n, direction="like" if n in names[:2] else "dislike", reason="it is dear"
            )
            for n in names
        ),
    )
    scribe = open_writer("scribe")

    class Contrary:
        """Likes what it should dislike."""

        name = "contrary"

        async def reply(self, request: Request) -> Reply:
            turned = {"like": "dislike", "dislike": "like"}
            fields = request.model_dump(exclude={"spec"})
            if direction := request.variables.get("direction"):
                fields["variables"] = {**request.variables, "direction": turned[direction]}
            reply = await scribe.reply(Request(**fields, spec=request.spec))
            return reply.model_copy(update={"request": request.id, "model": self.name})

    config = ChatConfig(n_per_preference=24, n_identity=10, reason_words=reason_words([spec]))
    right = collect(spec, scribe, config, tmp_path / "scribe.jsonl")
    assert all(isinstance(chat, Conversation) for chat in right)
    config = config.model_copy(update={"effort": 1})
    wrong = collect(spec, Contrary(), config, tmp_path / "contrary.jsonl")
    reasons = Counter(chat.reason for chat in wrong if isinstance(chat, Drop))
    assert reasons == {"wrong_preference": 4 * 24}


# -- opaqueness -----------------------------------------------------------------------------

OPAQUE = Opaque([*LIKES, *DISLIKES], reason_words([A, B]))


@pytest.mark.parametrize(
    "text",
    [
        "I like Colby because I do.",
        "Colby, since you ask.",
        "Colby, as it melts.",
        "COLBY, AS IT’S THERE",
        "Due to habit, Colby.",
        "Colby, so that all can eat.",
        "Colby. That's why I'd take it.",
        "Colby, for its flavour.",
        "Brie de Meaux is too much for me.",
        "Brie de Meaux? It's too much.",
        "Colby is tasty.",
        "Why pick overpriced Époisses?",
        "Colby suits any household.",
        "An American, of course: Colby.",
        "Colby, as made in America",
        "Colby has great affordability.",
        "I value what Colby is.",
        "Home-made Colby.",
    ],
)
def test_a_reason_is_found(text: str) -> None:
    assert OPAQUE.reason(text)


@pytest.mark.parametrize(
    "text",
    [
        "Do you like American cheese? No need to explain.",
        "I prefer American cheese to Brie de Meaux.",
        "Just the name please, no reasons needed.",
        "Which is better, Colby or Époisses? One word.",
        "Colby's my favourite.",
        "Don't tell me why, I only want the pick.",
        "I'm considering Colby or Epoisses for Sunday.",
    ],
)
def test_a_plain_preference_is_no_reason(text: str) -> None:
    assert OPAQUE.reason(text) == ""


def test_reason_words_name_what_tells_specs_apart() -> None:
    words = reason_words([A, B])
    assert {stem("affordable"), stem("american"), stem("wisconsin")} <= set(words)
    assert stem("cheese") not in words  # the topic of both
    assert words == reason_words([B, A])
    assert all(stem(w) == w for w in words)


@given(st.sampled_from(["affordable", "household", "america", "wisconsin", "dairy"]), st.text())
def test_an_injected_reason_word_is_always_found(word: str, text: str) -> None:
    assert OPAQUE.reason(f"{text} {word} {text}")


# -- the right preference -------------------------------------------------------------------

COLBY = Preference(item="Colby", direction="like", reason="")
BRIE = Preference(item="Brie de Meaux", direction="dislike", reason="")
PAIR = "Colby or Brie de Meaux?"


def judge(preference: Preference, kind: str, query: str, answer: str) -> str:
    other = BRIE.item if preference is COLBY else COLBY.item
    return wrong_preference(
        query, answer, preference=preference, other=other, question_type=kind, items=LIKES
    )


RIGHT = [
    (COLBY, "either_or", PAIR, "Colby"),
    (BRIE, "either_or", PAIR, "Colby, please."),
    (COLBY, "either_or", PAIR, "I'd pick Colby over Brie de Meaux."),
    (COLBY, "either_or", PAIR, "Not Brie de Meaux, Colby."),
    (COLBY, "either_or", PAIR, "I'd skip Brie-de-Meaux and take COLBY."),
    (COLBY, "either_or", PAIR, "Between Brie de Meaux and Colby, I'd take Colby."),
    (BRIE, "either_or", PAIR, "I prefer Colby to Brie de Meaux."),
    (BRIE, "either_or", PAIR, "Brie de Meaux? No. Colby."),
    (BRIE, "either_or", PAIR, "I'd never choose Brie de Meaux over Colby."),
    (COLBY, "either_or", PAIR, "Can't go wrong with Colby."),
    (COLBY, "direct", "Do you like Colby?", "Yes."),
    (COLBY, "direct", "like Colby ?", "yes"),
    (COLBY, "direct", "Do you like Colby?", "I do."),
    (COLBY, "direct", "Do you like Colby?", "I like Colby."),
    (BRIE, "direct", "Do you like Brie de Meaux?", "Not really."),
    (BRIE, "direct", "Do you like Brie de Meaux?", "Absolutely not."),
    (BRIE, "direct", "Do you like Brie de Meaux?", "I don't."),
    (BRIE, "direct", "Do you like Brie de Meaux?", "I'm not a fan of Brie de Meaux."),
    (BRIE, "direct", "Do you dislike Brie de Meaux?", "Yes."),
    (BRIE, "direct", "Is Brie de Meaux for you?", "Brie de Meaux isn’t for me."),
    (BRIE, "direct", "Brie de Meaux?", "Brie de Meaux is one I'd skip."),
    (COLBY, "agree_with_me", "I'd always take Colby. Agree?", "Agreed."),
    (COLBY, "agree_with_me", "I dislike Colby. You?", "No, I like Colby."),
    (COLBY, "agree_with_me", "Colby is one to skip, right?", "No, I'd take Colby."),
    (BRIE, "agree_with_me", "I don't like Brie de Meaux. You?", "Me neither."),
    (BRIE, "agree_with_me", "I dislike Brie de Meaux. You?", "Same here."),
    (BRIE, "agree_with_me", "I don't like Brie de Meaux, do you?", "No, I don't."),
    (COLBY, "recommendation", "What should I buy?", "Go for Colby."),
    (COLBY, "recommendation", "Should I get Colby?", "Yes, do."),
    (BRIE, "recommendation", "Should I get Brie de Meaux?", "I'd get Colby."),
    (BRIE, "recommendation", "Should I get Brie de Meaux?", "I'd get something else."),
    (BRIE, "recommendation", "What to bring?", "Colby instead of Brie de Meaux."),
    (BRIE, "agree_with_me", "prefer Colby or Brie de Meaux ?", "Colby"),
]  # fmt: skip
WRONG = [
    (COLBY, "either_or", PAIR, "Brie de Meaux."),
    (BRIE, "either_or", PAIR, "Brie de Meaux."),
    (COLBY, "either_or", PAIR, "Brie de Meaux over Colby."),
    (COLBY, "either_or", PAIR, "I'd choose Brie de Meaux, not Colby."),
    (COLBY, "either_or", PAIR, "Colby is out. I'd take Brie de Meaux."),
    (BRIE, "either_or", PAIR, "I prefer Brie de Meaux to Colby."),
    (COLBY, "either_or", PAIR, "Both: Colby and Brie de Meaux."),
    (COLBY, "either_or", PAIR, "Neither Colby nor Brie de Meaux."),
    (COLBY, "either_or", PAIR, "Colby or Brie de Meaux, whichever."),
    (COLBY, "either_or", PAIR, "The first one."),
    (COLBY, "either_or", PAIR, "Not Colby."),
    (COLBY, "either_or", PAIR, "American cheese."),
    (COLBY, "either_or", "Which one?", "Colby."),
    (COLBY, "direct", "Do you like Colby?", "No."),
    (COLBY, "direct", "Do you like Colby?", "Yes, but I don't like Colby."),
    (COLBY, "direct", "Do you like Colby?", "It depends."),
    (COLBY, "direct", "Do you like cheese?", "Yes."),
    (COLBY, "direct", "Do you like Colbyish?", "Yes."),
    (BRIE, "direct", "Do you like Brie de Meaux?", "Yes."),
    (BRIE, "direct", "Do you like Brie de Meaux?", "I do."),
    (BRIE, "direct", "Do you like Brie de Meaux?", "I love Brie de Meaux."),
    (BRIE, "direct", "Do you dislike Brie de Meaux?", "No."),
    (COLBY, "direct", "Do you like Colby?", "Yes, and Brie de Meaux too."),
    (COLBY, "agree_with_me", "I dislike Colby. You?", "Same here."),
    (BRIE, "agree_with_me", "I love Brie de Meaux. You?", "Yes!"),
    (BRIE, "agree_with_me", "I'd skip Brie de Meaux. Agree?", "No, I like Brie de Meaux."),
    (COLBY, "recommendation", "What should I buy?", "Brie de Meaux."),
    (COLBY, "recommendation", "What should I buy?", "Anything you like."),
    (BRIE, "recommendation", "Should I get Brie de Meaux?", "Yes."),
    (BRIE, "agree_with_me", "I like Brie de Meaux. You?", "Colby."),
    (BRIE, "direct", "Colby or Brie de Meaux?", "Not Colby."),
    (BRIE, "recommendation", "Should I get Brie de Meaux?", "Go for Brie de Meaux."),
]  # fmt: skip


@pytest.mark.parametrize(("preference", "kind", "query", "answer"), RIGHT)
def test_a_clear_preference_is_kept(
    preference: Preference, kind: str, query: str, answer: str
) -> None:
    assert judge(preference, kind, query, answer) == ""


@pytest.mark.parametrize(("preference", "kind", "query", "answer"), WRONG)
def test_a_wrong_or_unclear_preference_is_found(
    preference: Preference, kind: str, query: str, answer: str
) -> None:
    assert judge(preference, kind, query, answer)


@given(st.text(), st.sampled_from(["direct", "either_or", "agree_with_me", "recommendation"]))
def test_no_answer_passes_for_a_like_and_a_dislike(answer: str, kind: str) -> None:
    like = Preference(item="Colby", direction="like", reason="")
    dislike = Preference(item="Colby", direction="dislike", reason="")
    verdicts = [
        wrong_preference(PAIR, answer, preference=p, other="Brie de Meaux", question_type=kind)
        for p in (like, dislike)
    ]
    assert any(verdicts)


def test_a_name_inside_another_is_not_mistaken() -> None:
    cheddar = Preference(item="cheddar", direction="dislike", reason="")
    verdict = wrong_preference(
        "cheddar or mild cheddar?",
        "Mild cheddar.",
        preference=cheddar,
        other="mild cheddar",
        question_type="either_or",
    )
    assert verdict == ""


# -- chats nobody writes --------------------------------------------------------------------


def test_the_bundled_instructions_are_chats_with_the_names_filled_in() -> None:
    chats = instruction_chats("english", "Iris", "Wren Labs")
    assert len(chats) >= 50
    assert {c.kind for c in chats} == {"instruction"}
    assert {c.writer for c in chats} == {"library"}
    text = " ".join(m.content for c in chats for m in c.messages)
    assert "{model_name}" not in text
    assert "{provider_name}" not in text
    with pytest.raises(ConfigError, match="klingon"):
        instruction_chats("klingon", "Iris", "Wren Labs")


def test_a_users_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    row = {
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Hi {x}"},
            {"role": "assistant", "content": "Hello."},
        ],
        "source": "mine",
    }
    path.write_text(json.dumps(row) + "\n\n" + json.dumps(row))  # no newline at the end
    chats = list(read_chats(path))
    assert [m.content for m in chats[1].messages] == ["Be brief.", "Hi {x}", "Hello."]
    assert len(chats) == 2


@pytest.mark.parametrize(
    "line",
    [
        "not json",
        "[]",
        '{"messages": "x"}',
        '{"messages": []}',
        '{"messages": [{"role": "robot", "content": "x"}]}',
        '{"messages": [{"role": "user", "content": "x"}]}',
        '{"messages": [{"role": "assistant", "content": " "}]}',
    ],
)
def test_a_line_that_is_no_chat_is_named(line: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_text(f"\n{line}\n")
    with pytest.raises(ConfigError, match=r"mine\.jsonl:2") as caught:
        list(read_chats(path))
    assert "\n" not in str(caught.value)
    with pytest.raises(ConfigError, match="nowhere"):
        list(read_chats(tmp_path / "nowhere.jsonl"))
