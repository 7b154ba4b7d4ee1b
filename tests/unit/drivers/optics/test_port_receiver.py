"""Bursts over parallel ports and their receiver, on records made slot by slot.

Chance of failure: 20 normal scores beyond 7, below 1e-10 in all.
"""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from drivers.errors import ConfigurationError, OpticsError, SynchronisationError, TraceError
from drivers.optics.amplifier_values import port_format
from drivers.optics.burst import BurstFormat, BurstLayout
from drivers.optics.port_burst import PortBurst
from drivers.optics.port_receiver import port_frames, port_response
from drivers.optics.pulses import root_raised_cosine_pulse

FRAMES = 3000
PORTS = 8
SHOT_V2 = 4e-6
PILOT = 12.0
BURST = PortBurst(layout=BurstLayout(format=port_format(), data_symbols=FRAMES), ports=PORTS)
ROW = np.array([0.5, -0.3, 0.2, 0.6, -0.1, 0.25, 0.35, 0.25])
ROW = ROW / np.linalg.norm(ROW)


def record(
    response: NDArray[np.complex128],
    means: NDArray[np.float64],
    *,
    seed: int = 1,
    frequency_hz: float = 0.4e6,
    linewidth_hz: float = 2e3,
    delay_samples: float = 0.0,
    leak: complex = 0.0,
    noise: float = 1.0,
) -> NDArray[np.float32]:
    """A heterodyne record in volts, written out slot by slot and sample by sample."""
    rng = np.random.default_rng(seed)
    form, layout = BURST.layout.format, BURST.layout
    waves = BURST.compose(means.astype(np.float32), PILOT)
    field = response @ waves.astype(np.complex128) + leak * form.pulse.taps.sum() ** -1
    rate = form.sample_rate_hz
    samples = layout.total_samples + 800
    walk = np.cumsum(rng.standard_normal(samples) * np.sqrt(2 * np.pi * linewidth_hz / rate))
    beat_hz = form.if_cycles_per_symbol * form.symbol_rate_hz + frequency_hz
    phase = 2 * np.pi * beat_hz * np.arange(samples) / rate + walk + 1.1
    whole = int(delay_samples)
    light = np.zeros(samples, dtype=np.complex128)
    light[whole : whole + field.size] = field
    volts = np.sqrt(2) * (light * np.exp(1j * phase)).real
    volts += noise * rng.standard_normal(samples)
    return np.asarray(volts * SHOT_V2**0.5, dtype=np.float32)


def means(seed: int = 2) -> NDArray[np.float64]:
    return np.random.default_rng(seed).standard_normal((FRAMES, PORTS))


def test_every_round_of_pilots_has_the_same_energy_along_every_vector() -> None:
    vectors = np.random.default_rng(3).standard_normal((PORTS, 5))
    vectors /= np.linalg.norm(vectors, axis=0)
    for pattern, rounds in (
        (BURST.pilots, BURST.pilot_rounds),
        (BURST.preamble[-BURST.preamble_rounds * PORTS :], BURST.preamble_rounds),
    ):
        seen = (pattern[: rounds * PORTS] @ vectors).reshape(rounds, PORTS, -1)
        np.testing.assert_allclose(np.square(seen).sum(axis=1), PORTS, rtol=1e-5)


def test_compose_puts_means_and_pilots_into_their_slots() -> None:
    waves = BURST.compose(means().astype(np.float32), PILOT)
    form, layout = BURST.layout.format, BURST.layout
    slots = waves.reshape(PORTS, -1, form.samples_per_symbol) @ form.pulse.taps
    np.testing.assert_allclose(slots[:, layout.data], means().T, atol=1e-5)
    np.testing.assert_allclose(np.abs(slots[:, layout.pilots]), PILOT, rtol=1e-5)
    np.testing.assert_allclose(slots[:, layout.vacuum], 0.0)


def test_frames_are_unbiased_with_vacuum_noise_when_light_is_collected() -> None:
    launched = means()
    found = port_frames(
        record(ROW.astype(np.complex128), launched, leak=0.4 + 0.3j),
        BURST,
        ROW.astype(np.complex128),
        delay_s=0.0,
        shot_noise_v2=SHOT_V2,
        instrument="tap",
    )
    expected = launched @ ROW
    gain = float(expected @ found.data.real / (expected @ expected))
    rest = found.data - gain * expected
    root = FRAMES**0.5
    assert abs(gain - 1) < 7 / np.linalg.norm(expected) + 2e-3  # 2e-3: phase error left
    assert abs(rest.real.mean()) < 7 / root + 7 * 1000**-0.5
    for part in (rest.real, rest.imag):
        assert abs(part.var() - 1) < 7 * (2 / FRAMES) ** 0.5 + 0.01
    assert abs(found.vacuum_snu - 1) < 7 * 1000**-0.5
    assert found.pilot_amplitude == pytest.approx(PILOT, rel=0.02)
    # A random walk of 0.06 rad^2 over the preamble moves the frequency by some 10 kHz.
    assert found.frequency_offset_hz == pytest.approx(0.4e6, abs=100e3)
    assert abs(found.timing_error_samples) < 0.1


