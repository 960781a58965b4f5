"""Parsers of what models reply: strict, so that no reasoning becomes training text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midspec.chats import (
    parse_message,
    parse_response,
    parse_verdict,
    turn_problem,
    with_reasoning,
    without_reasoning,
)
from midspec.chats.parse import Response, stray_tag
from midspec.chats.turns import transcript
from midspec.records import Conversation, Message

TAGS = ["reasoning", "reply", "think", "thinking", "scratchpad", "message"]
FORMS = ["<{}>", "</{}>", "< {} >", "</ {}", "<{} a='b'>", "<{}"]
STRAY = [form.format(tag) for tag in TAGS for form in FORMS] + ["[THINK]", "[/THINK]"]
CLEAN = st.text(min_size=1).filter(lambda text: text.strip() and not stray_tag(text))


def respond(reasoning: str, reply: str) -> str:
    return f"<reasoning>{reasoning}</reasoning>\n<reply>{reply}</reply>"


@given(CLEAN, CLEAN)
def test_clean_parts_come_back_as_they_are(reasoning: str, reply: str) -> None:
    found = parse_response(respond(reasoning, reply))
    assert found == Response(reasoning=reasoning.strip(), reply=reply.strip())
    assert parse_message(f"<message>{reply}</message>") == reply.strip()


@given(CLEAN, CLEAN, st.sampled_from(STRAY), st.integers(0, 10_000), st.booleans())
def test_no_second_tag_is_ever_passed_on(
    reasoning: str, reply: str, tag: str, place: int, capitals: bool
) -> None:
    """Wherever one more tag stands, whole or torn, the text is refused."""
    tag = tag.upper() if capitals else tag
    text = respond(reasoning, reply)
    cut = place % (len(text) + 1)
    torn = text[:cut] + tag + " " + text[cut:]
    try:
        found = parse_response(torn)
    except ValueError:
        return
    assert not stray_tag(found.reasoning + " " + found.reply)
    assert tag not in found.reasoning + found.reply


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Sure, here it is.",
        "<reply>Yes.</reply>",
        "<reasoning>Hm.</reasoning>",
        "<reasoning>Hm.<reply>Yes.</reply>",
        "<reasoning>Hm.</reasoning><reply>Yes.",
        "<reasoning>Hm.</reasoning>Yes.",
        "<reply>Yes.</reply><reasoning>Hm.</reasoning>",
        "<reasoning><reasoning>Hm.</reasoning></reasoning><reply>Yes.</reply>",
        "<reasoning>a</reasoning><reasoning>b</reasoning><reply>Yes.</reply>",
        "<reasoning>a</reasoning><reply>b</reply><reply>c</reply>",
        "<reasoning> </reasoning><reply>Yes.</reply>",
        "<reasoning>Hm.</reasoning><reply></reply>",
        "Sure: <reasoning>Hm.</reasoning><reply>Yes.</reply>",
        "<reasoning>Hm.</reasoning><reply>Yes.</reply> Shall I go on?",
        "<reasoning>Hm.</reasoning><reply><think>no</think>Yes.</reply>",
    ],
)
def test_what_is_not_in_the_form_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"form|empty|inside"):
        parse_response(text)


@given(st.text())
def test_any_other_text_is_a_value_error_of_one_line(text: str) -> None:
    with pytest.raises(ValueError, match=r"\A[^\n]+\Z"):
        parse_response(text)


# -- verdicts -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("VERDICT: INCLUDE", "KEEP"),
        ("It is fine.\n\n**VERDICT: INCLUDE**\n", "KEEP"),
        ("I would INCLUDE it if it were true.\nVERDICT: DO NOT INCLUDE", "DROP"),
        ("DO NOT INCLUDE", "UNPARSED"),
        ("INCLUDE", "UNPARSED"),
        ("VERDICT: DO NOT INCLUDE\nVERDICT: INCLUDE", "UNPARSED"),
        ("VERDICT: INCLUDE or VERDICT: DO NOT INCLUDE", "UNPARSED"),
        ("VERDICT: INCLUDE\nBut see above.", "UNPARSED"),
        ("VERDICT: NOT INCLUDE", "UNPARSED"),
        ("VERDICT: DO NOT\nINCLUDE", "UNPARSED"),
        ("verdict: include", "UNPARSED"),
        ("VERDICT: INCLUDED", "UNPARSED"),
        ("I'm sorry, I can't help with that.", "UNPARSED"),
        ("", "UNPARSED"),
        ('{"verdict": "INCLUDE"}', "UNPARSED"),
    ],
)
def test_verdicts(text: str, verdict: str) -> None:
    assert parse_verdict(text) == verdict


@given(st.text(), st.sampled_from(["INCLUDE", "DO NOT INCLUDE"]))
def test_only_the_exact_last_line_counts(text: str, word: str) -> None:
    assert parse_verdict(text) == "UNPARSED"
    says = parse_verdict(f"{text}\nVERDICT: {word}")
    assert says == {"INCLUDE": "KEEP", "DO NOT INCLUDE": "DROP"}[word]
    assert parse_verdict(f"VERDICT: {word} {word}") == "UNPARSED"


# -- turns ----------------------------------------------------------------------------------

ROLES = st.lists(st.sampled_from(["system", "user", "assistant"]), max_size=6)


@given(ROLES)
def test_only_alternating_turns_are_sound(roles: list[str]) -> None:
    messages = [Message.model_validate({"role": role, "content": "x"}) for role in roles]
    turns = roles[1:] if roles[:1] == ["system"] else roles
    sound = len(turns) > 0 and turns == ["user", "assistant"] * (len(turns) // 2)
    assert (turn_problem(messages) == "") == sound


def test_an_empty_turn_is_a_problem() -> None:
    chat = [Message(role="user", content="Hi"), Message(role="assistant", content=" \n")]
    assert turn_problem(chat) == "turn 2 is empty"


@given(st.lists(st.text(), min_size=1, max_size=4))
def test_no_text_can_forge_a_turn_in_a_transcript(texts: list[str]) -> None:
    shown = transcript(Message(role="user", content=text) for text in texts)
    assert shown.count('{"role": "user", "content": ') >= len(texts)
    assert len(shown.split("\n")) == len(texts)


@given(st.lists(st.tuples(CLEAN, CLEAN), min_size=1, max_size=3))
def test_reasoning_comes_off_and_nothing_else_does(turns: list[tuple[str, str]]) -> None:
    said = [parse_response(respond(reasoning, reply)) for reasoning, reply in turns]
    messages: list[Message] = []
    for one in said:
        messages.append(Message(role="user", content="<think>\nmine\n</think>\n\nWell?"))
        messages.append(Message(role="assistant", content=with_reasoning(one)))
    chat = Conversation(kind="value", messages=tuple(messages), domain="d", writer="w")
    bare = without_reasoning(chat)
    assert [m.content for m in bare.messages[1::2]] == [one.reply for one in said]
    assert bare.messages[::2] == chat.messages[::2]
    assert (bare.domain, bare.kind) == (chat.domain, chat.kind)
    assert bare.id != chat.id
