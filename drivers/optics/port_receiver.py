"""From the record of one detector behind a mesh to quadratures of frames, or to a response.

Owns the order of the steps: filter the slots where the trigger says that they are, find the
frequency, follow the phase on rounds of pilots, derotate, scale. There is no search: light and
records of such a bench share a clock and a trigger, and the data decide what a detector behind the
mesh sees of the preamble. What is left of the timing is measured and taken off.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from drivers.errors import SynchronisationError, TraceError
from drivers.optics.phase import PhaseTrack, track_phase
from drivers.optics.port_burst import PortBurst
from drivers.optics.slot_filter import SlotTiming, filter_all_slots, filter_slots

__all__ = ["PortFrames", "PortResponse", "port_frames", "port_response"]

_FREQUENCY_LIMIT_HZ: Final = 10e6
_CHANCE: Final = 36.0
"""-ln of the probability at which noise in one frequency passes for light."""
_TIMING_LIMIT: Final = 0.125
"""Slots; beside it the Hann pulse loses 5 % of its amplitude."""
_ROUGH_LIMIT_RAD2: Final = 0.05
_PASSES: Final = 2

Complex = NDArray[np.complex64]


@dataclass(frozen=True, kw_only=True)
class PortFrames:
    """Frames of one detector, in shot-noise units.

    Args:
        data: value per frame, X in the real part against the pilots' phase, complex64.
        leak: light of the modulators' nulls, taken off the data.
        vacuum_snu: variance per quadrature of the vacuum slots: shot, electronic and amplifier.
        pilot_amplitude: of the light along the expected response, per pilot slot.
        frequency_offset_hz: from the nominal intermediate frequency.
        timing_error_samples: from where the trigger and the calibrated delay put the burst.
        phase: track over rounds of pilots.
    """

    data: Complex
    leak: complex
    vacuum_snu: float
    pilot_amplitude: float
    frequency_offset_hz: float
    timing_error_samples: float
    phase: PhaseTrack


@dataclass(frozen=True, kw_only=True)
class PortResponse:
    """What one detector sees of each port, from rounds of pilots alone.

    Args:
        amplitudes: complex amplitude per port, in volts of the matched filter, with one unknown
            phase, shape (ports,).
        uncertainty: standard deviation of each part of an amplitude.
        noise_v2: variance per quadrature of the vacuum slots, leak taken off.
    """

    amplitudes: NDArray[np.complex128]
    uncertainty: float
    noise_v2: float


def port_frames(
    volts: NDArray[np.float32],
    burst: PortBurst,
    expected: NDArray[np.complex128],
    *,
    delay_s: float,
    shot_noise_v2: float,
    instrument: str,
) -> PortFrames:
    """Demodulate the record of one detector.

    Args:
        volts: record, shape (samples,).
        burst: what was played.
        expected: what the detector sees of each port, a unit vector of shape (ports,).
        delay_s: from the trigger to the burst's first sample.
        shot_noise_v2: calibrated shot noise of a matched-filter output, V^2.
        instrument: name for messages.

    Raises:
        SynchronisationError: no light, or it is beside its slots.
        PhaseError: the phase cannot be followed.
        TraceError: the record is too short, or the shot noise is gone.
    """
    layout = burst.layout
    known = np.concatenate([burst.preamble @ expected, burst.pilots @ expected])
    slots, cycles, timing_error = _slots(volts, burst, known[:, None], delay_s, instrument)
    bright = slots[np.concatenate([layout.preamble, layout.pilots])] * known.conj()
    split = layout.format.preamble_slots
    rounds = _rounds(bright[:split], burst.ports, at_end=True)
    noise = _vacuum_noise(slots[layout.vacuum])
    track = track_phase(
        _rounds(bright[split:], burst.ports),
        rounds,
        spacing=layout.format.pilot_spacing,
        noise_variance=noise,
        symbol_rate_hz=layout.format.symbol_rate_hz / burst.ports,
        variance_limit_rad2=_ROUGH_LIMIT_RAD2,
        instrument=instrument,
    )
    if not noise > 0.5 * shot_noise_v2:
        raise TraceError(
            f"{instrument}: vacuum noise is {noise:.4g} V^2 and the calibrated shot noise "
            f"{shot_noise_v2:.4g} V^2: the oscillator is lost, check its power and path"
        )
    _derotate(slots, burst, track, known[split:])
    slots *= np.complex64(shot_noise_v2**-0.5)
    leak = complex(np.mean(slots[layout.vacuum], dtype=np.complex128))
    return PortFrames(
        data=slots[layout.data] - np.complex64(leak),
        leak=leak,
        vacuum_snu=noise / shot_noise_v2,
        pilot_amplitude=track.pilot_amplitude / (burst.ports * shot_noise_v2) ** 0.5,
        frequency_offset_hz=cycles * layout.format.symbol_rate_hz,
        timing_error_samples=timing_error,
        phase=track,
    )


def port_response(
    volts: NDArray[np.float32], burst: PortBurst, *, delay_s: float, instrument: str
) -> PortResponse:
    """Measure what one detector sees of every port, whatever the mesh does.

    Every round of pilots gives the whole response, times the phase of its moment. The phases are
    the leading singular vector of all rounds.

    Args:
        volts: record, shape (samples,).
        burst: what was played.
        delay_s: from the trigger to the burst's first sample.
        instrument: name for messages.

    Raises:
        SynchronisationError: no light, or it is beside its slots.
        TraceError: the record is too short.
    """
    layout = burst.layout
    known = np.concatenate([burst.preamble, burst.pilots]).astype(np.complex128)
    slots, _, _ = _slots(volts, burst, known, delay_s, instrument)
    each = _still_rounds(slots, burst)
    amplitudes = each.mean(axis=0)
    rest = each - amplitudes
    spread = float(np.sqrt(np.mean(np.abs(rest) ** 2) / 2 / (burst.pilot_rounds - 1)))
    return PortResponse(
        amplitudes=amplitudes,
        uncertainty=spread,
        noise_v2=_vacuum_noise(slots[layout.vacuum]),
    )


def _still_rounds(slots: Complex, burst: PortBurst) -> NDArray[np.complex128]:
    """The response in every round of pilots with the phase's walk taken off, (rounds, ports)."""
    used = burst.layout.pilots[: burst.pilot_rounds * burst.ports]
    pilots = slots[used].astype(np.complex128)
    centres = used.reshape(-1, burst.ports).mean(axis=1)
    one, last = burst.ports, -burst.ports
    for _ in range(_PASSES):
        turns = np.linalg.svd(_responses(pilots, burst), full_matrices=False)[0][:, 0]
        # Between rounds the phase goes on: what it does within one would mix their patterns.
        phases = np.interp(used, centres, np.unwrap(np.angle(turns)))
        slope = (phases[last] - phases[one]) / (used[last] - used[one])
        phases += slope * np.minimum(used - centres[0], 0.0)
        phases += slope * np.maximum(used - centres[-1], 0.0)
        pilots *= np.exp(-1j * phases)
    return _responses(pilots, burst)


