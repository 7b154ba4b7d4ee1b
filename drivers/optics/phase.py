"""Phase of the light against the oscillator, followed on pilots.

Owns the phase track. The phase is a Wiener walk: its variance grows by 2 pi linewidth * time, with
the combined Lorentzian linewidth of both lasers. A pilot of amplitude A in noise of variance N per
quadrature shows it with the variance R = N / A^2. For pilots at even spacing, with the walk's
variance q per spacing, the steady-state Kalman filter has the gain K,

    P / R = (q/R + sqrt((q/R)^2 + 4 q/R)) / 2,      K = P / (P + R),

and the Rauch-Tung-Striebel smoother runs backwards with 1 - K (AIAA Journal 3, 1445 (1965); Simon,
Optimal State Estimation, sections 7.3 and 9.4). Both are first-order recursions. The smoothed phase
has the variance K R / (2 - K), neighbours the covariance (1 - K) of that; between pilots the best
estimate is the line between them (Brownian bridge: given both ends the walk's mean is linear). The
walk's variance is the one of greatest likelihood of the filter's innovations; R is known from
vacuum and pilot power to a few percent, and fitted with it.

What is left, v, turns X partly into P: a mean shrinks by exp(-v/2), and the other quadrature gains
v times the mean's square as noise. At 20 kHz combined linewidth, 100 Msymbol/s and R = 8.4e-4
(2000 photons after a transmittance of 0.3, heterodyne), v is 1.5e-3, 1.9e-3, 2.4e-3 and 3.2e-3 for
a pilot every 4, 6, 8 and 12 slots: 0.0058, 0.0076, 0.0094 and 0.0128 shot-noise units at a
quadrature variance of 4. Hence the default of 6: 8 leaves no room below 0.01.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.signal import lfilter

from drivers.errors import PhaseError

__all__ = ["PhaseTrack", "smoothed_variance", "track_phase"]

# Above this pilot variance a pilot's angle is no longer normal: its projection is used instead.
_DIM_PILOT: Final = 0.05
_JUMP_SIGNIFICANCE: Final = 7.0
# Relative uncertainty of the pilot variance that vacuum and pilot power give.
_PILOT_PRIOR: Final = 0.05
_MOST_FITTED: Final = 65_536


@dataclass(frozen=True, kw_only=True)
class PhaseTrack:
    """The phase of every slot from the first pilot to the last.

    Attributes:
        phase_rad: Phase per slot, shape (slots,), unwrapped.
        variance_rad2: Predicted variance of its error, shape (slots,).
        linewidth_hz: Combined linewidth, estimated.
        frequency_hz: Frequency left between light and filter, mean over the burst.
        pilot_amplitude: Amplitude of the pilots, unit of the values given.
        pilot_variance_rad2: R, variance of one pilot's phase by its noise.
        mean_variance_rad2: Mean predicted variance over the slots between pilots.
    """

    phase_rad: NDArray[np.float64]
    variance_rad2: NDArray[np.float32]
    linewidth_hz: float
    frequency_hz: float
    pilot_amplitude: float
    pilot_variance_rad2: float
    mean_variance_rad2: float

    @property
    def mean_factor(self) -> float:
        """Factor exp(-v/2) by which the phase error shrinks a mean."""
        return float(np.exp(-0.5 * self.mean_variance_rad2))


def smoothed_variance(walk: float, pilot: float, spacing: int) -> NDArray[np.float64]:
    """Error variance of the smoothed phase at each slot of an interval between two pilots.

    Args:
        walk: Variance of the phase walk per slot, rad^2.
        pilot: Variance R of one pilot's phase, rad^2.
        spacing: Slots from pilot to pilot.

    Returns:
        Variance at the slots 0 (pilot), 1 .. spacing - 1, shape (spacing,).
    """
    gain, _ = _steady_state(walk * spacing, pilot)
    at_pilot = gain * pilot / (2 - gain)
    share = np.arange(spacing) / spacing
    ends = (1 - share) ** 2 + share**2 + 2 * share * (1 - share) * (1 - gain)
    return np.asarray(share * (1 - share) * spacing * walk + ends * at_pilot)


def track_phase(
    pilots: NDArray[np.complex64],
    preamble: NDArray[np.complex64],
    *,
    spacing: int,
    noise_variance: float,
    symbol_rate_hz: float,
    variance_limit_rad2: float = 0.05,
    instrument: str = "receiver",
) -> PhaseTrack:
    """Follows the phase over the body of a burst.

    Args:
        pilots: Values of the pilots with their known signs taken off, shape (pilots,), at least 2.
        preamble: The same of the preamble that ends one slot before the first pilot.
        spacing: Slots from pilot to pilot.
        noise_variance: Variance per quadrature of a value's noise, from vacuum slots.
        symbol_rate_hz: Slots per second.
        variance_limit_rad2: Largest predicted variance between pilots.
        instrument: Name for messages.

    Returns:
        Phase and its predicted error, slot by slot.

    Raises:
        PhaseError: Pilots too dim, a phase jump, or a predicted variance above the limit.
    """
    bright = pilots.astype(np.complex128)
    early = preamble.astype(np.complex128)
    power = float(np.mean(np.abs(bright) ** 2)) - 2 * noise_variance
    pilot_variance = noise_variance / power if power > 0 else np.inf
    if pilot_variance > 1.0:
        raise PhaseError(
            f"{instrument}: the pilots are too dim: phase variance of one pilot "
            f"{pilot_variance:.3g} rad^2, the limit is 1: raise the pilot power"
        )
    amplitude = float(np.sqrt(power))
    index = np.arange(bright.size)
    turn = _mean_turn(bright, amplitude, pilot_variance)
    bright *= np.exp(-1j * ((turn * index) % (2 * np.pi)))
    # Counted back from the first pilot, so that the preamble's phase joins the body's.
    back = np.arange(-early.size, 0) / spacing
    early *= np.exp(-1j * ((turn * back) % (2 * np.pi)))
    body = _linear_phase(bright, amplitude, pilot_variance)
    start = _linear_phase(early, amplitude, pilot_variance)
    walk, fitted = _likeliest(body, start, spacing, pilot_variance)
    if pilot_variance >= _DIM_PILOT:
        # The first track's gain was a guess and let too much noise in: measured against again.
        body = _remeasured(bright, body, amplitude, walk * spacing, fitted)
        start = _remeasured(early, start, amplitude, walk, fitted)
        walk, fitted = _likeliest(body, start, spacing, pilot_variance)
    pilot_variance = fitted
    _check_jumps(body, walk * spacing + 2 * pilot_variance, spacing, instrument)
    linewidth = walk * symbol_rate_hz / (2 * np.pi)
    interior = smoothed_variance(walk, pilot_variance, spacing)
    mean_variance = float(np.mean(interior[1:])) if spacing > 1 else float(interior[0])
    if not mean_variance <= variance_limit_rad2:
        raise PhaseError(
            f"{instrument}: the phase cannot be followed: predicted error {mean_variance:.3g} "
            f"rad^2, the limit is {variance_limit_rad2:g} (combined linewidth "
            f"{linewidth / 1e3:.3g} kHz, pilot signal to noise "
            f"{10 * np.log10(1 / pilot_variance):.1f} dB): use narrower lasers, more pilots or "
            "brighter ones"
        )
    before = _filtered(start, start[0], _steady_state(walk, pilot_variance)[0])[-1]
    before += 2 * np.pi * np.round((body[0] - before) / (2 * np.pi))
    smoothed, variance = _smoothed(body, float(before), walk * spacing, pilot_variance)
    smoothed += turn * index
    phase, slot_variance = _interpolated(smoothed, variance, walk, pilot_variance, spacing)
    return PhaseTrack(
        phase_rad=phase,
        variance_rad2=slot_variance,
        linewidth_hz=linewidth,
        frequency_hz=turn * symbol_rate_hz / (2 * np.pi * spacing),
        pilot_amplitude=amplitude,
        pilot_variance_rad2=pilot_variance,
        mean_variance_rad2=mean_variance,
    )


def _mean_turn(phasors: NDArray[np.complex128], amplitude: float, pilot_variance: float) -> float:
    """Mean phase step from pilot to pilot: by neighbours, then by the line through all."""
    coarse = float(np.angle(np.sum(phasors[1:] * np.conj(phasors[:-1]))))
    index = np.arange(phasors.size)
    still = phasors * np.exp(-1j * ((coarse * index) % (2 * np.pi)))
    line = _linear_phase(still, amplitude, pilot_variance)
    centred = index - index.mean()
    return coarse + float(centred @ line / (centred @ centred))


def _steady_state(walk: float, pilot: float) -> tuple[float, float]:
    """Kalman gain and predicted variance for a walk of variance `walk` per step."""
    ratio = walk / pilot
    predicted = 0.5 * (ratio + np.sqrt(ratio * ratio + 4 * ratio)) * pilot
    return float(predicted / (predicted + pilot)), float(predicted)


def _filtered(phase: NDArray[np.float64], before: float, gain: float) -> NDArray[np.float64]:
    """Forward filter with a constant gain, started from `before`."""
    values, _ = lfilter([gain], [1.0, gain - 1.0], phase, zi=[(1 - gain) * before])
    return np.asarray(values)


def _smoothed(
    phase: NDArray[np.float64], before: float, walk: float, pilot: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Forward and backward pass; the variance rises to the filter's at the last pilot."""
    gain, _ = _steady_state(walk, pilot)
    forward = _filtered(phase, before, gain)
    backward = _filtered(forward[::-1], float(forward[-1]), gain)[::-1]
    settled = gain * pilot / (2 - gain)
    to_end = np.arange(phase.size - 1, -1, -1, dtype=np.float64)
    variance = settled + (gain * pilot - settled) * (1 - gain) ** (2 * to_end)
    return backward.copy(), variance


