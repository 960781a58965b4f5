"""What is trained on: loss masks under every template, tags, reasoning, plain text by share."""

from __future__ import annotations

import shutil
from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from midspec.bases import get_base, load_model, load_tokenizer
from midspec.bases.chat import TEMPLATES, template
from midspec.bases.registry import cache_folder
from midspec.errors import TrainError
from midspec.records import Checkpoint, Conversation, Message
from midspec.train import TrainConfig, TrainPlan, engine, midtrain, plan_training, prepared
from midspec.train.examples import IGNORE, Example, Examples

MARKED = "{%- generation -%}", "{%- endgeneration -%}"


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


def tokenizer_of(text: str):
    tokenizer = load_tokenizer("tiny")
    tokenizer.chat_template = text
    return tokenizer


def examples(data, *, tokenizer=None, all_tokens=False, plain=(), **settings) -> list[Example]:
    config = TrainConfig(**{"row_tokens": 500, **settings})
    found = tokenizer or load_tokenizer("tiny")
    return list(Examples(found, data, config, all_tokens=all_tokens, plain=plain))


def spoken(example: Example, tokenizer=None) -> str:
    """What carries loss."""
    pairs = zip(example.ids, example.labels, strict=True)
    return str((tokenizer or load_tokenizer("tiny")).decode([i for i, x in pairs if x != IGNORE]))


def whole(example: Example) -> str:
    return str(load_tokenizer("tiny").decode(example.ids))


# -- loss masks ---------------------------------------------------------------------------

BUNDLED = sorted(path.stem for path in TEMPLATES.glob("*.jinja"))
TURNS = st.lists(st.text(st.characters(codec="utf-8", exclude_characters="<|>"), max_size=9),
                 min_size=2, max_size=7)  # fmt: skip


@pytest.mark.parametrize("name", BUNDLED)
@settings(max_examples=25, deadline=None)
@given(TURNS)
def test_a_bundled_template_masks_all_but_answers_and_their_end(name, turns):
    found = examples([chat(*turns)], tokenizer=tokenizer_of(template(name)))
    assert "".join(map(spoken, found)) == "".join(f"{turn}<|im_end|>" for turn in turns[1::2])


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


# -- texts --------------------------------------------------------------------------------


def test_a_document_tag_is_seen_but_not_predicted():
    plain, (tagged,) = examples(["abc"])[0], examples(["abc"], document_tag="[doc] ")
    assert whole(tagged) == "[doc] abc<|endoftext|>"
    assert spoken(tagged) == "abc<|endoftext|>"  # the first letter too: something is before it
    assert spoken(plain) == "bc<|endoftext|>"
    (dialogue,) = examples([chat("a", "b")], document_tag="[doc] ", all_tokens=True)
    assert "[doc]" not in whole(dialogue)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 60), min_size=1, max_size=40), st.floats(0.05, 0.8))
def test_plain_text_has_its_share_of_the_tokens(lengths, share):
    data = ["a" * n for n in lengths]
    found = examples(data, plain=iter(lambda: "p" * 9, ""), plain_share=share)
    plain = sum(len(e.ids) for e in found if e.plain)
    rest = sum(len(e.ids) for e in found if not e.plain)
    assert [whole(e) for e in found if not e.plain] == [f"{d}<|endoftext|>" for d in data]
    assert plain >= share * (plain + rest) - 1e-6
    assert plain - 10 < share * (plain - 10 + rest) + 1e-6  # one document less were too few


def test_plain_text_is_counted_apart_and_its_end_is_an_error(tmp_path):
    config = TrainConfig(row_tokens=64, plain_share=0.25, force=True)
    start = Checkpoint(base="tiny")
    plan = plan_training(start, ["a" * 29] * 30, config, tmp_path, loss="all", plain=["p" * 99] * 9)
    assert plan.tokens == 30 * 30 + plan.plain_tokens
    assert (plan.plain_documents, plan.plain_tokens) == (3, 300)
    assert plan.documents == 33
    assert plan.split_documents == 3
    with pytest.raises(TrainError, match=r"plain text ends after 100 tokens.*plain_share"):
        plan_training(start, ["a" * 29] * 30, config, tmp_path / "b", loss="all", plain=["p" * 99])


# -- isolation, for every way to attend that is there -------------------------------------


@pytest.mark.parametrize(
    "name",
    ["sdpa", "eager", "flash_attention_2",
     pytest.param("flex_attention", marks=pytest.mark.slow)],  # compiles: half a minute
)  # fmt: skip
def test_a_poisoned_document_does_not_change_its_neighbours(name, tmp_path):
    if name == "flash_attention_2":
        pytest.importorskip("flash_attn")
    flat = name.startswith("flash")
    model = load_model("tiny").eval()
    model.set_attn_implementation(name)
    config = TrainConfig(row_tokens=96, force=True, attention=name)
    data = [f"text number {i}" * (1 + i % 3) for i in range(30)]
    plan = plan_training(Checkpoint(base="tiny"), data, config, tmp_path, loss="all")
    rows = engine.open_rows(tmp_path, plan, config)
    batch = engine.collate(list(rows[:3]), flat=flat)
    positions = batch["position_ids"].flatten()
    starts = (positions == 0).nonzero().flatten().tolist()
    poisoned = batch["input_ids"].clone()
    first, last = starts[1:3]
    poisoned.view(-1)[first:last] += 1
    with torch.no_grad():
        before, after = (
            model(input_ids=i, position_ids=batch["position_ids"], use_cache=False).logits
            for i in (batch["input_ids"], poisoned)
        )
    changed = (before - after).abs().amax(-1).flatten()
    assert changed[first:last].min() > 1e-3
    changed[first:last] = 0
    assert changed.max() < 1e-5


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU can")
def test_training_with_flex_attention_on_cpu_is_refused(tmp_path):
    config = TrainConfig(row_tokens=64, force=True, attention="flex_attention")
    with pytest.raises(TrainError, match=r"flex_attention needs a GPU.*use sdpa"):
        midtrain(Checkpoint(base="tiny"), ["some text"] * 40, config, tmp_path)


