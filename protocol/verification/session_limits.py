"""The session's limits, from the plan and the calibration alone: fixed before the light is on."""

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from drivers.errors import ConfigurationError
from protocol.plan import Plan
from protocol.verification.alpha_spending import pocock_spending, spend
from protocol.verification.cusum import cusum_threshold
from protocol.verification.expected import ReturnExpectation
from protocol.verification.moments import mixture_excess_kurtosis

__all__ = ["AlarmShares", "SessionLimits", "audits_of", "honest_kurtosis", "session_limits"]

_LARGEST_SHIFT = 4.0
"""Shift of a block's score, in standard deviations, above which the block itself shows it."""

_LOOK_RATIO = 1.25
"""The fourth moment is looked at whenever a quarter more blocks are there."""

_DIRECTIONS = 2
"""Gains and variances are watched upwards and downwards."""

_RECORD_TESTS = 3
"""Vacuum slots, frame shift, and rails of the records."""

_SHIFT_ALLOWANCE = 0.05
"""A detector's band and the echo that is taken off leave less than 1 % of a slot in its neighbours.
"""

_MOST_VALUES = 10**12


@dataclass(frozen=True, kw_only=True)
class AlarmShares:
    """How a session's false-alarm rate is shared between its tests.

    A share whose test does not run in a session is not spent.

    Args:
        blocks: tests of every block by itself.
        running: Page's sums of gain and variances, half of it for a calibration that is off.
        fourth_moment: kurtosis.
        rails: values at the digitiser's ends.
        audits: opened vectors, half of it for their number.
        records: what records of waveforms say beside the data, half of it over the session.

    Raises:
        ConfigurationError: a share that is not above 0, or more than 1 in all.
    """

    blocks: float = 0.5
    running: float = 0.25
    fourth_moment: float = 0.0625
    rails: float = 0.0625
    audits: float = 0.0625
    records: float = 0.0625

    def __post_init__(self) -> None:
        shares = (
            self.blocks,
            self.running,
            self.fourth_moment,
            self.rails,
            self.audits,
            self.records,
        )
        if not min(shares) > 0 or not math.fsum(shares) <= 1:
            raise ConfigurationError(
                f"shares {shares} of the false-alarm rate: each must be above 0, all at most 1"
            )


@dataclass(frozen=True, kw_only=True)
class SessionLimits:
    """Every limit of the session's tests.

    Args:
        false_alarm: probability that an honest session is aborted.
        shares: how it is shared.
        blocks: planned.
        running_limit: of Page's sums, in nats.
        running_shifts: of the score of the largest block, one per sum.
        running_references: relative deviation by chance of the largest block: gain, X variance, P
            variance, and the gain of P where it is displaced.
        calibration_score: standard uncertainties of the calibration that are allowed for.
        moment_looks: numbers of accepted blocks after which the fourth moment and the sums of the
            records' tests are looked at.
        moment_limits: normal score at each look.
        moment_allowance: excess kurtosis that an honest return may have.
        rail_rate: false-alarm rate of one block's rails.
        audits: batches of dummies that the client has to mix in.
        audit_rates: false-alarm rate of each opening and quadrature.
        audit_slack: relative, for a unit of variance that is off.
        opening_rate: false-alarm rate of the number of openings.
        record_rate: false-alarm rate of each test of one block's records.
        record_look_rates: of each test of their sums, at each look.
        vacuum_reference_values: values of vacuum that the calibrated unit of variance is worth.
        shift_allowance: of the gain of an honest return, that neighbouring slots may have.
    """

    false_alarm: float
    shares: AlarmShares
    blocks: int
    running_limit: float
    running_shifts: tuple[float, ...]
    running_references: tuple[float, ...]
    calibration_score: float
    moment_looks: tuple[int, ...]
    moment_limits: tuple[float, ...]
    moment_allowance: float
    rail_rate: float
    audits: int
    audit_rates: tuple[float, ...]
    audit_slack: float
    opening_rate: float
    record_rate: float
    record_look_rates: tuple[float, ...]
    vacuum_reference_values: int
    shift_allowance: float


def audits_of(batches: int, share: float) -> int:
    """Batches of dummies among `batches` of a session for an agreed share; rounded up."""
    return math.ceil(share * batches - 1e-9)


