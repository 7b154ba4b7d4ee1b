"""Every attack of the catalogue against the tests, simulated and in theory, side by side.

An adversary plays against honest sessions on the symbol tier, at the level of the tests' sums: what
it learns, which test sees it, after how many symbols, and how often the same test cries wolf.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from protocol.leakage import (
    data_bits_server_any_measurement,
    data_bits_server_homodynes_rows,
    weight_bits_client_homodynes_all_real,
    weight_bits_client_keeps_all_gaussian_real,
    weight_bits_client_query_inside_rules,
)
from sim_backend.adversaries.adversary import Formulas, Gain
from veilight.attacks.cases import CASES, Case, find_cases
from veilight.attacks.curves import (
    SPREAD,
    Curve,
    Point,
    affordable_trials,
    operating_curve,
)
from veilight.attacks.honest import (
    COUNTED_ALPHA,
    HonestAlarms,
    HonestSessions,
    honest_alarms,
    honest_sessions,
)
from veilight.attacks.sequential import Delay, cusum_delay

__all__ = [
    "CASES",
    "COUNTED_ALPHA",
    "SPREAD",
    "AttackResult",
    "Case",
    "Curve",
    "Delay",
    "HonestAlarms",
    "HonestSessions",
    "Point",
    "find_cases",
    "formulas_for",
    "honest_sessions",
    "run_attack",
]

CAUGHT = 0.5
"""A test counts as having caught an attack if it does so at least this often."""


@dataclass(frozen=True, kw_only=True)
class AttackResult:
    """What came of one case.

    Args:
        case: adversary and test.
        gain: what it learns.
        curve: operating curve, None for an attack that light does not show.
        honest: false alarms of the same test.
        delay: of the session's CUSUM, None where it does not apply.
        alpha: false-alarm probability of the test.
        power: wanted.
        trials: repetitions per point.
        seed: of the draws.
    """

    case: Case
    gain: Gain
    curve: Curve | None
    honest: HonestAlarms | None
    delay: Delay | None
    alpha: float
    power: float
    trials: int
    seed: int

    @property
    def caught_by(self) -> tuple[str, ...]:
        """Tests that see it at the theory's number of symbols, the surest first."""
        if self.curve is None:
            return ()
        seen = {name: share for name, share in self.curve.others.items() if share >= CAUGHT}
        return tuple(sorted(seen, key=lambda name: -seen[name]))

    @property
    def deviation(self) -> float | None:
        """Simulated over stated number of symbols, minus 1; None without a stated one."""
        if self.curve is None or self.case.stated is None:
            return None
        return self.curve.simulated_number / self.case.stated - 1


def formulas_for(case: Case) -> Formulas:
    """The project's leakage formulas at the case's receiver; real encoding."""
    receiver = case.scene.receiver

    def inside_rules(photons: float) -> float:
        return weight_bits_client_query_inside_rules(photons, receiver.snr_factor)

    def rows_any(noise: float, rows: int, modes: int) -> float:
        return data_bits_server_any_measurement(noise, 0.0, rows, modes)

    return Formulas(
        kept=weight_bits_client_keeps_all_gaussian_real,
        homodyned=weight_bits_client_homodynes_all_real,
        inside_rules=inside_rules,
        rows_homodyned=data_bits_server_homodynes_rows,
        rows_any=rows_any,
    )


def run_attack(
    case: Case,
    *,
    alpha: float = 1e-6,
    power: float = 0.999,
    trials: int = 20_000,
    seed: int = 0,
    on_point: Callable[[], None] = lambda: None,
) -> AttackResult:
    """Simulate one case.

    Args:
        case: adversary and test.
        alpha: false-alarm probability of the test.
        power: wanted probability of detection.
        trials: repetitions per point of the curve.
        seed: of the draws; every case has random numbers of its own.
        on_point: called after every point of the curve.

    Raises:
        ConfigurationError: rates or numbers out of range.
    """
    adversary = case.adversary
    gain = adversary.gains(case.scene, formulas_for(case))
    curve = alarms = delay = None
    if case.test is not None:
        random = np.random.Generator(np.random.SFC64(_seed(case, seed)))
        curve = operating_curve(
            case, random, alpha=alpha, power=power, trials=trials, on_point=on_point
        )
        number = max(2, round(curve.theory_number * case.per_unit))
        repeats = affordable_trials(case, number, 5 * trials)
        alarms = honest_alarms(case, number, random, alpha=alpha, trials=repeats)
        delay = cusum_delay(case, random, alpha=alpha)
    return AttackResult(
        case=case,
        gain=gain,
        curve=curve,
        honest=alarms,
        delay=delay,
        alpha=alpha,
        power=power,
        trials=trials,
        seed=seed,
    )


def _seed(case: Case, seed: int) -> int:
    text = f"{seed} {case.adversary!r} {case.photons_per_symbol} {case.test} {case.unit}"
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")
