"""One picture per case: the operating curve."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from drivers.errors import OutputError
from protocol.verification.power import symbols_for_power
from veilight.attacks import AttackResult
from veilight.attacks.detectors import DETECTORS

__all__ = ["write_curve"]

LINE_POINTS = 120


def write_curve(result: AttackResult, path: Path) -> None:
    """Draw the simulated points with binomial bars, the theory's line, and the stated number.

    Args:
        result: of a case with a test.
        path: PNG file to write.

    Raises:
        OutputError: the result has no curve, or the file cannot be written.
    """
    case, curve = result.case, result.curve
    if curve is None or case.test is None:
        raise OutputError(f"attack {case.adversary.name} has no operating curve to draw")
    detector = DETECTORS[case.test]
    few = symbols_for_power(lambda n: detector.power(case, n, result.alpha), 0.01)
    most = max(point.number for point in curve.points) * case.per_unit
    counted = np.unique(np.round(np.geomspace(max(1, few), most, LINE_POINTS)))
    line = [detector.power(case, number, result.alpha) for number in counted]
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axes = figure.subplots()
    axes.plot(counted / case.per_unit, line, color="tab:blue", label="theory")
    detected = np.array([point.detected for point in curve.points])
    bars = np.array([[p.detected - p.low, p.high - p.detected] for p in curve.points]).T
    axes.errorbar(
        [point.number for point in curve.points],
        detected,
        yerr=np.maximum(bars, 0.0),
        fmt="o",
        color="tab:orange",
        label=f"simulated, {curve.trials:,} repetitions each",
    )
    if case.stated is not None:
        axes.axvline(case.stated, color="0.4", linestyle=":", label=f"stated {case.stated:.3g}")
    axes.axhline(result.power, color="0.7", linewidth=0.8)
    axes.set(
        xscale="log",
        ylim=(-0.02, 1.02),
        xlabel=case.unit,
        ylabel="probability of detection",
        title=f"{case.adversary.name} {case.adversary.idea}: {case.test}\n"
        f"{_setting(result)}, false alarms {result.alpha:g}",
    )
    axes.legend(loc="upper left")
    try:
        figure.savefig(path, dpi=120)
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error}; choose another folder") from error


def _setting(result: AttackResult) -> str:
    mu = f"{result.case.photons_per_symbol:g} photons per symbol"
    setting = result.case.adversary.setting
    return f"{setting}, {mu}" if setting else mu
