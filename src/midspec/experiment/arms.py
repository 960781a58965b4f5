"""Arms: training histories that are compared, as any sequence of steps.

In a recipe an arm is a name and a list of steps::

    MSM-A+AFT:   [{midtrain: A}, {finetune: aft}]
    MSM-A+AFT/8: [{midtrain: A}, {finetune: aft, rows: 60}]   # a dose: fewer chats
    MSM-A+25%X:  [{midtrain: A}, {finetune: A, opposed: X, share: 0.25}]
    prompt-A:    [{prompt: A}]                                # untrained, the spec in its prompt

Data of ``midtrain`` is the label of a spec, or ``neutral``; of ``finetune`` it is ``aft`` (chats on
the preferences that all specs share), ``instruction`` (the same mix without those), or the label
of a spec (chats on that spec alone; ``reasoning: true`` keeps what the assistant thought).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal

from pydantic import Field, model_validator

from midspec.records import Frozen

AFT, INSTRUCTION, NEUTRAL = "aft", "instruction", "neutral"
RESERVED = frozenset({AFT, INSTRUCTION, NEUTRAL})
REASONED = " with reasoning"  # ends the name of chats that keep what the assistant thought
StageName = Literal["midtrain", "finetune"]
STAGES = ("midtrain", "finetune")


class Step(Frozen):
    """One training step of an arm: midtrain on documents, or finetune on chats."""

    stage: StageName
    data: str = Field(description="a spec's label, 'neutral', 'aft' or 'instruction'")
    rows: int = Field(
        default=0, ge=0, description="documents or chats taken, evenly spread; 0: all"
    )
    steps: int = Field(
        default=0, ge=0, description="optimizer steps, instead of the recipe's; 0: as the recipe"
    )

    opposed: str = Field(
        default="", description="label of a spec whose chats take the place of a share of them"
    )
    share: float = Field(
        default=0.0, ge=0, le=1, description="share of opposed chats; all chats stay as many"
    )
    reasoning: bool = Field(
        default=False, description="chats of a spec with the assistant's reasoning (AFT with CoT)"
    )

    @model_validator(mode="after")
    def _fits(self) -> Step:
        if bool(self.opposed) != bool(self.share):
            raise ValueError("opposed chats need both: write opposed: LABEL, share: 0.25")
        if self.opposed and (self.stage, self.opposed in RESERVED) != ("finetune", False):
            raise ValueError("opposed is for a finetune step and names a spec's label")
        if self.reasoning and (self.stage, self.label is None) != ("finetune", False):
            raise ValueError("reasoning is for a finetune step on the chats of a spec")
        wrong = (AFT, INSTRUCTION) if self.stage == "midtrain" else (NEUTRAL,)
        if self.data in wrong:
            raise ValueError(
                f"{self.stage}: {self.data} makes no sense; write midtrain: LABEL or neutral, "
                "finetune: aft, instruction or LABEL"
            )
        return self

    @property
    def label(self) -> str | None:
        """The spec whose documents or chats it takes, if it is one spec's."""
        return None if self.data in RESERVED else self.data

    @property
    def chats(self) -> str:
        """The name of the chats of a finetune step."""
        return self.data + REASONED * self.reasoning

    @property
    def opposed_chats(self) -> str:
        """The name of the chats that take the place of a share; empty without any."""
        return self.opposed and self.opposed + REASONED * self.reasoning

    def options(self) -> dict[str, float]:
        """What differs from the plain step; empty for one without a dose."""
        doses = {"rows": self.rows, "steps": self.steps, "share": self.share}
        return {name: value for name, value in doses.items() if value}

    def without(self, option: str) -> Step:
        """The same step without one of its doses."""
        changes: dict[str, Any] = {option: 0}
        if option == "share":
            changes["opposed"] = ""
        return self.model_copy(update=changes)


class Arm(Frozen):
    """One training history that is compared: a name and its steps, in order."""

    name: str = Field(min_length=1, description="as the report calls it")
    steps: tuple[Step, ...] = ()
    prompt: str = Field(
        default="", description="label of the spec that is put in the system prompt when scored"
    )

    @property
    def spec(self) -> str | None:
        """The spec it was midtrained on, if any."""
        return next((s.label for s in self.steps if s.stage == "midtrain" and s.label), None)

    @property
    def midtrained(self) -> bool:
        """Whether it was midtrained on anything."""
        return any(step.stage == "midtrain" for step in self.steps)

    @property
    def neutral(self) -> bool:
        """Whether it was midtrained on documents that have nothing to do with the specs."""
        return any(step.data == NEUTRAL for step in self.steps)

    @property
    def chats(self) -> str:
        """The name of the chats of its alignment fine-tuning; empty without any."""
        found = (s.chats for s in self.steps if s.stage == "finetune" and s.data != INSTRUCTION)
        return next(found, "")

    @property
    def aft(self) -> bool:
        """Whether it was fine-tuned on alignment chats."""
        return bool(self.chats)

    @property
    def labels(self) -> set[str]:
        """All specs that it needs."""
        found = {label for s in self.steps for label in (s.label, s.opposed) if label}
        return found | ({self.prompt} if self.prompt else set())