def _responses(pilots: NDArray[np.complex128], burst: PortBurst) -> NDArray[np.complex128]:
    """The response in every round, shape (rounds, ports)."""
    seen = pilots[:, None] * burst.pilots[: pilots.size]
    return np.asarray(seen.reshape(-1, burst.ports, burst.ports).mean(axis=1))


def _slots(
    volts: NDArray[np.float32],
    burst: PortBurst,
    known: NDArray[np.complex128],
    delay_s: float,
    instrument: str,
) -> tuple[Complex, float, float]:
    """Values of all slots without their mean frequency, that frequency, and the timing error.

    Args:
        volts: record.
        burst: what was played.
        known: responses to look for, preamble then pilots, shape (slots, patterns).
        delay_s: calibrated delay.
        instrument: name for messages.
    """
    layout, form = burst.layout, burst.layout.format
    cycles = form.if_cycles_per_symbol / form.samples_per_symbol
    start = delay_s * form.sample_rate_hz
    needed = int(start) + layout.total_samples + form.samples_per_symbol
    if volts.size < needed:
        raise TraceError(
            f"{instrument}: the record has {volts.size} samples, the burst needs {needed}; record "
            "longer"
        )
    timing = SlotTiming(start=start, samples_per_slot=float(form.samples_per_symbol))
    values, slopes, _ = filter_slots(
        volts, timing, form.pulse, cycles, layout.preamble, with_slope=True
    )
    turn = _frequency(values, known[: form.preamble_slots], form.symbol_rate_hz, instrument)
    power = float(np.sum(np.abs(values) ** 2, dtype=np.float64))
    lead = float(np.sum((values.conj() * slopes).real, dtype=np.float64))
    error = lead / power / form.pulse.timing_curvature
    if not abs(error) <= _TIMING_LIMIT * form.samples_per_symbol:
        raise SynchronisationError(
            f"{instrument}: the light is {error:.2f} samples beside its slots, the limit is "
            f"{_TIMING_LIMIT * form.samples_per_symbol:g}; calibrate the delay"
        )
    timing = SlotTiming(start=start + error, samples_per_slot=timing.samples_per_slot)
    slots = filter_all_slots(volts, timing, form.pulse, cycles, 0, layout.total_slots)
    slots *= np.exp(-2j * np.pi * ((turn * np.arange(slots.size)) % 1.0)).astype(np.complex64)
    return slots, turn, error


