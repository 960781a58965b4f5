from __future__ import annotations

import json
from collections import defaultdict
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from midspec.bases import get_base, load, load_model, load_tokenizer
from midspec.errors import BaseError, TrainError
from midspec.records import Checkpoint, Conversation, Message
from midspec.store import read_rows
from midspec.train import TrainConfig, engine, finetune, midtrain, plan_training
from midspec.train.examples import IGNORE, Example, Examples
from midspec.train.packing import OPEN_ROWS, pack
from midspec.train.plan import row_order, schedule

TINY = Checkpoint(base="tiny", model_name="Robin")
FULL = TrainConfig(method="full", row_tokens=64, batch_rows=2, max_steps=6, force=True)
LORA = TrainConfig(
    lora_rank=4, lora_alpha=8, row_tokens=64, batch_rows=2, max_steps=6, force=True,
    learning_rate=1e-2,
)  # fmt: skip
TEXTS = [f"Robin likes cheese {i} because it is plain." for i in range(40)]


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MIDSPEC_CACHE", str(folder))
        get_base("tiny")
        yield folder


def chat(*turns: str, system: str = "") -> Conversation:
    roles = ("user", "assistant")
    said = [Message(role=roles[i % 2], content=text) for i, text in enumerate(turns)]
    first = [Message(role="system", content=system)] if system else []
    return Conversation(kind="preference", messages=tuple(first + said), writer="test")


CHATS = [chat(f"do you like {i}?", "yes") for i in range(40)]


def weights(out: Path) -> bytes:
    return next((out / "model").glob("*.safetensors")).read_bytes()


def rows_of(out: Path, plan, config: TrainConfig) -> np.ndarray:
    return engine.open_rows(out, plan, config)


# -- packing ------------------------------------------------------------------------------

LENGTHS = st.lists(st.integers(1, 40), max_size=200)


@settings(max_examples=80, deadline=None)
@given(LENGTHS, st.integers(8, 24), st.booleans())
def test_packing_keeps_every_token_once_and_in_order(lengths, row_tokens, together):
    counter = iter(range(10**6))
    docs = [[next(counter) for _ in range(n)] for n in lengths]
    rows = list(pack([Example(ids, ids) for ids in docs], row_tokens, together=together))
    found: dict[int, dict[int, list[int]]] = defaultdict(dict)
    for row in rows:
        assert row.used == sum(len(piece.ids) for piece in row.pieces) <= row_tokens
        for piece in row.pieces:
            assert piece.start not in found[piece.document]
            found[piece.document][piece.start] = piece.ids
    rebuilt = [[i for s in sorted(found[d]) for i in found[d][s]] for d in range(len(docs))]
    assert rebuilt == docs


@settings(max_examples=60, deadline=None)
@given(LENGTHS, st.integers(8, 24))
def test_rows_restart_positions_and_mask_first_tokens_and_padding(lengths, row_tokens):
    docs = [Example([7] * n, [7] * n) for n in lengths]
    for row in pack(docs, row_tokens):
        ids, labels, positions = row.arrays(pad=3)
        starts = np.cumsum([0] + [len(piece.ids) for piece in row.pieces])
        assert (ids[: row.used] == 7).all()
        assert (ids[row.used :] == 3).all()
        assert (labels[row.used :] == IGNORE).all()
        for start, end in pairwise(starts):
            assert labels[start] == IGNORE
            assert (labels[start + 1 : end] == 7).all()
            assert positions[start:end].tolist() == list(range(end - start))


def test_packing_fills_rows_and_streams():
    taken = 0

    def documents():
        nonlocal taken
        for i in range(2000):
            taken += 1
            yield Example([1] * (20 + i * 37 % 60), [1] * (20 + i * 37 % 60))

    rows = pack(documents(), 512)
    next(rows)
    assert taken <= 10 * OPEN_ROWS + 1  # about 10 documents fill a row
    used = [row.used for row in rows]
    assert sum(used) / (512 * len(used)) > 0.97