def read_arms(value: Any) -> Any:
    """The short form ``{name: [{midtrain: A}, {finetune: aft, rows: 60}]}`` as fields of arms."""
    if not isinstance(value, dict):
        return value
    return [_read_arm(name, steps or ()) for name, steps in value.items()]


def _read_arm(name: str, steps: Iterable[dict[str, Any]]) -> dict[str, Any]:
    arm: dict[str, Any] = {"name": name, "steps": []}
    for step in steps:
        if not isinstance(step, dict):
            raise ValueError(f"arm {name!r}: write a step as {{midtrain: A}}, not {step!r}")
        if "prompt" in step:
            arm["prompt"] = step["prompt"]
            continue
        stages = [stage for stage in step if stage in STAGES]
        if len(stages) != 1:
            raise ValueError(f"arm {name!r}: step {step} needs one of midtrain, finetune or prompt")
        rest = {key: value for key, value in step.items() if key not in stages}
        arm["steps"].append({"stage": stages[0], "data": step[stages[0]], **rest})
    return arm


def _arm(name: str, *steps: tuple[StageName, str], prompt: str = "") -> Arm:
    made = tuple(
        Step(
            stage=stage,
            data=data.removesuffix(REASONED),
            reasoning=stage == "finetune" and data.endswith(REASONED),
        )
        for stage, data in steps
    )
    return Arm(name=name, steps=made, prompt=prompt)


def standard_arms(labels: Sequence[str]) -> tuple[Arm, ...]:
    """The paper's figure 2 with its controls: every arm with AFT sees the very same chats.

    Example:
        >>> [arm.name for arm in standard_arms("AB")]
        ['base', 'instruction', 'AFT', 'MSM-A', 'MSM-B', 'MSM-A+AFT', 'MSM-B+AFT']
    """
    return (
        _arm("base"),
        _arm("instruction", ("finetune", INSTRUCTION)),
        _arm("AFT", ("finetune", AFT)),
        *(_arm(f"MSM-{label}", ("midtrain", label)) for label in labels),
        *(_arm(f"MSM-{label}+AFT", ("midtrain", label), ("finetune", AFT)) for label in labels),
    )


STANDARD_ARMS = standard_arms(("A", "B"))


def control_arms(labels: Sequence[str], arms: Sequence[Arm]) -> tuple[Arm, ...]:
    """Every control that the arms call for (``controls: full``), in the order of the report.

    Base and instruction chats alone; each AFT alone; each midtraining alone; neutral documents
    before each AFT, as many tokens as the specs' documents; each spec in the prompt.
    """
    aft = dict.fromkeys(arm.chats for arm in arms if arm.aft) or {AFT: None}
    msm = dict.fromkeys(arm.spec for arm in arms if arm.spec) or dict.fromkeys(labels)

    def suffix(chats: str) -> str:
        return "AFT" if chats == AFT else f"AFT-{chats.replace(' with ', '-')}"

    return (
        _arm("base"),
        _arm("instruction", ("finetune", INSTRUCTION)),
        *(_arm(suffix(chats), ("finetune", chats)) for chats in aft),
        *(_arm(f"MSM-{label}", ("midtrain", label)) for label in msm if label),
        *(
            _arm(f"neutral+{suffix(chats)}", ("midtrain", NEUTRAL), ("finetune", chats))
            for chats in aft
        ),
        *(_arm(f"prompt-{label}", prompt=label) for label in labels),
    )


def with_controls(labels: Sequence[str], arms: Sequence[Arm]) -> tuple[Arm, ...]:
    """Every control, then the other arms; a control that the arms have already keeps its name.

    Example:
        >>> [arm.name for arm in with_controls("A", (_arm("mine", ("midtrain", "A")),))]
        ['base', 'instruction', 'AFT', 'mine', 'neutral+AFT', 'prompt-A']
    """
    present = {(arm.steps, arm.prompt): arm for arm in arms}
    names = {arm.name for arm in arms}
    controls = [
        present.get((control.steps, control.prompt), control)
        for control in control_arms(labels, arms)
    ]
    kept = [arm for arm in controls if arm in arms or arm.name not in names]
    return (*kept, *(arm for arm in arms if arm not in kept))
