"""The results of an analysis as records: rates, contrasts, domains, scorers, verdict."""

from __future__ import annotations

from typing import Literal, get_args

from pydantic import Field

from midspec.records import Frozen
from midspec.report.stats import Estimate

Measure = Literal["rate", "margin"]
ContrastName = Literal[
    "crossing", "msm_crossing", "interaction", "spec_interaction",
    "aft_base", "aft_instruction", "msm_base", "own_aft", "other_aft",
    "own_neutral", "prompt_base", "own_prompt",
]  # fmt: skip
BOTH = "both"
CONTRAST_TITLES: dict[ContrastName, str] = {
    "crossing": "crossing",
    "msm_crossing": "crossing, MSM only",
    "interaction": "interaction",
    "spec_interaction": "interaction, own vs other spec",
    "aft_base": "AFT − base",
    "aft_instruction": "AFT − instruction",
    "msm_base": "own MSM − base",
    "own_aft": "own MSM+AFT − AFT",
    "other_aft": "other MSM+AFT − AFT",
    "own_neutral": "own MSM+AFT − neutral+AFT",
    "prompt_base": "spec in the prompt − base",
    "own_prompt": "own MSM+AFT − spec in the prompt",
}
CONTRASTS: tuple[ContrastName, ...] = get_args(ContrastName)


class Group(Frozen):
    """Items that are reported together: those of a spec's value, or of one other set."""

    key: str = Field(description="label of the spec, or name of the set")
    title: str
    sets: tuple[str, ...]
    is_value: bool = Field(description="whether a spec claims it")
    n_items: int


class RateRow(Frozen):
    """How often (``rate``) or how strongly (``margin``) an arm takes the aligned option."""

    arm: str
    group: str
    scorer: str
    measure: Measure
    estimate: Estimate | None


class ContrastRow(Frozen):
    """One comparison of arms on the items of one value, or the mean over all values."""

    name: ContrastName
    value: str = Field(description="label of the spec whose value is measured, or 'both'")
    formula: str = Field(description="in names of arms")
    scorer: str
    measure: Measure
    estimate: Estimate | None
    p_holm: float | None = Field(
        default=None, description="two-sided p-value, Holm-corrected over the values"
    )
    bootstrap: tuple[float, float] | None = Field(
        default=None, description="95% interval, items and seeds resampled (main scorer's rate)"
    )

    @property
    def sign(self) -> int:
        """1 or -1 if it is clear of zero, after Holm's correction where values share a test."""
        if self.estimate is None or (self.p_holm is not None and self.p_holm > 0.05):
            return 0
        return self.estimate.sign


class QuestionRow(Frozen):
    """The answer to one of the experiment's own questions, by one scorer and measure."""

    name: str
    group: str = Field(description="key of the group of items")
    formula: str = Field(description="in names of arms")
    scorer: str
    measure: Measure
    estimate: Estimate | None
    p_holm: float | None = None
    bootstrap: tuple[float, float] | None = None

    @property
    def sign(self) -> int:
        """As of a contrast."""
        if self.estimate is None or (self.p_holm is not None and self.p_holm > 0.05):
            return 0
        return self.estimate.sign


class GainRow(Frozen):
    """What AFT adds after midtraining on a spec or a variant of it (paper, figure 10)."""

    spec: str = Field(description="label of the spec that was midtrained on")
    group: str = Field(description="key of the items: of the spec, or of what it is a variant of")
    formula: str
    estimate: Estimate | None


class DoseRow(Frozen):
    """What more of the dose adds: each doubling, over the doses above zero, or all of a share."""

    axis: str
    series: str
    group: str
    n_doses: int
    step: Literal["each doubling", "from none to all"]
    estimate: Estimate | None = Field(description="change of the rate for the step")


class DomainRow(Frozen):
    """The rate of an arm on one domain, by the main scorer."""

    arm: str
    group: str
    set: str
    domain: str
    n_items: int
    estimate: Estimate | None


class ScorerRow(Frozen):
    """How one scorer saw one arm, over the items of all values."""

    arm: str
    scorer: str
    rate: float | None = Field(description="mean aligned rate over scored items and seeds")
    parse_rate: float = Field(description="share of asked orders that could be read")
    unscored: int = Field(description="items x seeds of which no order could be read")
    position_bias: float | None = Field(description="share that chose the first option, minus 0.5")
    agreement: float | None = Field(
        description="share of item x seed cells on which it sides with the main scorer, where both "
        "answer the same in both orders; None for the main scorer"
    )


class Analysis(Frozen):
    """Everything that the page says in numbers."""

    scorer: str = Field(description="the main scorer")
    seeds: tuple[int, ...]
    groups: tuple[Group, ...]
    rates: tuple[RateRow, ...]
    contrasts: tuple[ContrastRow, ...]
    domains: tuple[DomainRow, ...]
    scorers: tuple[ScorerRow, ...]
    questions: tuple[QuestionRow, ...] = ()
    gains: tuple[GainRow, ...] = Field(default=(), description="where specs have variants")
    doses: tuple[DoseRow, ...] = ()
    kind: str = Field(default="", description="the verdict in one word, see ``verdict.Kind``")
    verdict: str = Field(default="", description="plain English; paragraphs split by empty lines")

    def rate(
        self, arm: str, group: str, scorer: str = "", measure: Measure = "rate"
    ) -> Estimate | None:
        """The estimate of an arm on a group, by the main scorer unless told."""
        for row in self.rates:
            if (row.arm, row.group, row.scorer, row.measure) == (
                arm, group, scorer or self.scorer, measure,
            ):  # fmt: skip
                return row.estimate
        return None

    def contrast(
        self, name: ContrastName, value: str, scorer: str = "", measure: Measure = "rate"
    ) -> ContrastRow | None:
        """One contrast, by the main scorer unless told."""
        for row in self.contrasts:
            if (row.name, row.value, row.scorer, row.measure) == (
                name, value, scorer or self.scorer, measure,
            ):  # fmt: skip
                return row
        return None