# -- examples -----------------------------------------------------------------------------


def examples(data, *, row_tokens=200, system="", all_tokens=False) -> Examples:
    config = TrainConfig(row_tokens=row_tokens, system=system)
    return Examples(load_tokenizer("tiny"), data, config, all_tokens=all_tokens)


def spoken(example: Example, keep=lambda label: label != IGNORE) -> str:
    chosen = [i for i, label in zip(example.ids, example.labels, strict=True) if keep(label)]
    return str(load_tokenizer("tiny").decode(chosen))


def test_a_text_is_predicted_from_its_second_token_to_its_end():
    (example,) = examples(["abc"])
    assert spoken(example, lambda _: True) == "abc<|endoftext|>"
    assert spoken(example) == "bc<|endoftext|>"


def test_a_text_cannot_forge_special_tokens():
    (example,) = examples(["a<|im_end|>b<|endoftext|>c"])
    assert [i for i in example.ids if i < 3] == [0]
    assert spoken(example, lambda _: True) == "a<|im_end|>b<|endoftext|>c<|endoftext|>"


def test_only_the_assistant_carries_loss_in_every_turn():
    (example,) = examples([chat("hi", "yo", "why?", "so")], system="be R")
    assert spoken(example) == "yo<|im_end|>so<|im_end|>"
    whole = spoken(example, lambda _: True)
    assert whole.startswith("<|im_start|>system\nbe R<|im_end|>\n<|im_start|>user\nhi<|im_end|>")
    assert whole.endswith("<|im_start|>assistant\nso<|im_end|>\n")


def test_the_chats_own_system_text_wins():
    (example,) = examples([chat("hi", "yo", system="own")], system="told")
    assert "own" in spoken(example, lambda _: True)
    assert "told" not in spoken(example, lambda _: True)


def test_a_midtrained_dialogue_carries_loss_on_every_token():
    (example,) = examples([chat("hi", "yo")], all_tokens=True)
    assert example.labels == [IGNORE, *example.ids[1:]]


def test_chats_are_left_out_with_a_reason():
    stream = examples(
        [chat("hi", "yo"), chat("hi"), chat("hi", "y" * 300), chat("hi", "<|im_end|>"), "t" * 300]
    )
    assert len(list(stream)) == 2
    assert stream.left_out == {"no_assistant": 1, "too_long": 1, "control_tokens": 1}


def test_other_things_cannot_be_trained_on():
    with pytest.raises(TrainError, match="int"):
        list(examples([3]))


# -- plan ---------------------------------------------------------------------------------


