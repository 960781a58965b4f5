"""What is computed in fewer passes is what PEFT and PyTorch compute: values and gradients."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch.nn import functional
from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

from midspec.train import loss
from midspec.train.examples import IGNORE
from midspec.train.lora import InPlaceLinear, add_in_place
from midspec.train.loss import LabelledLogits

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*gradient_checkpointing:FutureWarning"),
    pytest.mark.filterwarnings("ignore:.*lora_bias=True"),
]
SIZES: dict[str, Any] = {"vocab_size": 300, "hidden_size": 64, "intermediate_size": 96,
                         "num_hidden_layers": 2, "num_attention_heads": 4,
                         "num_key_value_heads": 2}  # fmt: skip
MODELS = {"llama": (LlamaConfig, LlamaForCausalLM), "qwen2": (Qwen2Config, Qwen2ForCausalLM)}


def small(kind: str = "llama", **lora: Any) -> Any:
    """A small random model with an adapter that does something; Qwen2's projections have biases."""
    torch.manual_seed(0)
    config, model = MODELS[kind]
    settings = {"r": 8, "lora_alpha": 16, "target_modules": "all-linear", **lora}
    made = get_peft_model(model(config(**SIZES)), LoraConfig(task_type="CAUSAL_LM", **settings))
    for name, weights in made.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weights, std=0.05)
    return made.train()


def step(model: Any, *, bf16: bool = False) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Logits and gradients of one step."""
    ids = torch.randint(0, 300, (3, 90), generator=torch.Generator().manual_seed(1))
    model.zero_grad()
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        output = model(input_ids=ids, labels=ids)
    output.loss.backward()
    grads = {name: p.grad.clone() for name, p in model.named_parameters() if p.requires_grad}
    return output.logits.detach().float(), grads


def apart(found: torch.Tensor, wanted: torch.Tensor) -> float:
    """Largest difference, as a share of the largest value."""
    return float((found - wanted).abs().max() / wanted.abs().max())


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize(("bf16", "most"), [(False, 1e-5), (True, 0.05)])
def test_an_adapter_in_place_computes_what_peft_computes(
    kind: str, bf16: bool, most: float
) -> None:
    model = small(kind)
    if bf16:
        model.get_base_model().to(torch.bfloat16)
        for name, weights in model.named_parameters():
            if "lora" in name:
                weights.data = weights.data.float()
    logits, grads = step(model, bf16=bf16)
    add_in_place(model)
    assert sum(type(layer) is InPlaceLinear for layer in model.modules()) == 14
    ours, our_grads = step(model, bf16=bf16)
    assert apart(ours, logits) < most
    assert grads.keys() == our_grads.keys()
    for name, grad in grads.items():
        assert grad.abs().max() > 0
        assert apart(our_grads[name], grad) < most, name


def test_frozen_inputs_checkpointed_layers_and_evaluation_give_the_same() -> None:
    model = small()
    logits, grads = step(model)
    add_in_place(model)
    model.enable_input_require_grads()
    model.gradient_checkpointing_enable({"use_reentrant": False})
    ours, our_grads = step(model)
    assert apart(ours, logits) < 1e-5
    assert max(apart(our_grads[name], grad) for name, grad in grads.items()) < 1e-5
    with torch.no_grad():
        assert apart(step_less(model.eval()), step_less(model.train())) < 1e-5
        with model.disable_adapter():
            assert apart(step_less(model), logits) > 1e-3


def step_less(model: Any) -> torch.Tensor:
    ids = torch.randint(0, 300, (3, 90), generator=torch.Generator().manual_seed(1))
    return model(input_ids=ids).logits


@pytest.mark.parametrize("lora", [{"lora_dropout": 0.1}, {"use_dora": True}, {"lora_bias": True}])
def test_adapters_that_are_not_plain_stay_with_peft(lora: dict[str, Any]) -> None:
    model = small("qwen2" if "lora_bias" in lora else "llama", **lora)
    add_in_place(model)
    kinds = {type(layer) for layer in model.modules()}
    assert InPlaceLinear not in kinds


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("n", [1, 10, 23])
def test_the_loss_in_parts_is_the_whole_loss(
    n: int, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loss, "LOSS_CELLS", 10 * 500)
    torch.manual_seed(0)
    logits = (4 * torch.randn(n, 500)).to(dtype).requires_grad_()
    targets = torch.randint(0, 500, (n,))
    wanted = functional.cross_entropy(logits.float(), targets, reduction="sum") / 7
    (grad,) = torch.autograd.grad(wanted, logits)
    found: Any = loss._SummedLoss.apply(logits, targets)
    (ours,) = torch.autograd.grad(found / 7, logits)
    assert found.item() / 7 == pytest.approx(wanted.item(), rel=1e-6)
    assert ours.dtype == dtype
    assert apart(ours.float(), grad.float()) < (1e-6 if dtype == torch.float32 else 0.01)


def test_a_row_without_labels_has_no_loss_and_zero_gradients() -> None:
    model = small()
    ids = torch.zeros(1, 5, dtype=torch.long)
    batch = {"input_ids": ids, "position_ids": torch.arange(5)[None],
             "labels": torch.full_like(ids, IGNORE)}  # fmt: skip
    found = LabelledLogits(model).loss(model, batch)
    found.backward()
    assert found.item() == 0
    grads = [p.grad for p in model.parameters() if p.requires_grad]
    assert all(grad is not None and not grad.any() for grad in grads)