def _linear_phase(
    phasors: NDArray[np.complex128], amplitude: float, pilot_variance: float
) -> NDArray[np.float64]:
    """Unwrapped measurements of the phase, each with the noise variance R.

    A coarse track of smoothed phasors is unwrapped first, and each pilot is measured against it, so
    that noise cannot make the measurement slip by a turn.
    """
    lag = complex(np.mean(phasors[1:] * np.conj(phasors[:-1])))
    coherence = min(abs(lag) / amplitude**2, 1 - 1e-9)
    walk = max(-2 * float(np.log(max(coherence, 1e-9))), 0.01 * pilot_variance)
    gain, _ = _steady_state(walk, pilot_variance)
    pole = [1.0, gain - 1.0]
    forward, _ = lfilter([gain], pole, phasors, zi=[(1 - gain) * phasors[0]])
    backward, _ = lfilter([gain], pole, phasors[::-1], zi=[(1 - gain) * phasors[-1]])
    coarse = forward + backward[::-1] - gain * phasors
    track = np.unwrap(np.angle(coarse))
    against = phasors * np.exp(-1j * track)
    if pilot_variance < _DIM_PILOT:
        return np.asarray(track + np.angle(against))
    return np.asarray(track + against.imag / amplitude)


def _remeasured(
    phasors: NDArray[np.complex128],
    phase: NDArray[np.float64],
    amplitude: float,
    walk: float,
    pilot: float,
) -> NDArray[np.float64]:
    """Measurements of the phase against the smoothed track of earlier ones."""
    track, _ = _smoothed(phase, float(phase[0]), walk, pilot)
    against = phasors * np.exp(-1j * track)
    return np.asarray(track + against.imag / amplitude)