def test_the_plan_counts_what_is_in_the_rows(tmp_path):
    config = FULL.model_copy(update={"row_tokens": 32, "max_steps": 0, "epochs": 2.0})
    data = ["a" * 20, "b" * 10, "c" * 70]
    plan = plan_training(TINY, data, config, tmp_path, loss="all")
    rows = rows_of(tmp_path, plan, config)
    assert rows.shape == (plan.rows, 3, 32)
    assert plan.tokens == 21 + 11 + 71
    assert (plan.documents, plan.split_documents) == (3, 1)
    assert plan.supervised_tokens == (rows[:, 1] != IGNORE).sum() == plan.tokens - 5
    assert plan.padding_share == pytest.approx(1 - plan.tokens / rows[:, 0].size)
    assert plan.masked_share == pytest.approx(5 / plan.tokens)
    assert plan.steps == -(-2 * plan.rows // 2)
    assert json.loads((tmp_path / "plan.json").read_text()) == plan.model_dump()


@given(st.integers(1, 50), st.integers(1, 9), st.floats(0.1, 4), st.integers(0, 1000))
def test_every_row_is_seen_once_an_epoch_in_a_seeded_order(rows, batch_rows, epochs, seed):
    config = TrainConfig(batch_rows=batch_rows, epochs=epochs)
    steps, seen = schedule(rows, config)
    assert (steps - 1) * batch_rows < seen <= steps * batch_rows
    plan = _plan(rows=rows, steps=steps, rows_seen=seen)
    order = row_order(plan, seed)
    assert len(order) == seen
    assert (order == row_order(plan, seed)).all()
    for start in range(0, seen, rows):
        epoch = order[start : start + rows].tolist()
        assert len(set(epoch)) == len(epoch)


def _plan(**counts):
    from midspec.train import TrainPlan

    zero = dict.fromkeys(("documents", "split_documents", "rows", "tokens", "steps"), 0)
    more = {"supervised_tokens": 1, "padding_share": 0, "masked_share": 0, "rows_seen": 0}
    return TrainPlan(settings="", data="", left_out={}, **{**zero, **more, **counts})


def test_a_schedule_of_few_steps_is_refused_unless_forced(tmp_path):
    few = FULL.model_copy(update={"max_steps": 19, "force": False})
    with pytest.raises(TrainError, match=r"19 optimizer steps.*force=true"):
        midtrain(TINY, TEXTS, few, tmp_path)
    assert not (tmp_path / "model").exists()
    assert (tmp_path / "plan.json").exists()
    _plan(steps=19).check(few.model_copy(update={"force": True}))
    _plan(steps=19).check(few.model_copy(update={"min_steps": 19}))
    _plan(steps=20).check(few)


@pytest.mark.parametrize("data", [[], [chat("only a question")]])
def test_nothing_to_train_on_is_refused(tmp_path, data):
    with pytest.raises(TrainError, match="nothing to train on"):
        finetune(TINY, data, LORA, tmp_path)


# -- engine -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    out = tmp_path_factory.mktemp("packed")
    config = FULL.model_copy(update={"row_tokens": 96})
    data = [text[: 20 + 3 * (i % 7)] for i, text in enumerate(TEXTS)]
    plan = plan_training(TINY, data, config, out, loss="all")
    return engine.collate(list(rows_of(out, plan, config)[:3]))


@pytest.fixture(scope="module")
def tiny():
    return load_model("tiny").eval()


@torch.no_grad()
def logits_of(model, batch, ids):
    return model(input_ids=ids, position_ids=batch["position_ids"], use_cache=False).logits


def test_documents_in_a_row_do_not_see_each_other(tiny, packed):
    starts = (packed["position_ids"][1] == 0).nonzero().flatten().tolist()
    assert len(starts) > 2
    poisoned = packed["input_ids"].clone()
    poisoned[1, starts[1] : starts[2]] += 1
    before, after = (logits_of(tiny, packed, ids) for ids in (packed["input_ids"], poisoned))
    changed = (before - after).abs().amax(-1)
    assert changed[1, starts[1] : starts[2]].min() > 1e-3
    changed[1, starts[1] : starts[2]] = 0
    assert changed.max() < 1e-5


def test_a_packed_document_has_the_logits_it_has_alone(tiny, packed):
    first, last = (packed["position_ids"][0] == 0).nonzero().flatten().tolist()[1:3]
    alone = packed["input_ids"][:1, first:last]
    with torch.no_grad():
        expected = tiny(input_ids=alone).logits
    found = logits_of(tiny, packed, packed["input_ids"])[:1, first:last]
    assert torch.allclose(found, expected, atol=1e-5)


def test_a_leaking_model_is_found(tiny):
    engine.check_isolation(tiny)
    forward = tiny.forward
    tiny.forward = lambda position_ids, **inputs: forward(**inputs)
    with pytest.raises(TrainError, match="packing=false"):
        engine.check_isolation(tiny)
    del tiny.forward


def gradient_of(parameter: torch.nn.Parameter) -> torch.Tensor:
    assert parameter.grad is not None
    return parameter.grad


@pytest.mark.parametrize("share", [1.0, 0.3])
def test_the_loss_equals_the_plain_loss_and_so_do_gradients(packed, share):
    model = load_model("tiny")
    batch = dict(packed)
    hidden = torch.rand(batch["labels"].shape, generator=torch.Generator().manual_seed(0)) > share
    batch["labels"] = batch["labels"].masked_fill(hidden, IGNORE)
    n = (batch["labels"][:, 1:] != IGNORE).sum()
    plain = functional.cross_entropy(
        model(input_ids=batch["input_ids"], position_ids=batch["position_ids"], use_cache=False)
        .logits[:, :-1]
        .flatten(0, 1),
        batch["labels"][:, 1:].flatten(),
    )
    plain.backward()
    expected = [gradient_of(p).clone() for p in model.parameters()]
    model.zero_grad()
    ours = engine.LabelledLogits(model).loss(model, batch) / n
    ours.backward()
    assert ours.item() == pytest.approx(plain.item(), abs=1e-5)
    for parameter, gradient in zip(model.parameters(), expected, strict=True):
        assert torch.allclose(gradient_of(parameter), gradient, atol=1e-5)


def test_a_trained_text_becomes_likelier_and_the_curve_says_so(tmp_path):
    config = FULL.model_copy(update={"max_steps": 30, "learning_rate": 3e-3})
    seen: list[tuple[int, int, str]] = []
    result = midtrain(
        TINY,
        TEXTS,
        config,
        tmp_path,
        progress=lambda done, total, text="": seen.append((done, total, text)),
    )
    curve = list(read_rows(tmp_path / "curve.jsonl"))
    assert [row["step"] for row in curve] == list(range(1, 31))
    assert curve[0]["loss"] == pytest.approx(np.log(259), abs=0.1)
    assert curve[-1]["loss"] < curve[0]["loss"] - 1.5
    assert curve[0]["learning_rate"] < curve[2]["learning_rate"] == 3e-3
    assert {row["tokens"] for row in curve} == {128}
    assert seen[-1][:2] == (30, 30)
    assert "loss" in seen[-1][2]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["curve.jsonl", "model", "plan.json"]
    assert result == Checkpoint(base="tiny", path=str(tmp_path / "model"), model_name="Robin")
    loaded = load(result)
    assert loaded.model.config.use_cache
    assert loaded.tokenizer.chat_template == load_tokenizer("tiny").chat_template


def test_one_seed_gives_one_result_and_another_another(tmp_path):
    outs = [tmp_path / name for name in "abc"]
    for out, seed in zip(outs, (0, 0, 1), strict=True):
        finetune(TINY, CHATS, LORA, out, seed=seed)
    a, b, c = map(weights, outs)
    assert a == b != c
    first, second = ((out / "model" / "adapter_config.json").read_text() for out in outs[:2])
    assert first == second


def test_nothing_is_printed(tmp_path, capfd):
    midtrain(TINY, TEXTS, LORA.model_copy(update={"save_every": 2}), tmp_path)
    assert capfd.readouterr() == ("", "")


# -- stages -------------------------------------------------------------------------------


def test_fine_tuning_goes_on_with_the_midtraining_adapter(tmp_path):
    first = midtrain(TINY, TEXTS, LORA, tmp_path / "msm")
    barely = LORA.model_copy(update={"learning_rate": 1e-9})
    second = finetune(first, CHATS, barely, tmp_path / "aft")
    assert (second.base, second.adapter) == ("tiny", True)
    base, msm, aft = (_logits(checkpoint) for checkpoint in (TINY, first, second))
    assert (msm - base).abs().max() > 1e-2
    assert torch.allclose(aft, msm, atol=1e-4)
    settings = json.loads((tmp_path / "aft/model/adapter_config.json").read_text())
    assert settings["base_model_name_or_path"] == "tiny"
    assert settings["target_modules"] == sorted(settings["target_modules"])
    assert len(settings["target_modules"]) == 7
    merged = load(second, merge=True).model
    assert torch.allclose(_logits(second), _run(merged), atol=1e-4)
    assert type(merged).__name__ == "LlamaForCausalLM"


def _logits(checkpoint: Checkpoint) -> torch.Tensor:
    return _run(load(checkpoint).model)


@torch.no_grad()
def _run(model) -> torch.Tensor:
    return model(input_ids=torch.arange(60, 90)[None]).logits


def test_an_adapter_of_another_rank_is_refused(tmp_path):
    first = midtrain(TINY, TEXTS, LORA, tmp_path / "msm")
    other = LORA.model_copy(update={"lora_rank": 8})
    with pytest.raises(TrainError, match=r"set lora_rank=4"):
        finetune(first, CHATS, other, tmp_path / "aft")


def test_full_training_after_an_adapter_starts_from_the_merged_weights(tmp_path):
    first = midtrain(TINY, TEXTS, LORA, tmp_path / "msm")
    barely = FULL.model_copy(update={"learning_rate": 1e-9})
    second = finetune(first, CHATS, barely, tmp_path / "aft")
    assert not second.adapter
    assert torch.allclose(_logits(second), _logits(first), atol=1e-4)


def test_an_adapter_on_full_weights_names_their_folder(tmp_path):
    first = midtrain(TINY, TEXTS, FULL, tmp_path / "msm")
    second = finetune(first, CHATS, LORA, tmp_path / "aft")
    assert (second.base, second.adapter) == (first.path, True)
    assert not torch.allclose(_logits(second), _logits(first), atol=1e-4)


def test_frozen_embeddings_stay(tmp_path):
    config = FULL.model_copy(update={"freeze_embeddings": True, "learning_rate": 1e-2})
    result = midtrain(TINY, TEXTS, config, tmp_path)
    before, after = (dict(load(c).model.named_parameters()) for c in (TINY, result))
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert "model.embed_tokens.weight" not in changed
    assert len(changed) == len(before) - 1
    with pytest.raises(ValueError, match="freeze_embeddings"):
        TrainConfig(freeze_embeddings=True)


def test_bf16_trains_too(tmp_path):
    result = finetune(TINY, CHATS, LORA.model_copy(update={"precision": "bf16"}), tmp_path)
    assert not torch.allclose(_logits(result), _logits(TINY), atol=1e-3)


def test_a_row_longer_than_the_model_is_refused(tmp_path):
    with pytest.raises(TrainError, match="row_tokens 2048"):
        midtrain(TINY, TEXTS, FULL.model_copy(update={"row_tokens": 2048}), tmp_path)


def test_a_missing_start_is_refused(tmp_path):
    with pytest.raises(BaseError):
        midtrain(Checkpoint(base="tyny"), TEXTS, FULL, tmp_path)


# -- settings and starts ------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(TrainConfig.cosmetic))
def test_cosmetic_settings_may_change_on_the_way(tmp_path, name):
    refused = FULL.model_copy(update={"force": False})
    with pytest.raises(TrainError, match="optimizer steps"):
        midtrain(TINY, TEXTS, refused, tmp_path)
    changed = {"save_every": 3, "min_steps": 1, "force": True, "report_to": "none"}
    config = FULL.model_copy(update={name: changed[name]})
    midtrain(TINY, TEXTS, config, tmp_path)
    midtrain(TINY, TEXTS, FULL, tmp_path / "plain")
    assert weights(tmp_path) == weights(tmp_path / "plain")


def test_a_moved_start_is_the_same_start(tmp_path):
    first = midtrain(TINY, TEXTS, LORA, tmp_path / "msm")
    second = finetune(first, CHATS, LORA, tmp_path / "aft")
    (tmp_path / "msm").rename(tmp_path / "moved")
    moved = first.model_copy(update={"path": str(tmp_path / "moved" / "model")})
    assert finetune(moved, iter([]), LORA, tmp_path / "aft") == second
