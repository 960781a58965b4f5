"""What is trained on: tags, plain text by share, documents apart from each other, rows kept."""

from __future__ import annotations

import shutil
from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from midspec.bases import get_base, list_bases, load_model, load_tokenizer
from midspec.bases.registry import cache_folder
from midspec.errors import TrainError
from midspec.records import Checkpoint, Conversation, Message
from midspec.train import TrainConfig, TrainPlan, engine, midtrain, plan_training, prepared
from midspec.train.examples import IGNORE, Example, Examples


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


SMOLLM2_IS_CACHED = any(base.ready for base in list_bases() if base.name == "smollm2")


@pytest.mark.slow
@pytest.mark.skipif(not SMOLLM2_IS_CACHED, reason="smollm2 is not converted yet")
def test_a_packed_document_has_in_smollm2_the_logits_it_has_alone(tmp_path, monkeypatch):
    """Alone in a row of padding: float32 rounds an input of another length differently (6e-5)."""
    monkeypatch.delenv("MIDSPEC_CACHE")
    model = load_model("smollm2").eval()
    config = TrainConfig(row_tokens=128, force=True)
    data = [f"Robin thinks about tin {i}, which costs little. " * (1 + i % 4) for i in range(24)]
    start = Checkpoint(base="smollm2")
    plan = plan_training(start, data, config, tmp_path, loss="all")
    ids, _, positions = torch.from_numpy(
        engine.open_rows(tmp_path, plan, config)[0].astype("int64")
    )
    starts = [*(positions == 0).nonzero().flatten().tolist(), len(ids)]

    @torch.no_grad()
    def logits(ids: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        return model(input_ids=ids[None], position_ids=positions[None], use_cache=False).logits[0]

    packed = logits(ids, positions)
    documents = [(a, b) for a, b in pairwise(starts) if b - a > 1]
    assert len(documents) > 2
    for a, b in documents:
        alone_ids, alone_positions = torch.zeros_like(ids), torch.zeros_like(positions)
        alone_ids[a:b], alone_positions[a:b] = ids[a:b], positions[a:b]
        alone = logits(alone_ids, alone_positions)
        assert (packed[a:b] - alone[a:b]).abs().max() < 1e-5
    poisoned = ids.clone()
    poisoned[: starts[1]] += 1
    changed = (logits(poisoned, positions) - packed).abs().amax(-1)
    assert changed[: starts[1]].min() > 1e-3
    assert changed[starts[1] :].max() < 1e-5


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