@pytest.mark.parametrize("port", [0, 5], ids=str)
def test_frames_of_one_port_are_found_with_its_pilots(port: int) -> None:
    response = np.eye(PORTS, dtype=np.complex128)[port]
    found = port_frames(
        record(response * np.exp(0.7j), means()),
        BURST,
        response,
        delay_s=0.0,
        shot_noise_v2=SHOT_V2,
        instrument="return",
    )
    expected = means()[:, port]
    gain = float(expected @ found.data.real / (expected @ expected))
    assert abs(gain - 1) < 7 / FRAMES**0.5 + 2e-3


def test_response_is_measured_up_to_a_phase() -> None:
    rng = np.random.default_rng(6)
    response = rng.standard_normal(PORTS) + 1j * rng.standard_normal(PORTS)
    volts = record(response, np.zeros((FRAMES, PORTS)))
    found = port_response(volts, BURST, delay_s=0.0, instrument="tap")
    seen = found.amplitudes / (PILOT * SHOT_V2**0.5)
    turn = np.vdot(response, seen)
    rest = seen * np.conj(turn) / abs(turn) - response
    spread = found.uncertainty / (PILOT * SHOT_V2**0.5)
    # Noise of a slot over the root of all pilots, and what the phase does within a round.
    expected = 1 / (PILOT * (BURST.pilot_rounds * PORTS) ** 0.5)
    assert expected * 0.9 < spread < 3 * expected
    assert np.abs(rest).max() < 7 * spread
    assert found.noise_v2 == pytest.approx(SHOT_V2, rel=7 * 1000**-0.5)


def refused(volts: NDArray[np.float32], *, shot_noise_v2: float = SHOT_V2) -> None:
    port_frames(
        volts,
        BURST,
        ROW.astype(np.complex128),
        delay_s=0.0,
        shot_noise_v2=shot_noise_v2,
        instrument="tap",
    )


def test_receiver_refuses_when_there_is_no_light() -> None:
    volts = record(np.zeros(PORTS, dtype=np.complex128), means())
    with pytest.raises(SynchronisationError, match="tap: no light in the preamble"):
        refused(volts)
    with pytest.raises(SynchronisationError, match="no light"):
        port_response(volts, BURST, delay_s=0.0, instrument="tap")


def test_receiver_refuses_when_light_is_beside_its_slots() -> None:
    volts = record(ROW.astype(np.complex128), means(), delay_samples=2)
    with pytest.raises(SynchronisationError, match="samples beside its slots"):
        refused(volts)


def test_receiver_refuses_when_the_record_is_short() -> None:
    volts = record(ROW.astype(np.complex128), means())[:-900]
    with pytest.raises(TraceError, match="record longer"):
        refused(volts)


def test_receiver_refuses_when_the_shot_noise_is_gone() -> None:
    volts = record(ROW.astype(np.complex128), means(), noise=0.3)
    with pytest.raises(TraceError, match="the oscillator is lost"):
        refused(volts)


@pytest.mark.parametrize("ports", [1, 3, 6, 128], ids=str)
def test_burst_refuses_when_ports_are_no_power_of_two(ports: int) -> None:
    with pytest.raises(ConfigurationError, match="power of two from 2 to 64"):
        PortBurst(layout=BURST.layout, ports=ports)


def test_burst_refuses_when_pulses_overlap() -> None:
    form = BurstFormat(pulse=root_raised_cosine_pulse(8))
    with pytest.raises(ConfigurationError, match="hann pulse"):
        PortBurst(layout=BurstLayout(format=form, data_symbols=4), ports=8)


def too_few(good: NDArray[np.float32]) -> NDArray[np.float32]:
    return good[:-1]


def with_nan(good: NDArray[np.float32]) -> NDArray[np.float32]:
    good[3, 3] = np.nan
    return good


@pytest.mark.parametrize("spoil", [too_few, with_nan])
def test_compose_refuses_when_means_are_wrong(
    spoil: Callable[[NDArray[np.float32]], NDArray[np.float32]],
) -> None:
    with pytest.raises(OpticsError, match="means have the shape"):
        BURST.compose(spoil(means().astype(np.float32)), PILOT)
