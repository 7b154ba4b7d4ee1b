"""The whole receiver on slow synthetic records: means, variances, covariances, refusals.

The recorded value of a datum x at oscillator level l is l x exp(-v/2) + noise of variance
l^2 + v_el per quadrature. Statistical limits are six standard deviations (2e-9 each), seeds fixed.
"""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from drivers.errors import OpticsError, PhaseError, SynchronisationError, TraceError
from drivers.optics.burst import BurstFormat, BurstLayout
from drivers.optics.pulses import root_raised_cosine_pulse
from drivers.optics.receiver import Demodulated, Receiver, ReceiverSettings
from tests.unit.drivers.optics.synthetic_records import Conditions, record_of

HANN = BurstFormat(dark_slots=1200)
COSINE = BurstFormat(
    samples_per_symbol=4,
    if_cycles_per_symbol=1.0,
    pulse=root_raised_cosine_pulse(4, roll_off=0.5, span_slots=15),
)
DIVERSE = BurstFormat(if_cycles_per_symbol=0.0)
BELOW = BurstFormat(if_cycles_per_symbol=-2.0)
PILOT = 34.6
SHOT = 1e-4
ELECTRONIC = 1e-5


def assert_recovered(
    found: Demodulated, means: NDArray[np.inexact[Any]], levels: NDArray[np.float64]
) -> None:
    """Mean, variance and covariance of the data against the model."""
    wanted = levels * means * found.phase.mean_factor
    scale = 3 * found.shot_noise.relative_uncertainty  # half of six standard deviations of N0
    power = float(np.sum(np.abs(wanted) ** 2))
    for part, turned in ((wanted, wanted), (1j * wanted, 1j * wanted)):
        overlap = float(np.sum((found.data * np.conj(part)).real))
        ideal = power if turned is wanted else 0.0
        phase_spread = 40 * found.phase.mean_variance_rad2 / means.size
        limit = 6 * np.sqrt(1.2 / power + phase_spread) + scale + 0.003
        assert overlap / power == pytest.approx(ideal / power, abs=limit)
    errors = found.data.astype(np.complex128) - wanted
    noise = float(np.mean(levels**2)) + 0.1
    turned_noise = found.phase.mean_variance_rad2 * float(np.mean(np.abs(wanted) ** 2))
    limit = 6 * np.sqrt(3 / means.size) + 2 * scale
    for values in (errors.real, errors.imag):
        assert float(np.var(values)) == pytest.approx(
            noise + 0.5 * turned_noise, abs=limit * noise + turned_noise
        )
    assert abs(float(np.mean(errors.real * errors.imag))) < limit * noise + turned_noise
    neighbours = float(np.mean((errors[1:] * np.conj(errors[:-1])).real))
    assert abs(neighbours) < 2 * (limit * noise + turned_noise)


@pytest.mark.parametrize(
    "burst", [HANN, COSINE, DIVERSE, BELOW], ids=["hann", "rrc", "diverse", "below"]
)
def test_receiver_recovers_complex_means_and_noise(burst: BurstFormat) -> None:
    rng = np.random.default_rng(21)
    layout = BurstLayout(format=burst, data_symbols=30_000)
    both = rng.standard_normal(30_000) + 1j * rng.standard_normal(30_000)
    means = 0.8 * both
    conditions = Conditions(
        delay_samples=333.3,
        clock_ppm=-37.0,
        offset_hz=2.2e6,
        linewidth_hz=20e3,
        complex_record=burst is DIVERSE,
        code_volts=0.002,
    )
    record = record_of(layout, means, PILOT, conditions, rng)
    found = Receiver(burst).process(record, layout, electronic_noise=ELECTRONIC)
    assert found.data.dtype == np.complex64
    assert_recovered(found, means, np.ones(30_000))
    shot = found.shot_noise
    assert shot.shot == pytest.approx(SHOT, abs=6 * shot.uncertainty + 2e-3 * SHOT)
    assert found.pilot_amplitude == pytest.approx(PILOT, rel=3 * shot.relative_uncertainty + 0.005)
    assert found.clock_offset == pytest.approx(-37e-6, abs=0.5e-6)
    assert found.frequency_offset_hz == pytest.approx(2.2e6, abs=30e3)
    assert found.phase.linewidth_hz == pytest.approx(20e3, rel=0.2)
    assert abs(shot.leak) < 6 * np.sqrt(2.2 / layout.vacuum.size)
    np.testing.assert_allclose(found.data_noise, 1 + found.electronic_snu, rtol=1e-6)
    np.testing.assert_allclose(
        np.mean(found.data_phase_variance), found.phase.mean_variance_rad2, rtol=0.05
    )
    vacuum = 0.5 * float(np.mean(np.abs(found.vacuum) ** 2))
    assert vacuum == pytest.approx(1 + found.electronic_snu, rel=0.01)