def _likeliest(
    body: NDArray[np.float64], start: NDArray[np.float64], spacing: int, pilot: float
) -> tuple[float, float]:
    """Walk per slot and pilot variance of greatest likelihood of both stretches' innovations.

    The pilot variance is known to a few percent from vacuum; at dim pilots, whose walk hides below
    that, the innovations know it better.
    """
    body = body[:_MOST_FITTED]

    def cost(logarithms: NDArray[np.float64]) -> float:
        walk, noise = (float(value) for value in np.exp(np.clip(logarithms, -25.0, 3.0)))
        total = (float(logarithms[1] - np.log(pilot)) / _PILOT_PRIOR) ** 2
        for phase, step in ((body, walk * spacing), (start, walk)):
            gain, predicted = _steady_state(step, noise)
            # Begun from one noisy pilot, the filter's first errors would speak for a high gain.
            first = float(_filtered(phase[::-1], float(phase[-1]), gain)[-1])
            innovations = phase[1:] - _filtered(phase, first, gain)[:-1]
            spread = predicted + noise
            total += float(innovations @ innovations) / spread
            total += innovations.size * float(np.log(spread))
        return total

    guess = max((float(np.var(np.diff(body))) - 2 * pilot) / spacing, 0.01 * pilot / spacing)
    simplex = np.log([[guess, pilot], [3 * guess, pilot], [guess, pilot * (1 + _PILOT_PRIOR)]])
    found = minimize(
        cost,
        simplex[0],
        method="Nelder-Mead",
        options={"initial_simplex": simplex, "xatol": 3e-3, "fatol": 1e-2, "maxfev": 300},
    )
    walk, noise = np.exp(np.clip(found.x, -25.0, 3.0))
    return float(walk), float(noise)


def _check_jumps(
    phase: NDArray[np.float64], variance: float, spacing: int, instrument: str
) -> None:
    """Refuses phase steps that neither walk nor noise explain, where they could be seen."""
    limit = _JUMP_SIGNIFICANCE * float(np.sqrt(variance))
    steps = np.abs(np.diff(phase))
    worst = int(np.argmax(steps))
    if steps[worst] > limit:
        raise PhaseError(
            f"{instrument}: the phase jumps by {steps[worst]:.2f} rad at slot {worst * spacing} of "
            f"the body; walk and noise explain {limit:.2f} rad: discard the record, check the "
            "lasers for mode hops and the trigger for lost samples"
        )


def _interpolated(
    smoothed: NDArray[np.float64],
    variance: NDArray[np.float64],
    walk: float,
    pilot: float,
    spacing: int,
) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """From pilots to slots along Brownian bridges."""
    share = np.arange(spacing) / spacing
    slots = (smoothed.size - 1) * spacing + 1
    phase = np.empty(slots)
    grid = phase[:-1].reshape(-1, spacing)
    np.multiply(np.diff(smoothed)[:, None], share, out=grid)
    grid += smoothed[:-1, None]
    phase[-1] = smoothed[-1]
    gain, _ = _steady_state(walk * spacing, pilot)
    left = (1 - share) ** 2
    right = share**2 + 2 * share * (1 - share) * (1 - gain)
    spread = np.empty(slots, dtype=np.float32)
    rows = spread[:-1].reshape(-1, spacing)
    rows[:] = share * (1 - share) * spacing * walk
    rows += (variance[:-1, None] * left).astype(np.float32)
    rows += (variance[1:, None] * right).astype(np.float32)
    spread[-1] = variance[-1]
    return phase, spread
