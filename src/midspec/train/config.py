"""What a training stage may be told."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from midspec.records import Frozen

LOSS_CELLS = 2**22  # logits that the loss looks at together: 17 MB of float32


class TrainConfig(Frozen):
    """One training stage; the defaults are the paper's where it states them (B.4).

    Example:
        >>> TrainConfig(row_tokens=96, batch_rows=8).learning_rate
        0.0001
    """

    # What can change without changing the weights.
    cosmetic: ClassVar[frozenset[str]] = frozenset(
        {"save_every", "min_steps", "force", "report_to"}
    )
    # Younger than the first artifacts: written only when set, so that their keys stay.
    younger: ClassVar[frozenset[str]] = frozenset(
        {
            "merge",
            "micro_rows",
            "activation_checkpointing",
            "parallel",
            "attention",
            "document_tag",
            "plain_share",
            "reasoning",
            "user_suffix",
        }
    )

    method: Literal["lora", "full"] = Field(default="lora", description="adapter, or all weights")
    merge: bool = Field(
        default=False,
        description="lora: merge the start's adapter, train a fresh one, save full weights",
    )
    lora_rank: int = Field(default=64, ge=1, description="rank of the adapter (lora only)")
    lora_alpha: int = Field(default=128, ge=1, description="scale of the adapter, over the rank")
    learning_rate: float = Field(default=1e-4, gt=0, description="peak rate; cosine to zero")
    epochs: float = Field(default=1.0, gt=0, description="passes over the rows, if max_steps is 0")
    max_steps: int = Field(default=0, ge=0, description="optimizer steps; 0: as epochs say")
    batch_rows: int = Field(default=4, ge=1, description="rows a step, over all processes")
    micro_rows: int = Field(
        default=0, ge=0, description="rows a forward pass and process; 0: its whole share of a step"
    )
    row_tokens: int = Field(default=512, ge=8, description="length of a packed row, in tokens")
    packing: bool = Field(
        default=True, description="several documents a row, kept apart by attention"
    )
    warmup_share: float = Field(
        default=0.05, ge=0, le=1, description="share of the steps with rising rate"
    )
    weight_decay: float = Field(default=0.01, ge=0, description="AdamW's, not on norms and biases")
    max_grad_norm: float = Field(
        default=1.0, gt=0, description="gradients are clipped to this norm"
    )
    precision: Literal["auto", "fp32", "bf16"] = Field(
        default="auto", description="bf16 autocast; auto: if the device has it and weights > 20M"
    )
    attention: Literal["sdpa", "eager", "flex_attention", "flash_attention_2"] = Field(
        default="sdpa", description="attention kernel; flash and flex need a GPU that has them"
    )
    activation_checkpointing: bool = Field(
        default=False, description="compute activations twice instead of keeping them"
    )
    parallel: Literal["ddp", "fsdp"] = Field(
        default="ddp", description="several processes: copies (ddp) or shards (fsdp) of the model"
    )
    freeze_embeddings: bool = Field(default=False, description="keep token embeddings (full only)")
    save_every: int = Field(default=100, ge=0, description="steps between resume points; 0: none")
    min_steps: int = Field(default=20, ge=0, description="fewer planned steps are refused")
    force: bool = Field(default=False, description="train even with fewer than min_steps")
    system: str = Field(
        default="", description="system text of chats that have none; '': the template's"
    )
    user_suffix: str = Field(
        default="", description="text after every user message, e.g. Qwen3's ' /no_think'"
    )
    reasoning: Literal["keep", "strip"] = Field(
        default="keep", description="<think>...</think> in assistant messages"
    )
    document_tag: str = Field(
        default="", description="text before every document, without loss; '': none"
    )
    plain_share: float = Field(
        default=0.0, ge=0, lt=1, description="share of the tokens that is plain text mixed in"
    )
    report_to: str = Field(
        default="none",
        description="a Trainer reporter: tensorboard, wandb, trackio, mlflow; none: no reports",
    )

    @model_validator(mode="after")
    def _consistent(self) -> TrainConfig:
        if self.freeze_embeddings and self.method == "lora":
            raise ValueError("freeze_embeddings is for method 'full'; lora never trains them")
        if self.merge and self.method == "full":
            raise ValueError("merge is for method 'lora'; full training always merges an adapter")
        return self

    @model_serializer(mode="wrap")
    def _without_unset_younger(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields = type(self).model_fields
        return {
            name: value
            for name, value in dump(self).items()
            if name not in self.younger or value != fields[name].default
        }