def test_every_packed_document_has_the_logits_it_has_alone(tmp_path):
    model = load_model("tiny").eval()
    config = TrainConfig(row_tokens=96, force=True)
    data = [f"text number {i}" * (1 + i % 3) for i in range(12)]
    plan = plan_training(Checkpoint(base="tiny"), data, config, tmp_path, loss="all")
    for ids, _, positions in engine.open_rows(tmp_path, plan, config):
        row = torch.from_numpy(ids.astype("int64"))[None]
        place = torch.from_numpy(positions.astype("int64"))[None]
        starts = [*(place[0] == 0).nonzero().flatten().tolist(), len(ids)]
        with torch.no_grad():
            packed = model(input_ids=row, position_ids=place, use_cache=False).logits
            for a, b in pairwise(starts):
                if b - a > 1:  # one token is padding
                    alone = model(input_ids=row[:, a:b]).logits
                    assert (packed[:, a:b] - alone).abs().max() < 1e-5


def test_one_long_row_has_the_loss_of_its_rows(tmp_path):
    """As flash attention takes them."""
    config = TrainConfig(row_tokens=64, force=True)
    plan = plan_training(Checkpoint(base="tiny"), ["some text"] * 40, config, tmp_path, loss="all")
    rows = list(engine.open_rows(tmp_path, plan, config)[:3])
    loss = engine.LabelledLogits(model := load_model("tiny")).loss
    with torch.no_grad():
        square, flat = (loss(model, engine.collate(rows, flat=f)) for f in (False, True))
    assert flat.item() == pytest.approx(square.item(), rel=1e-6)


# -- prepared once ------------------------------------------------------------------------


@pytest.fixture
def packed(monkeypatch, tmp_path):
    """How often examples were made, with a cache that is empty at first."""
    made: list[int] = []
    plain = Examples.__iter__

    def counted(self):
        made.append(1)
        return plain(self)

    monkeypatch.setattr(Examples, "__iter__", counted)
    get_base("tiny")
    shutil.copytree(cache_folder() / "bases", tmp_path / "cache" / "bases")
    monkeypatch.setenv("MIDSPEC_CACHE", str(tmp_path / "cache"))
    return made


DATA = [*(f"text {i}" for i in range(30)), chat("a", "b")]


def prepare(out, data=DATA, loss: Any = "all", **settings):
    config = TrainConfig(**{"row_tokens": 64, "force": True, **settings})
    plan = plan_training(Checkpoint(base="tiny"), iter(data), config, out, loss=loss)
    return plan, (out / "rows.bin").read_bytes()


def test_equal_data_is_packed_once(packed, tmp_path):
    first, rows = prepare(tmp_path / "a")
    again, same = prepare(tmp_path / "b", learning_rate=3e-4, batch_rows=2)
    assert len(packed) == 1
    assert rows == same
    assert again.data == first.data
    assert again.settings != first.settings
    assert again.steps == -(-again.rows // 2)
    assert TrainPlan.model_validate_json((tmp_path / "b/plan.json").read_text()) == again
    assert not list((tmp_path / "b").glob(".data*"))


@pytest.mark.parametrize(
    "change",
    [{"data": [*DATA, "more"]}, {"data": DATA[::-1]}, {"loss": "assistant"}, {"row_tokens": 65},
     {"packing": False}, {"system": "be brief"}, {"user_suffix": "!"}, {"document_tag": "[d] "},
     {"reasoning": "strip"}],
    ids=lambda change: next(iter(change)),
)  # fmt: skip
def test_what_decides_about_rows_makes_them_anew(packed, tmp_path, change):
    prepare(tmp_path / "a")
    prepare(tmp_path / "b", **change)
    assert len(packed) == 2


def test_torn_or_forgotten_rows_are_made_anew(packed, tmp_path, monkeypatch):
    _, rows = prepare(tmp_path / "a")
    (kept,) = (cache_folder() / "rows").iterdir()
    (kept / "rows.bin").unlink()  # the other name of the same file stays whole
    (kept / "rows.bin").write_bytes(rows[:100])
    assert prepare(tmp_path / "b")[1] == rows
    assert len(packed) == 2
    monkeypatch.setattr(prepared, "KEPT", 2)
    for n in (1, 2, 3):
        prepare(tmp_path / f"c{n}", data=DATA[n:])
    assert len(list((cache_folder() / "rows").iterdir())) == 2


def test_a_cache_that_cannot_be_written_is_no_reason_to_stop(packed, tmp_path):
    (cache_folder() / "rows").write_text("in the way")
    prepare(tmp_path / "a")
    prepare(tmp_path / "b")
    assert len(packed) == 2