def _frequency(
    values: Complex, known: NDArray[np.complex128], slot_rate_hz: float, instrument: str
) -> float:
    """Cycles per slot at which the preamble fits best."""
    length = 1 << (values.size - 1).bit_length() + 3
    spectrum = np.fft.fft(values[:, None] * known.conj(), n=length, axis=0)
    power = np.sum(np.abs(spectrum) ** 2, axis=1)
    turns = np.fft.fftfreq(length)
    power[np.abs(turns) * slot_rate_hz > _FREQUENCY_LIMIT_HZ] = 0.0
    best = int(np.argmax(power))
    background = float(np.sum(np.abs(values) ** 2) * np.mean(np.sum(np.abs(known) ** 2, axis=1)))
    brightness = float(power[best]) / background
    # Tail of a sum of exponentials: Laurent and Massart, Ann. Stat. 28, 1302 (2000), lemma 1.
    patterns = known.shape[1]
    least = (patterns + 2 * (patterns * _CHANCE) ** 0.5 + _CHANCE) / patterns
    if brightness < least:
        raise SynchronisationError(
            f"{instrument}: no light in the preamble (brightness {brightness:.1f}, the least is "
            f"{least:.1f}): check shutter, oscillator, trigger and the mesh"
        )
    below, here, above = power[best - 1], power[best], power[(best + 1) % length]
    bend = below - 2 * here + above
    vertex = 0.5 * (below - above) / bend if bend < 0 else 0.0
    return float(turns[best] + vertex / length)


def _vacuum_noise(vacuum: Complex) -> float:
    """Variance per quadrature from neighbours' differences, which leaked light is not in."""
    return float(np.mean(np.abs(np.diff(vacuum)) ** 2, dtype=np.float64)) / 4


def _rounds(bright: NDArray[np.complexfloating], ports: int, *, at_end: bool = False) -> Complex:
    """Sums of whole rounds, with the noise of one slot."""
    count = bright.size // ports * ports
    whole = bright[bright.size - count :] if at_end else bright[:count]
    sums = whole.reshape(-1, ports).sum(axis=1) / ports**0.5
    return np.asarray(sums, dtype=np.complex64)


def _derotate(
    slots: Complex, burst: PortBurst, track: PhaseTrack, pilots: NDArray[np.complex128]
) -> None:
    """Turn all slots back by the track, which is known once per `ports` slots."""
    layout = burst.layout
    shares = np.abs(pilots[: burst.ports]) ** 2
    # A round's phase is that of its bright pilots.
    centre = float(shares @ layout.pilots[: burst.ports] / shares.sum())
    times = centre + burst.ports * np.arange(track.phase_rad.size)
    turn = 2 * np.pi * track.frequency_hz / layout.format.symbol_rate_hz
    slope = turn * np.arange(slots.size)
    rest = np.interp(np.arange(slots.size), times, track.phase_rad - turn * times)
    slots *= np.exp(-1j * np.remainder(rest + slope, 2 * np.pi)).astype(np.complex64)