def test_receiver_keeps_the_oscillators_level_and_reads_its_dark_slots() -> None:
    rng = np.random.default_rng(22)
    layout = BurstLayout(format=HANN, data_symbols=40_000)
    means = 1.5 * rng.standard_normal(40_000).astype(np.complex128)
    levels = rng.uniform(-1, 1, 40_000)
    conditions = Conditions(delay_samples=71.6, clock_ppm=22.0, offset_hz=-3e6, linewidth_hz=20e3)
    record = record_of(layout, means, PILOT, conditions, rng, levels)
    found = Receiver(HANN).process(record, layout, oscillator_levels=levels)
    assert_recovered(found, means, levels)
    assert found.electronic_snu == pytest.approx(0.1, rel=6 * np.sqrt(1 / 1190 + 1 / 1290))
    np.testing.assert_allclose(
        found.data_noise, levels**2 + found.electronic_snu, rtol=1e-5, atol=1e-6
    )
    # A frame's sum: mean sum x l / |l|, noise 1 + v_el N / sum l^2.
    frames = levels.reshape(-1, 400)
    norm = np.sqrt(np.sum(frames**2, axis=1))
    sums = np.sum(found.data.real.reshape(-1, 400), axis=1) / norm
    truth = np.sum(frames**2 * means.real.reshape(-1, 400), axis=1) / norm
    # Noise shaped by the level: the sum's vacuum is that of one mode.
    excess = (
        sums - found.phase.mean_factor * np.sum(frames * means.real.reshape(-1, 400), axis=1) / norm
    )
    assert truth.shape == (100,)
    assert float(np.var(excess)) == pytest.approx(1 + 0.1 * 3, rel=6 * np.sqrt(2 / 100))


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    linewidth_khz=st.floats(0.2, 200.0),
    ppm=st.floats(-50.0, 50.0),
    delay=st.floats(0.0, 3000.0),
    photons=st.floats(0.01, 10.0),
    offset_mhz=st.floats(-5.0, 5.0),
    seed=st.integers(0, 1000),
)
def test_receiver_recovers_data_when_conditions_vary(
    linewidth_khz: float, ppm: float, delay: float, photons: float, offset_mhz: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    layout = BurstLayout(format=HANN, data_symbols=6000)
    # Variance 4 mu at launch, transmittance 0.3, half of it in each recorded quadrature.
    means = np.sqrt(0.6 * photons) * rng.standard_normal(6000).astype(np.complex128)
    conditions = Conditions(
        delay_samples=delay,
        clock_ppm=ppm,
        offset_hz=offset_mhz * 1e6,
        linewidth_hz=linewidth_khz * 1e3,
    )
    record = record_of(layout, means, PILOT, conditions, rng)
    found = Receiver(HANN).process(record, layout, electronic_noise=ELECTRONIC)
    assert_recovered(found, means, np.ones(6000))
    assert found.synchronisation.timing.start == pytest.approx(delay, abs=0.05)


def plain_record(seed: int = 30, **changes: float) -> tuple[BurstLayout, NDArray[np.float32]]:
    layout = BurstLayout(format=HANN, data_symbols=3000)
    conditions = Conditions(linewidth_hz=changes.get("linewidth_hz", 20e3))
    rng = np.random.default_rng(seed)
    record = record_of(
        layout, np.zeros(3000), changes.get("pilot", PILOT), conditions, rng, np.ones(3000)
    )
    return layout, np.asarray(record, dtype=np.float32)


def test_receiver_turns_the_data_when_the_path_inverts_the_field() -> None:
    layout = BurstLayout(format=HANN, data_symbols=2000)
    record = record_of(layout, np.ones(2000), PILOT, Conditions(), np.random.default_rng(31))
    receiver = Receiver(HANN)
    plain = receiver.process(record, layout, electronic_noise=ELECTRONIC)
    turned = receiver.process(record, layout, electronic_noise=ELECTRONIC, pilot_sign=-1)
    np.testing.assert_allclose(turned.data, -plain.data, atol=1e-3)
    assert float(np.mean(plain.data.real)) == pytest.approx(1.0, abs=0.2)


def test_receiver_refuses_when_the_oscillator_is_lost() -> None:
    layout, record = plain_record()
    with pytest.raises(TraceError, match="client detector: oscillator lost"):
        Receiver(HANN, instrument="client detector").process(
            record, layout, electronic_noise=1.1e-4
        )


def test_receiver_compares_with_its_calibration() -> None:
    layout, record = plain_record()
    receiver = Receiver(HANN)
    receiver.process(
        record, layout, electronic_noise=ELECTRONIC, calibrated_shot_noise=SHOT, expected_pilot=35
    )
    with pytest.raises(TraceError, match="from its calibration"):
        receiver.process(
            record, layout, electronic_noise=ELECTRONIC, calibrated_shot_noise=1.5 * SHOT
        )
    with pytest.raises(TraceError, match=r"pilot amplitude 3\d\.\d\d .* expected 50"):
        receiver.process(record, layout, electronic_noise=ELECTRONIC, expected_pilot=50.0)


def test_receiver_refuses_when_the_phase_is_lost() -> None:
    layout, record = plain_record(linewidth_hz=1.5e6)
    with pytest.raises((PhaseError, SynchronisationError)):
        Receiver(HANN).process(record, layout, electronic_noise=ELECTRONIC)
    layout, record = plain_record()
    strict = ReceiverSettings(phase_variance_limit_rad2=1e-3)
    with pytest.raises(PhaseError, match="cannot be followed"):
        Receiver(HANN, settings=strict).process(record, layout, electronic_noise=ELECTRONIC)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_receiver_refuses_when_a_sample_is_not_a_number(bad: float) -> None:
    layout, record = plain_record()
    record[[100, 2000]] = bad, -bad
    with pytest.raises(TraceError, match="NaN or infinite"):
        Receiver(HANN).process(record, layout, electronic_noise=ELECTRONIC)


def test_receiver_refuses_when_arguments_do_not_belong_together() -> None:
    layout, record = plain_record()
    receiver = Receiver(HANN)
    with pytest.raises(OpticsError, match="another burst format"):
        Receiver(DIVERSE).process(record, layout)
    with pytest.raises(OpticsError, match="complex"):
        receiver.process(record.astype(np.complex64), layout)
    with pytest.raises(OpticsError, match="one channel"):
        receiver.process(record[None], layout)
    with pytest.raises(OpticsError, match="pilot_sign"):
        receiver.process(record, layout, pilot_sign=0)
    with pytest.raises(OpticsError, match="oscillator_levels"):
        receiver.process(record, layout, oscillator_levels=np.ones(5))