def session_limits(
    plan: Plan,
    samples: int,
    expectation: ReturnExpectation,
    *,
    false_alarm: float,
    shares: AlarmShares | None = None,
    honest_kurtosis: float = 0.0,
    audit_share: float = 0.0,
    x_share: float = 0.5,
) -> SessionLimits:
    """The limits of a session.

    Args:
        plan: how the network is sent.
        samples: announced, dummies included.
        expectation: the honest return of one data vector.
        false_alarm: probability that an honest session is aborted.
        shares: how it is shared between the tests.
        honest_kurtosis: excess kurtosis that an honest return may have.
        audit_share: share of the batches that are dummies.
        x_share: of the frames that are measured in X.

    Raises:
        ConfigurationError: a rate or share out of range.
    """
    if not 0 < x_share < 1:
        raise ConfigurationError(f"x_share is {x_share}, it must lie in (0, 1)")
    if not 0 < false_alarm < 0.5:
        raise ConfigurationError(f"false_alarm is {false_alarm}, it must lie in (0, 0.5)")
    if not 0 <= audit_share < 1:
        raise ConfigurationError(f"audit_share is {audit_share}, it must lie in [0, 1)")
    shares = shares or AlarmShares()
    blocks = plan.blocks(samples)
    batches = -(-samples // plan.samples_per_block)
    audits = audits_of(batches, audit_share)
    symbols, energy = _largest_block(plan, samples, x_share)
    alike = max(1.0, plan.symbols(samples) / symbols)
    shifts = _LARGEST_SHIFT * 0.5 ** np.arange(1 + math.ceil(math.log2(alike) / 2))
    references = _references(expectation, symbols, energy, x_share)
    running = shares.running * false_alarm / 2
    looks = _looks(blocks)
    done = np.array(looks) / blocks
    rates = spend(pocock_spending, done, shares.fourth_moment * false_alarm)
    records = shares.records * false_alarm / (2 * _RECORD_TESTS)
    # Two calibrated numbers, each on either side.
    calibration = float(-ndtri(running / 4))
    openings = np.arange(1, max(audits, 1) + 1) / max(audits, 1)
    audited = shares.audits * false_alarm / 2
    return SessionLimits(
        false_alarm=false_alarm,
        shares=shares,
        blocks=blocks,
        running_limit=cusum_threshold(running, blocks, _DIRECTIONS * len(references) * len(shifts)),
        running_shifts=tuple(float(shift) for shift in shifts),
        running_references=references,
        calibration_score=calibration,
        moment_looks=looks,
        moment_limits=tuple(float(-ndtri(rate)) for rate in rates),
        moment_allowance=honest_kurtosis,
        rail_rate=shares.rails * false_alarm / blocks,
        audits=audits,
        audit_rates=tuple(float(r) / 2 for r in spend(pocock_spending, openings, audited)),
        audit_slack=calibration * expectation.variance_uncertainty,
        opening_rate=audited,
        record_rate=records / blocks,
        record_look_rates=tuple(float(rate) for rate in spend(pocock_spending, done, records)),
        vacuum_reference_values=_worth(expectation.variance_uncertainty),
        shift_allowance=_SHIFT_ALLOWANCE,
    )


def honest_kurtosis(
    expectation: ReturnExpectation,
    modes: int,
    *,
    mean_fourth_snu: float,
    oscillator_drift: float,
) -> float:
    """Excess kurtosis that the deviations of an honest return may have.

    Whatever makes one deviation's variance differ from another's adds 3 times the relative variance
    of the variances: the data mode's noise, at most if a data vector sits in one mode; the
    oscillator's drift; a phase error s, whose share of the mean has the fourth moments 15 and 3
    times its squared variance in the same and in the other quadrature.

    Args:
        expectation: the honest return.
        modes: of the shortest frame.
        mean_fourth_snu: mean fourth power of the launched means.
        oscillator_drift: root-mean-square relative drift of the oscillator's amplitude.
    """
    white = expectation.white_variance
    excess = max(expectation.data_mode_excess_x, expectation.data_mode_excess_p)
    crowded = mixture_excess_kurtosis(1 / modes, excess / white)
    wobble = 15 * expectation.gain_variance**2 + 3 * expectation.cross_gain_variance**2
    return crowded + 12 * oscillator_drift**2 + wobble * mean_fourth_snu / white**2


def _references(
    law: ReturnExpectation, symbols: float, energy: float, x_share: float
) -> tuple[float, ...]:
    """Relative deviations by chance of the largest block, in the order of the running tests."""
    gain = math.sqrt(law.white_variance / energy) / max(law.gain, 1e-9)
    spreads = tuple(math.sqrt(2 / (share * symbols)) for share in (x_share, 1 - x_share))
    if not law.dither_snu:
        return (gain, *spreads)
    displaced = law.dither_snu * (1 - x_share) * symbols
    return (gain, *spreads, math.sqrt(law.white_variance / displaced) / max(law.gain, 1e-9))


def _largest_block(plan: Plan, samples: int, x_share: float) -> tuple[float, float]:
    """Symbols of the largest block, and the measured mean energy of the brightest."""
    symbols, energy = 0.0, 0.0
    for layer in plan.layers:
        rows = max(count for _, count in plan.row_ranges(layer))
        sent = plan.largest_inputs(layer, samples) * rows * max(layer.tiles)
        symbols = max(symbols, sent)
        # Real light is on X alone, whose frames show 4 mu. Complex light shows 2 mu in all.
        lit = 0.5 if layer.encoding == "complex" else x_share
        energy = max(energy, 4 * layer.photons_per_symbol * lit * sent)
    return symbols, energy


def _worth(uncertainty: float) -> int:
    """Values from which a variance is known to that relative standard deviation, (2/n)^(1/2)."""
    return max(1, round(min(2 / max(uncertainty, 1e-9) ** 2, _MOST_VALUES)))


def _looks(blocks: int) -> tuple[int, ...]:
    """Numbers of blocks, each a quarter more than the one before, the last one among them."""
    looks, at = {blocks}, 1.0
    while at < blocks:
        looks.add(round(at))
        at *= _LOOK_RATIO
    return tuple(sorted(looks))
