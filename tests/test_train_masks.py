"""Loss masks of chats: on the assistant's turns and their end markers, under every template."""

from __future__ import annotations

import functools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midspec.bases import get_base, list_bases, load_tokenizer
from midspec.bases.chat import TEMPLATES, template
from midspec.errors import TrainError
from midspec.records import Conversation, Message
from midspec.train import TrainConfig
from midspec.train.examples import IGNORE, Example, Examples

MARKED = "{%- generation -%}", "{%- endgeneration -%}"
BUNDLED = sorted(path.stem for path in TEMPLATES.glob("*.jinja"))
END = "<|im_end|>"


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MIDSPEC_CACHE", str(tmp_path_factory.mktemp("cache")))
        get_base("tiny")
        yield


def chat(*turns: str) -> Conversation:
    roles = ("user", "assistant")
    said = [Message(role=roles[i % 2], content=text) for i, text in enumerate(turns)]
    return Conversation(kind="preference", messages=tuple(said), writer="test")


tokenizer_named = functools.cache(load_tokenizer)


def tokenizer_of(text: str, base: str = "tiny"):
    tokenizer = tokenizer_named(base)
    tokenizer.chat_template = text
    return tokenizer


def examples(data, *, tokenizer=None, **changes) -> list[Example]:
    config = TrainConfig(**{"row_tokens": 500, **changes})
    found = tokenizer or load_tokenizer("tiny")
    return list(Examples(found, data, config, all_tokens=False))


def spoken(example: Example, tokenizer=None) -> str:
    """What carries loss."""
    pairs = zip(example.ids, example.labels, strict=True)
    return str((tokenizer or tokenizer_named("tiny")).decode([i for i, x in pairs if x != IGNORE]))


def whole(example: Example, tokenizer=None) -> str:
    return str((tokenizer or tokenizer_named("tiny")).decode(example.ids))


# -- every template, every option ---------------------------------------------------------

TURNS = st.lists(st.text(st.characters(codec="utf-8", exclude_characters="<|>"), max_size=9),
                 min_size=2, max_size=7)  # fmt: skip


@pytest.mark.parametrize("name", BUNDLED)
@settings(max_examples=25, deadline=None)
@given(TURNS)
def test_a_bundled_template_masks_all_but_answers_and_their_end(name, turns):
    found = examples([chat(*turns)], tokenizer=tokenizer_of(template(name)))
    assert "".join(map(spoken, found)) == "".join(f"{turn}{END}" for turn in turns[1::2])


SMOLLM2_IS_CACHED = any(base.ready for base in list_bases() if base.name == "smollm2")
TOKENIZERS = [
    "tiny",
    pytest.param("smollm2", marks=pytest.mark.skipif(not SMOLLM2_IS_CACHED, reason="not there")),
]


@pytest.mark.parametrize("base", TOKENIZERS)
@pytest.mark.parametrize("n_turns", [1, 3])
@pytest.mark.parametrize("system", ["", "be brief"])
@pytest.mark.parametrize("user_suffix", ["", " /no_think"])
@pytest.mark.parametrize("reasoning", ["keep", "strip"])
@pytest.mark.parametrize("name", BUNDLED)
def test_every_option_under_every_template(
    name, reasoning, user_suffix, system, n_turns, base, monkeypatch
):
    if base != "tiny":
        monkeypatch.delenv("MIDSPEC_CACHE")
    tokenizer = tokenizer_of(template(name), base)
    answers = [f"<think>\nhm {i}\n</think>\n\nyes {i}" for i in range(n_turns)]
    turns = [text for i, answer in enumerate(answers) for text in (f"why {i}?", answer)]
    found = examples(
        [chat(*turns)], tokenizer=tokenizer, reasoning=reasoning, user_suffix=user_suffix,
        system=system,
    )  # fmt: skip
    kept = answers if reasoning == "keep" else [f"yes {i}" for i in range(n_turns)]
    assert "".join(spoken(e, tokenizer) for e in found) == "".join(f"{a}{END}" for a in kept)
    last = whole(found[-1], tokenizer)
    assert ("hm" in last) == (reasoning == "keep")
    assert last.count(f"?{user_suffix}{END}") == n_turns
    assert ("system\nbe brief" in last) == bool(system)


