"""What a design can show before anything is trained: the minimum detectable effect."""

from __future__ import annotations

from pydantic import Field

from midspec.records import Frozen
from midspec.report.stats import LEVEL

POWER = 0.8


class Noise(Frozen):
    """Standard deviations of a contrast in one item and one seed, as differences of rates.

    The crossing of `cheese-terrarium` (82 items a value, five seeds) measures .21 between items,
    .035 between seeds and .14 residual; the defaults are wider, since other models' answers are
    noisier. Published retrainings of an 8B model differ by .02 in one rate.
    """

    items: float = Field(default=0.3, gt=0, description="between items")
    seeds: float = Field(default=0.05, ge=0, description="between trainings")
    residual: float = Field(
        default=0.3, ge=0, description="item by training, and the answer itself"
    )


class Detectable(Frozen):
    """The smallest true contrast that a design finds with a given power."""

    effect: float = Field(description="difference of rates")
    n_items: int = Field(description="items that measure one value")
    n_seeds: int = Field(description="trainings of each arm")
    n_values: int = Field(description="values tested at once (Holm's first step)")
    items_only: bool = Field(description="one seed: trainings' differences are left out")


def minimum_detectable_effect(
    n_items: int, n_seeds: int, *, noise: Noise | None = None, n_values: int = 1
) -> Detectable:
    """The true difference that is found in 80% of experiments, at 5% over all values.

    Noncentral t with the interval's own Satterthwaite degrees of freedom (``stats.estimate``).
    With one seed the trainings' differences cannot be seen, and are left out.

    Example:
        >>> round(minimum_detectable_effect(100, 5).effect, 2)
        0.12
        >>> minimum_detectable_effect(100, 3).effect > minimum_detectable_effect(100, 5).effect
        True
    """
    from scipy import optimize  # these two take a second to load
    from scipy import stats as scipy_stats

    if n_items < 2 or n_seeds < 1:
        raise ValueError(f"a design needs two items and one seed, not {n_items} and {n_seeds}")
    se, df = _error(n_items, n_seeds, noise or Noise())
    critical = float(scipy_stats.t.ppf(1 - (1 - LEVEL) / 2 / n_values, df))

    def missing_power(shift: float) -> float:
        return float(scipy_stats.nct.sf(critical, df, shift)) - POWER

    shift = float(optimize.root_scalar(missing_power, bracket=(0, 10 * critical + 20)).root)
    return Detectable(
        effect=shift * se,
        n_items=n_items,
        n_seeds=n_seeds,
        n_values=n_values,
        items_only=n_seeds == 1,
    )


def _error(n: int, s: int, noise: Noise) -> tuple[float, float]:
    """Standard error of a contrast and its degrees of freedom, as ``stats`` will estimate them."""
    residual = noise.residual**2 / (n * s)
    items = noise.items**2 / n + residual
    seeds = noise.seeds**2 / s + residual if s > 1 else 0.0
    variance = items + seeds - (residual if s > 1 else 0.0)
    spread = items**2 / (n - 1) + (seeds**2 / (s - 1) if s > 1 else 0.0)
    return variance**0.5, variance**2 / spread
