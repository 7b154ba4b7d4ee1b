"""The law of a phase that is found and held for a burst, from what the scene knows.

Owns the slow reference for the phase error of the calibration routines' bursts on homodyne benches.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from calibration.routines._bursts import OPENING
from calibration.routines._stage import Party, photons_of_level
from drivers.optics.burst import BurstLayout
from drivers.optics.homodyne_values import probe_layout
from sim_backend.scene import truth
from tests.physics.homodyne_scenes import BURST, electronic_v2, shot_v2
from tests.waveform_calibration import CalibrationBench

__all__ = ["held_variance", "mismatch_s", "walk_rate"]

_DRAWS = 1 << 14


def held_variance(
    bench: CalibrationBench,
    party: Party,
    times_s: Sequence[float],
    *,
    full: float,
    rng: np.random.Generator,
) -> float:
    """Mean square phase error of a burst, by many draws of how its phase was found and held.

    Four searches a quarter turn apart give the phase; a probe at P moves the reference by 0.8 of
    its error; the burst follows. The light's phase walks from one to the next. Within each it moves
    as the laser's phase did while the light was in the longer arm: D(t) = phi(t) - phi(t - T) has
    the covariance 2 pi linewidth max(T - |t - t'|, 0). Every setting of the shifter has an error,
    and its V_pi is known as well as the routine has found it.

    Args:
        bench: with the result "phase_shifters".
        party: whose phase.
        times_s: when the six records began, the burst last.
        full: photons per slot at launch with the modulator open.
        rng: of the draws.
    """
    settings = bench.scene.settings
    shifter = settings.client_phase_shifter if party == "client" else settings.server_phase_shifter
    scale = bench.results["phase_shifters"][f"{party}_phase_v_pi_v"].value / shifter.half_wave_v
    steps = rng.standard_normal((_DRAWS, 6)) * walk_rate(bench, party)
    steps *= np.sqrt(np.diff(np.asarray(times_s), prepend=times_s[0]))
    walk = rng.uniform(0, 2 * math.pi, (_DRAWS, 1)) + steps.cumsum(axis=1)
    walk[:, :5] += _probed_rad(bench, party, full) * rng.standard_normal((_DRAWS, 5))

    def beside(light: NDArray[np.float64], wanted: NDArray[np.float64]) -> NDArray[np.float64]:
        """Phase of the light against an oscillator set to `wanted`."""
        turned = scale * (wanted % (2 * math.pi))
        return light - turned + shifter.error_rad * rng.standard_normal(_DRAWS)

    third = -np.cos(beside(walk[:, 2], np.full(_DRAWS, math.pi)))
    fourth = -np.cos(beside(walk[:, 3], np.full(_DRAWS, 1.5 * math.pi)))
    reference = np.arctan2(fourth, third)
    probe = np.cos(beside(walk[:, 4], reference + math.pi / 2))
    reference = reference + 0.8 * np.arcsin(np.clip(probe, -1, 1))
    left = np.cos(beside(walk[:, 5], reference + math.pi / 2))
    return float(np.mean(left**2)) + _delayed_variance(bench, party, None)


def walk_rate(bench: CalibrationBench, party: Party) -> float:
    """Standard deviation of the phase of light against oscillator after a second."""
    settings = bench.scene.settings
    fibres = [settings.forward_fibre]
    if party == "server":
        fibres.append(settings.return_fibre)
    client = party == "client"
    fibres.append(settings.client_oscillator_fibre if client else settings.server_oscillator_fibre)
    laser = settings.server_laser
    # An Ornstein-Uhlenbeck drift walks at first.
    drift = laser.frequency_drift_hz * math.sqrt(2 / laser.frequency_drift_time_s)
    drift *= 2 * math.pi * mismatch_s(bench, party)
    return math.hypot(drift, *(fibre.thermal_phase_rad_per_sqrt_s for fibre in fibres))


def mismatch_s(bench: CalibrationBench, party: Party) -> float:
    """By how much the signal's way is longer than the oscillator's."""
    settings = bench.scene.settings
    client = party == "client"
    fibre = settings.client_oscillator_fibre if client else settings.server_oscillator_fibre
    return abs(truth.signal_delay_s(bench.scene, party) - fibre.delay_s)


def _probed_rad(bench: CalibrationBench, party: Party, full: float) -> float:
    """How well one probe shows the phase: noise, and the laser's phase averaged over it."""
    layout = probe_layout(BURST)
    slots = np.concatenate((layout.preamble, layout.pilots))
    photons = photons_of_level(OPENING, full, BURST) * truth.transmittance(bench.scene, party)
    photons *= truth.detection_efficiency(bench.scene, party)
    noise = 1 + electronic_v2(bench, party) / shot_v2(bench, party)
    read = noise / (4 * photons * slots.size)
    return math.sqrt(read + _delayed_variance(bench, party, layout))


def _delayed_variance(bench: CalibrationBench, party: Party, layout: BurstLayout | None) -> float:
    """Variance of the laser's phase over the mismatch, averaged over a slot or a burst's pilots."""
    walk = 2 * math.pi * bench.scene.settings.server_laser.linewidth_hz
    delay = mismatch_s(bench, party) * BURST.symbol_rate_hz
    if layout is None:
        places = (np.arange(400) + 0.5) / 400
        weights = np.sin(math.pi * places) ** 4
    else:
        places = np.concatenate((layout.preamble, layout.pilots)).astype(np.float64)
        weights = np.ones(places.size)
    weights = weights / weights.sum()
    apart = np.abs(places[:, None] - places)
    alike = np.maximum(delay - apart, 0.0)
    return float(weights @ alike @ weights) * walk / BURST.symbol_rate_hz
