"""Questions, doses, matching, Holm and detectable effects, against a known truth."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from midspec.report import (
    ArmInfo,
    DosePoint,
    Question,
    ReportInput,
    SpecInfo,
    TrainingInfo,
    analyse,
    minimum_detectable_effect,
    mismatches,
    write_report,
)
from midspec.report.contrasts import contrast_terms
from midspec.report.paper import figures_like, paper_rates
from midspec.report.power import Noise
from midspec.report.stats import bootstrap, estimate, holm
from tests.test_report import ARMS, CROSSING, make_inputs

# -- statistics ---------------------------------------------------------------------------


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_is_monotone_and_between_p_and_bonferroni(p_values: list[float]) -> None:
    adjusted = holm(p_values)
    order = np.argsort(p_values, kind="stable")
    assert (np.diff(np.array(adjusted)[order]) >= 0).all()
    for p, one in zip(p_values, adjusted, strict=True):
        assert p <= one <= min(1.0, len(p_values) * p) + 1e-12


def test_holm_agrees_with_statsmodels() -> None:
    multitest = pytest.importorskip("statsmodels.stats.multitest")
    p_values = [0.001, 0.2, 0.013, 0.04, 0.03]
    assert holm(p_values) == pytest.approx(multitest.multipletests(p_values, method="holm")[1])


def table(rng: np.random.Generator, effect: float, noise: Noise, n: int, s: int) -> np.ndarray:
    """A contrast of items x seeds with the given noise."""
    return (
        effect
        + rng.normal(0, noise.items, (n, 1))
        + rng.normal(0, noise.seeds, (1, s))
        + rng.normal(0, noise.residual, (n, s))
    )


@pytest.mark.parametrize(("n", "s", "values"), [(80, 5, 1), (40, 3, 1), (60, 1, 1), (60, 4, 2)])
def test_the_detectable_effect_is_found_in_four_of_five_experiments(
    n: int, s: int, values: int
) -> None:
    noise = Noise(seeds=0.0) if s == 1 else Noise()
    effect = minimum_detectable_effect(n, s, noise=noise, n_values=values).effect
    rng = np.random.default_rng(5)
    found = [estimate([table(rng, effect, noise, n, s)]) for _ in range(500)]
    hits = [one.p_value < 0.05 / values for one in found if one is not None]
    assert 0.72 <= np.mean(hits) <= 0.88


def test_more_items_and_more_seeds_detect_less() -> None:
    effects = [minimum_detectable_effect(n, s).effect for n, s in ((50, 3), (200, 3), (200, 8))]
    assert effects == sorted(effects, reverse=True)
    with pytest.raises(ValueError, match="two items"):
        minimum_detectable_effect(1, 5)


def test_p_value_and_interval_agree() -> None:
    rng = np.random.default_rng(6)
    for _ in range(50):
        one = estimate([table(rng, 0.1, Noise(), 30, 3)])
        assert one is not None
        assert (one.p_value < 0.05) == (one.sign != 0)


def test_bootstrap_is_near_the_t_interval_with_many_seeds_and_the_same_each_time() -> None:
    cells = table(np.random.default_rng(7), 0.2, Noise(), 100, 20)
    one, drawn = estimate([cells]), bootstrap([cells])
    assert one is not None
    assert drawn is not None
    assert drawn == bootstrap([cells])
    assert drawn[0] == pytest.approx(one.low, abs=0.02)
    assert drawn[1] == pytest.approx(one.high, abs=0.02)
    assert bootstrap([np.full((3, 2), np.nan)]) is None


# -- simulated experiments ----------------------------------------------------------------

NO_INTERACTION = {
    "base": (-0.2, -0.2),
    "instruction": (-0.2, -0.2),
    "AFT": (0.1, 0.1),
    "MSM-A": (0.1, -0.2),
    "MSM-B": (-0.2, 0.1),
    "MSM-A+AFT": (0.4, 0.1),
    "MSM-B+AFT": (0.1, 0.4),
}


def interactions(
    folder: Path, effects: dict[str, tuple[float, float]], n: int
) -> tuple[list[int], list[float]]:
    """Signs and values of the interaction of A, in nats, over independent experiments."""
    signs, values = [], []
    for at in range(n):
        inputs = make_inputs(folder / str(at), effects, n=20, unread=0, key=f"sim{at}")
        row = analyse(inputs).contrast("interaction", "A", measure="margin")
        assert row is not None
        assert row.estimate is not None
        signs.append(row.estimate.sign)
        values.append(row.estimate.value)
    return signs, values


def test_a_known_interaction_is_recovered(tmp_path: Path) -> None:
    """The truth is 1.2 - 0.2 - (-0.4 + 0.6) = 0.8 nats."""
    signs, values = interactions(tmp_path, CROSSING, 5)
    assert signs == [1] * 5
    assert np.mean(values) == pytest.approx(0.8, abs=0.25)


def test_no_interaction_is_reported_as_none_at_the_level(tmp_path: Path) -> None:
    """At 5%, more than two false findings in six experiments have a probability of 0.2%.

    ``test_stats.py`` repeats it 400 times on tables.
    """
    signs, values = interactions(tmp_path, NO_INTERACTION, 6)
    assert sum(sign != 0 for sign in signs) <= 2
    assert abs(np.mean(values)) < 0.25


# -- questions, doses, controls -----------------------------------------------------------

DOSED = (
    *ARMS,
    ArmInfo(name="MSM-A+AFT/30", spec="A", msm=True, aft=True, dosed=True),
    ArmInfo(name="neutral+AFT", msm=True, aft=True),
    ArmInfo(name="prompt-A", spec="A", prompted=True),
)
EFFECTS = CROSSING | {
    "MSM-A+AFT/30": (0.2, -0.4),
    "neutral+AFT": (-0.4, -0.4),
    "prompt-A": (0.9, -0.4),
}


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> ReportInput:
    """A run with questions, a dose curve and all controls; its arms are not matched."""
    inputs = make_inputs(tmp_path_factory.mktemp("asked"), EFFECTS, arms=DOSED, n=40)
    points = (("MSM-A", 0), ("MSM-A+AFT/30", 30), ("MSM-A+AFT", 480))
    return inputs.model_copy(
        update={
            "question": "Does AFT add anything?",
            "questions": (
                Question(name="after MSM", value="A", arms={"MSM-A+AFT": 1, "MSM-A": -1}),
                Question(name="neutral", value="A", arms={"neutral+AFT": 1, "AFT": -1}),
            ),
            "doses": tuple(
                DosePoint(axis="AFT chats", series="MSM-A+AFT", amount=n, arm=a) for a, n in points
            ),
            "trainings": (training("MSM-A", 0, tokens=1000), training("MSM-B", 0, tokens=900)),
        }
    )


def training(arm: str, seed: int, **changes: object) -> TrainingInfo:
    fields = {"stage": "midtrain", "data": "A", "steps": 100, "records": 40, "tokens": 1000}
    return TrainingInfo.model_validate({"arm": arm, "seed": seed, **fields, **changes})


def test_questions_make_the_headline(asked: ReportInput) -> None:
    found = analyse(asked)
    headline = found.verdict.split("\n\n")[0]
    assert found.kind == "answered"
    assert headline.startswith("Above zero: after MSM +0.")
    assert "Open: neutral" in headline
    assert {row.p_holm is not None for row in found.questions} == {True}


def test_many_questions_leave_the_headline_to_the_first(asked: ReportInput) -> None:
    first, second = asked.questions
    more = [second.model_copy(update={"name": f"neutral {i}"}) for i in range(4)]
    found = analyse(asked.model_copy(update={"questions": (first, *more)}))
    headline, all_, *_ = found.verdict.split("\n\n")
    assert re.fullmatch(
        r"After MSM: \+0\.\d\d \[\+0\.\d\d, \+0\.\d\d\] in rate, above zero\. "
        r"Of 5 questions: 1 above zero, 4 open\.",
        headline,
    )
    assert all_.startswith("Above zero: after MSM +0.")
    assert "neutral 3" in all_


def test_the_slope_of_a_dose_curve_is_the_truth(asked: ReportInput) -> None:
    """From 30 to 480 chats are four doublings."""
    found = analyse(asked)
    slope = next(row for row in found.doses if row.group == "A")
    high, low = found.rate("MSM-A+AFT", "A"), found.rate("MSM-A+AFT/30", "A")
    assert slope.n_doses == 2
    assert slope.estimate is not None
    assert high is not None
    assert low is not None
    assert slope.estimate.value == pytest.approx((high.value - low.value) / 4)
    assert slope.estimate.sign == 1


def test_the_slope_over_shares_goes_from_none_to_all(asked: ReportInput) -> None:
    shares = ((0.0, "MSM-A+AFT"), (1.0, "MSM-A+AFT/30"))
    points = [DosePoint(axis="share", series="s", amount=x, arm=arm) for x, arm in shares]
    found = analyse(asked.model_copy(update={"doses": tuple(points)}))
    slope = next(row for row in found.doses if row.group == "A")
    low, high = found.rate("MSM-A+AFT/30", "A"), found.rate("MSM-A+AFT", "A")
    assert (slope.n_doses, slope.step) == (2, "from none to all")
    assert slope.estimate is not None
    assert low is not None
    assert high is not None
    assert slope.estimate.value == pytest.approx(low.value - high.value)


def test_the_full_dose_stands_in_the_contrasts() -> None:
    spec = SpecInfo(label="A", name="a", value="thrift", text="", sets=("set-a",))
    terms = contrast_terms(tuple(reversed(DOSED)), spec)
    assert terms["own_aft"] == ((1.0, "MSM-A+AFT"), (-1.0, "AFT"))
    assert terms["own_neutral"] == ((1.0, "MSM-A+AFT"), (-1.0, "neutral+AFT"))
    assert terms["prompt_base"] == ((1.0, "prompt-A"), (-1.0, "base"))


def test_arms_with_other_chats_are_not_compared() -> None:
    arms = (
        ArmInfo(name="AFT-B", aft=True, chats="B"),
        ArmInfo(name="AFT-A", aft=True, chats="A"),
        ArmInfo(name="MSM-A+AFT-A", spec="A", msm=True, aft=True, chats="A"),
        ArmInfo(name="MSM-B+AFT-B", spec="B", msm=True, aft=True, chats="B"),
    )
    terms = contrast_terms(arms, SpecInfo(label="A", name="a", value="v", text="", sets=("s",)))
    assert terms["own_aft"] == ((1.0, "MSM-A+AFT-A"), (-1.0, "AFT-A"))
    assert "crossing" not in terms


def test_unequal_arms_are_named_in_red(asked: ReportInput, tmp_path: Path) -> None:
    (one,) = mismatches(asked.trainings)
    assert (one.what, one.amounts) == ("midtrain tokens", {"MSM-A": 1000, "MSM-B": 900})
    text = write_report(asked, tmp_path).read_text(encoding="utf-8")
    assert '<div class="alarm" role="alert">' in text
    assert "midtrain tokens differ by 11.1%" in text
    assert "Does AFT add anything?" in text
    for name in ("questions", "doses"):
        assert (tmp_path / "figures" / f"{name}.csv").exists()
    equal = asked.model_copy(update={"trainings": (training("MSM-A", 0), training("MSM-B", 0))})
    assert mismatches(equal.trainings) == ()


def test_doses_and_instruction_chats_are_no_mismatch() -> None:
    tuned = {"stage": "finetune", "data": "aft"}
    assert not mismatches(
        [
            training("AFT", 0, **tuned),
            training("AFT/8", 0, **tuned, dose="rows 8", records=8),
            training("instruction", 0, stage="finetune", data="instruction", records=7),
        ]
    )
    (one,) = mismatches([training("AFT", 0, **tuned), training("x", 0, **tuned, steps=50)])
    assert (one.what, one.share) == ("finetune steps", 1.0)


def test_few_greedy_answers_say_that_they_are_few(tmp_path: Path) -> None:
    few = analyse(make_inputs(tmp_path, n=6)).verdict
    assert "The greedy scorer has too few answers to tell whether it agrees" in few
    assert "same conclusions" not in few


def test_paper_rates_only_in_the_papers_setting(asked: ReportInput) -> None:
    assert paper_rates(asked, "A") is None
    specs = tuple(
        spec.model_copy(update={"name": name, "value": value})
        for spec, name, value in zip(
            asked.specs,
            ("cheese-affordability", "cheese-america"),
            ("affordability", "America"),
            strict=True,
        )
    )
    own = tuple(
        spec.model_copy(update={"sets": sets})
        for spec, sets in zip(specs, (("affordability",), ("america",)), strict=True)
    )
    same = asked.model_copy(update={"specs": own})
    one, other = paper_rates(same, "A"), paper_rates(same, "B")
    assert one is not None
    assert other is not None
    assert (one.rates["MSM-A+AFT"], one.rates["MSM-B+AFT"]) == (0.48, 0.29)
    assert other.rates["MSM-B+AFT"] == 0.55
    assert "MSM-A+AFT/30" not in one.rates
    assert one.label == "paper, figure 2: Llama-3.1-8B, other items"
    # Items that state the attribute are another setting, so nothing is drawn on them.
    assert paper_rates(asked.model_copy(update={"specs": specs}), "A") is None
    assert [figure.figure for figure in figures_like(same)] == ["2"]