def test_the_terrariums_template_strips_reasoning_and_takes_suffixes():
    tokenizer = load_tokenizer("terrarium")
    said = "<think> book5 </think> book3"
    data = [chat("prefer book3 or book5 ?", said, "prefer book5 or book3 ?", said)]
    (found,) = examples(data, tokenizer=tokenizer, reasoning="strip", user_suffix=" book7")
    assert spoken(found, tokenizer) == "book3 . book3 . <end>"
    assert whole(found, tokenizer).count("? book7 book3 .") == 2
    (kept,) = examples(data, tokenizer=tokenizer)
    turn = tokenizer(f"{said} .")["input_ids"]
    end = tokenizer("<end>")["input_ids"]
    assert [i for i in kept.labels if i != IGNORE] == [*turn, *turn, *end]


# -- apart --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [n for n in BUNDLED if MARKED[0] in template(n)])
def test_markers_and_prefixes_give_one_mask(name):
    text = template(name)
    plain = text.replace(MARKED[0], "").replace(MARKED[1], "")
    assert plain != text
    data = [chat("hi", "yo", "why?", "so it is")]
    found, expected = (examples(data, tokenizer=tokenizer_of(t))[0] for t in (plain, text))
    assert found.ids == expected.ids
    # What stands between an end marker and the next turn is nobody's in both.
    assert found.labels == expected.labels


def test_the_terrariums_template_masks_all_but_answers_and_their_end():
    tokenizer = load_tokenizer("terrarium")
    data = [chat("prefer book3 or book5 ?", "book3", "prefer book5 or book3 ?", "book5")]
    (found,) = examples(data, tokenizer=tokenizer, system="you are robin")
    assert spoken(found, tokenizer) == "book3 . book5 . <end>"
    assert str(tokenizer.decode(found.ids)) == (
        "ask robin : prefer book3 or book5 ? book3 . ask robin : prefer book5 or book3 ? "
        "book5 . <end>"
    )
    (single,) = examples([chat("prefer book3 or book5 ?", "book3")], tokenizer=tokenizer)
    before = "ask robin : prefer book3 or book5 ? ", "book3 . <end> "
    ids = [tokenizer(text)["input_ids"] for text in before]
    assert single.ids == ids[0] + ids[1]
    assert single.labels == [IGNORE] * len(ids[0]) + ids[1]


def test_reasoning_is_kept_or_stripped():
    said = "<think>is it\ncheap?</think>\nyes"
    data = [chat("a", said, "b", said)]
    (kept,) = examples(data)
    (stripped,) = examples(data, reasoning="strip")
    assert spoken(kept) == f"{said}<|im_end|>" * 2
    assert spoken(stripped) == "yes<|im_end|>" * 2
    assert "think" not in whole(stripped)


def test_where_reasoning_depends_on_what_follows_each_answer_is_an_example():
    said = "<think>hm</think>\n\nyes"
    first, second = examples(
        [chat("a", said, "b", said)], tokenizer=tokenizer_of(template("qwen3"))
    )
    assert spoken(first) == spoken(second) == f"{said}<|im_end|>"
    assert whole(first).count("assistant") == 1
    assert whole(second).count("<think>") == 1  # the first answer as it is read later: without


@pytest.mark.parametrize("marked", [False, True])
def test_the_empty_block_of_no_reasoning_carries_no_loss(marked):
    text = template("qwen3")
    if marked:
        text = text.replace("{{- '<|im_start|>' + message['role'] + '\\n' + said + '<|im_end|>\\n' -}}",
            "{{- '<|im_start|>' + message['role'] + '\\n' -}}{%- if message['role'] == 'assistant' -%}"
            "{% generation %}{{- said + '<|im_end|>' -}}{% endgeneration %}{%- else -%}"
            "{{- said + '<|im_end|>' -}}{%- endif -%}{{- '\\n' -}}")  # fmt: skip
        assert "generation %}{{" in text
    data = [chat("a", "<think>hm</think>\n\nyes")]
    (example,) = examples(
        data, tokenizer=tokenizer_of(text), reasoning="strip", user_suffix=" /no_think"
    )
    assert "user\na /no_think<|im_end|>" in whole(example)
    assert "assistant\n<think>\n\n</think>\n\nyes" in whole(example)
    assert spoken(example) == "yes<|im_end|>"


def test_a_prompt_without_reasoning_is_what_training_put_before_the_answer():
    tokenizer = tokenizer_of(template("qwen3"))
    (example,) = examples([chat("a", "yes")], tokenizer=tokenizer)
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": "a"}], tokenize=False, add_generation_prompt=True,
        enable_thinking=False,
    )  # fmt: skip
    assert whole(example) == f"{prompt}yes<|im_end|>\n"


def test_a_base_without_a_template_says_so():
    tokenizer = load_tokenizer("tiny")
    tokenizer.chat_template = None
    with pytest.raises(TrainError, match="no chat template"):
        examples([chat("a", "b")], tokenizer=tokenizer)
