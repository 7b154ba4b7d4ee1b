"""Operating curves: probability of detection against symbols, simulated and in theory."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri
from scipy.stats import beta

from drivers.errors import ConfigurationError
from protocol.verification.power import symbols_for_power
from veilight.attacks.cases import Case
from veilight.attacks.detectors import DETECTORS

__all__ = ["Curve", "Point", "affordable_trials", "operating_curve"]

Array = NDArray[np.float64]

SPREAD = (0.2, 0.35, 0.5, 0.65, 0.75, 0.85, 0.92, 1.0, 1.08, 1.18, 1.3)
"""Numbers that are simulated, in units of the theory's number for the wanted power."""

VALUES_PER_POINT = 10_000_000
"""Symbols of one point where they are drawn one by one."""

FEW = 12
"""Below this number of events every whole number is a point of its own."""

NEAR = 0.8
"""Detection probability above which a point counts for the number at the wanted power."""

ONE_DEVIATION = 0.6827


@dataclass(frozen=True, kw_only=True)
class Point:
    """Detection at one number of symbols.

    Args:
        number: in the case's unit.
        detected: share of the repetitions with an alarm.
        low: lower end of its 68 % confidence interval (Clopper and Pearson).
        high: upper end.
        theory: probability in theory.
    """

    number: float
    detected: float
    low: float
    high: float
    theory: float


@dataclass(frozen=True, kw_only=True)
class Curve:
    """An operating curve.

    Args:
        points: by growing number.
        theory_number: number for the wanted power in theory.
        simulated_number: the same from the simulated points, NaN if they do not reach it.
        simulated_error: its standard error.
        others: detection by every test of the same light at the theory's number.
        trials: repetitions per point.
    """

    points: tuple[Point, ...]
    theory_number: float
    simulated_number: float
    simulated_error: float
    others: dict[str, float]
    trials: int


def operating_curve(
    case: Case,
    random: np.random.Generator,
    *,
    alpha: float,
    power: float,
    trials: int,
    on_point: Callable[[], None] = lambda: None,
) -> Curve:
    """Simulate a case around the number that the theory gives for `power`.

    Args:
        case: adversary and test.
        random: source of the draws.
        alpha: false-alarm probability of the test.
        power: wanted, such as 0.999.
        trials: repetitions per point.
        on_point: called after every point.

    Raises:
        ConfigurationError: a case without a test, or rates out of range.
    """
    if case.test is None:
        raise ConfigurationError(
            f"attack {case.adversary.name} has no test: {case.adversary.undetectable}"
        )
    if trials < 100:
        raise ConfigurationError(f"trials is {trials}, a curve needs at least 100 per point")
    detector = DETECTORS[case.test]
    theory_number = symbols_for_power(lambda n: detector.power(case, n, alpha), power)
    trials = affordable_trials(case, round(theory_number), trials)
    numbers = _numbers(theory_number)
    points, others = [], {}
    for number in numbers:
        alarms = detector.alarms(case, number, trials, random, alpha)
        if number == round(theory_number):
            others = {name: float(flags.mean()) for name, flags in alarms.items()}
        low, high = _interval(int(alarms[case.test].sum()), trials)
        points.append(
            Point(
                number=number / case.per_unit,
                detected=float(alarms[case.test].mean()),
                low=low,
                high=high,
                theory=detector.power(case, number, alpha),
            )
        )
        on_point()
    simulated, error = _number_at(points, power, trials)
    return Curve(
        points=tuple(points),
        theory_number=theory_number / case.per_unit,
        simulated_number=simulated,
        simulated_error=error,
        others=others,
        trials=trials,
    )


def affordable_trials(case: Case, number: int, trials: int) -> int:
    """Fewer repetitions where every symbol has to be drawn, but at least 500."""
    if case.test not in ("fourth moment", "outcome peaks", "repeated rows"):
        return trials
    return min(trials, max(500, VALUES_PER_POINT // number))


def _numbers(theory_number: float) -> list[int]:
    """Where the curve is simulated; every whole number where there are few."""
    if theory_number <= FEW:
        return list(range(1, round(2 * theory_number) + 1))
    return sorted({round(share * theory_number) for share in SPREAD})


def _interval(count: int, trials: int) -> tuple[float, float]:
    """Exact binomial confidence interval of one standard deviation."""
    tail = (1 - ONE_DEVIATION) / 2
    low = float(beta.ppf(tail, count, trials - count + 1)) if count else 0.0
    high = float(beta.isf(tail, count + 1, trials - count)) if count < trials else 1.0
    return low, high


def _number_at(points: list[Point], power: float, trials: int) -> tuple[float, float]:
    """Where the points cross `power`, and its standard error.

    On the probit scale the power of a test is nearly a straight line in the root of the number;
    points below the probit's bend are left out.
    """
    used = [p for p in points if NEAR < p.detected < 1 - 2 / trials]
    if len(used) < 2:
        return _first_at(points, power)
    roots = np.sqrt([p.number for p in used])
    detected = np.array([p.detected for p in used])
    probits = ndtri(detected)
    density = np.exp(-(probits**2) / 2) / math.sqrt(2 * math.pi)
    deviations = np.sqrt(detected * (1 - detected) / trials) / density
    design = np.stack([np.ones_like(roots), roots], axis=1) / deviations[:, None]
    covariance = np.linalg.inv(design.T @ design)
    start, slope = covariance @ design.T @ (probits / deviations)
    if slope <= 0:
        return _first_at(points, power)
    root = (float(ndtri(power)) - start) / slope
    gradient = np.array([1.0, root]) / slope
    error = math.sqrt(float(gradient @ covariance @ gradient))
    return float(root**2), 2 * abs(float(root)) * error


def _first_at(points: list[Point], power: float) -> tuple[float, float]:
    """The first point with at least `power`, give or take the step before it."""
    reached = [index for index, point in enumerate(points) if point.detected >= power]
    if not reached:
        return math.nan, math.nan
    first = reached[0]
    before = points[first - 1].number if first else 0.0
    return points[first].number, points[first].number - before
