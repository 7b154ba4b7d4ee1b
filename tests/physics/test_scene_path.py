"""Modulators, couplers, fibre and backscatter of the scene against analytic values.

Chance of failure: fewer than 20 z-tests at |z| < 7.8, below 1e-12 in all.
"""

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from sim_backend.scene.fibre import (
    Fibre,
    FibreSettings,
    RayleighBackscatter,
    backscatter_fraction,
)
from sim_backend.scene.light import (
    REFERENCE_WAVELENGTH_M,
    SPEED_OF_LIGHT_M_PER_S,
    Light,
    horizontal,
    photon_flux,
)
from sim_backend.scene.modulators import (
    IqModulator,
    IqModulatorSettings,
    MachZehnder,
    MachZehnderSettings,
)
from sim_backend.scene.path import Coupler, FrequencyShifter, FrequencyShifterSettings
from sim_backend.scene.polarisation import PolarisationWalk, overlap, retarder
from tests.unit.sim_backend.scene.scene_helpers import (
    RATE_HZ,
    assert_mean,
    assert_variance,
    rng,
    steady,
    window,
)

STILL: dict[str, Any] = {
    "connector_loss_db": 0.0,
    "loss_db_per_km": 0.0,
    "thermal_phase_rad_per_sqrt_s": 0.0,
    "polarisation_rad_per_sqrt_s": 0.0,
}


def _at_null(**changes: float) -> MachZehnder:
    modulator = MachZehnder(MachZehnderSettings(**changes), rng=rng())
    modulator.bias_v = modulator.null_v()
    modulator.begin(window())
    return modulator


def _modulated(modulator: MachZehnder, volts: NDArray[np.float64]) -> NDArray[np.complex128]:
    light = steady(1.0, volts.size)
    return modulator.block(light, volts.astype(np.float32)).field.astype(np.complex128)


def test_mach_zehnder_follows_two_arms_of_unequal_amplitude() -> None:
    modulator = _at_null(
        half_wave_v=3.0, extinction_db=20.0, insertion_loss_db=3.0, bandwidth_hz=1e12
    )
    volts = np.linspace(-6, 6, 201)
    half = np.pi * volts / 3.0 / 2
    gamma = 0.1
    arms = (1 + gamma) / 2 * np.exp(1j * half) - (1 - gamma) / 2 * np.exp(-1j * half)
    expected = 10 ** (-3 / 20) * -1j * arms
    assert np.allclose(_modulated(modulator, volts), expected, atol=1e-6)


def test_mach_zehnder_power_ratio_is_extinction() -> None:
    modulator = _at_null(half_wave_v=3.0, extinction_db=27.0)
    ratio = modulator.transmission(3.0) / modulator.transmission(0.0)
    assert 10 * math.log10(ratio) == pytest.approx(27.0, abs=1e-4)


def test_mach_zehnder_amplitude_has_sign_of_drive() -> None:
    modulator = _at_null(half_wave_v=3.0, extinction_db=60.0, insertion_loss_db=0.0)
    assert modulator.transfer(1.0).real == pytest.approx(0.5, abs=1e-6)
    assert modulator.transfer(-1.0).real == pytest.approx(-0.5, abs=1e-6)


def test_mach_zehnder_bias_moves_null_by_half_wave_ratio() -> None:
    modulator = _at_null(half_wave_v=3.0, bias_half_wave_v=6.0, extinction_db=60.0)
    modulator.bias_v += 1.0
    assert modulator.transmission(-0.5) == pytest.approx(
        modulator.transmission(-0.5 + 6.0), rel=1e-3
    )
    assert modulator.transmission(-0.5) < 1e-5


def test_mach_zehnder_null_drifts_with_its_rms() -> None:
    modulator = _at_null(bias_drift_v=0.2, bias_drift_time_s=10.0, null_v=1.0)
    nulls = []
    for _ in range(4000):
        modulator.age(100.0)
        nulls.append(modulator.null_v())
    assert_variance(np.array(nulls), 0.04)
    assert_mean(np.array(nulls), 1.0)


def test_mach_zehnder_step_rises_as_one_pole() -> None:
    bandwidth_hz = 50e6
    modulator = _at_null(half_wave_v=1e4, insertion_loss_db=0.0, bandwidth_hz=bandwidth_hz)
    step = _modulated(modulator, np.ones(20)).real / (math.pi / 2e4)
    time_s = (np.arange(20) + 1) / RATE_HZ
    assert np.allclose(step, 1 - np.exp(-2 * np.pi * bandwidth_hz * time_s), atol=1e-5)


def test_iq_modulator_adds_arms_in_quadrature() -> None:
    child = MachZehnderSettings(extinction_db=100.0, insertion_loss_db=0.0, bandwidth_hz=1e12)
    settings = IqModulatorSettings(
        child=child, amplitude_imbalance=0.1, quadrature_error_rad=0.2, outer_half_wave_v=4.0
    )
    modulator = IqModulator(settings, rng=rng())
    for arm in (modulator.in_phase, modulator.quadrature):
        arm.bias_v = arm.null_v()
    modulator.outer_bias_v = 0.4
    modulator.begin(window())
    volts = np.linspace(-3, 3, 50, dtype=np.float32)
    field = modulator.block(steady(1.0, 50), volts, volts[::-1].copy()).field
    amplitude = np.sin(np.pi / 2 * volts / 3.5)
    turned = 1j * np.exp(1j * (0.2 + np.pi * 0.1))
    expected = (1.1 * amplitude + turned * 0.9 * amplitude[::-1]) / 2
    assert np.allclose(field, expected, atol=2e-5)


def test_iq_modulator_skew_delays_quadrature() -> None:
    child = MachZehnderSettings(
        extinction_db=100.0, insertion_loss_db=0.0, bandwidth_hz=1e12, half_wave_v=1e3
    )
    settings = IqModulatorSettings(
        child=child, amplitude_imbalance=0.0, quadrature_error_rad=0.0, skew_s=2.25 / RATE_HZ
    )
    modulator = IqModulator(settings, rng=rng())
    for arm in (modulator.in_phase, modulator.quadrature):
        arm.bias_v = arm.null_v()
    modulator.begin(window())
    ramp = np.arange(40, dtype=np.float32)
    parts = [
        modulator.block(steady(1.0, part.size), part, part).field for part in np.split(ramp, [5, 6])
    ]
    skew = np.concatenate(parts)
    late = (skew.real - skew.imag)[10:] * 2 / (math.pi / 2e3)
    assert np.allclose(late, 2.25, atol=0.02)


def test_coupler_is_unitary() -> None:
    through, tapped = Coupler(0.3).block(steady(2.0, 4))
    power = photon_flux(through.field) + photon_flux(tapped.field)
    assert np.allclose(power, 4.0)
    assert np.allclose(photon_flux(tapped.field), 1.2)
    # Columns of a unitary matrix are orthogonal: the cross term of the two outputs is imaginary.
    assert np.allclose((through.field * tapped.field.conj()).real, 0.0)


def test_frequency_shifter_turns_by_its_shift_across_blocks() -> None:
    shifter = FrequencyShifter(FrequencyShifterSettings(shift_hz=-123e6, loss_db=3.0))
    shifter.begin(window(start_s=-1.003e-6))
    light = [shifter.block(steady(1.0, n)) for n in (100, 3, 200)]
    time_s = np.arange(303) / RATE_HZ - 1.003e-6
    expected = 10 ** (-3 / 20) * np.exp(-2j * np.pi * 123e6 * time_s)
    assert np.allclose(np.concatenate([part.field for part in light]), expected, atol=1e-5)
    assert light[0].carrier_hz == -123e6
    vertical = Light(field=np.ones(2, dtype=np.complex64), jones=np.array([0, 1], np.complex128))
    assert np.array_equal(shifter.block(vertical).jones, [0, 1])


def _tone(frequency_hz: float, samples: int, delay_s: float = 0.0) -> NDArray[np.complex128]:
    turns = frequency_hz * (np.arange(samples) / RATE_HZ - delay_s)
    return np.asarray(np.exp(2j * np.pi * turns))


@pytest.mark.parametrize("length_m", [100.0, 333.3, 1000.0], ids=str)
@pytest.mark.parametrize("frequency_hz", [-200e6, 0.0, 180e6], ids=["minus", "zero", "plus"])
def test_fibre_delays_by_group_index(length_m: float, frequency_hz: float) -> None:
    settings = FibreSettings(
        length_m=length_m, dispersion_ps_per_nm_km=0.0, polarisation_scrambled=False, **STILL
    )
    fibre = Fibre(settings, rng=rng())
    fibre.begin(window())
    sent = Light(field=_tone(frequency_hz, 9000).astype(np.complex64))
    received = fibre.block(sent).field
    delay_s = length_m * 1.468 / SPEED_OF_LIGHT_M_PER_S
    expected = _tone(frequency_hz, 9000, delay_s)
    begun = math.ceil(delay_s * RATE_HZ) + 20
    assert np.abs(received[begun:] - expected[begun:]).max() < 5e-3
    assert np.abs(received[: begun - 40]).max() < 1e-6


def test_fibre_gives_same_light_when_blocks_change_size() -> None:
    settings = FibreSettings(length_m=77.7, **STILL)
    sent = rng().standard_normal(4000, dtype=np.float32).view(np.complex64)
    pieces = []
    for sizes in ([2000], [1, 499, 1000, 500]):
        fibre = Fibre(settings, rng=rng())
        fibre.begin(window())
        parts = np.split(sent, np.cumsum(sizes)[:-1])
        pieces.append(np.concatenate([fibre.block(Light(field=part)).field for part in parts]))
    assert np.allclose(pieces[0], pieces[1], atol=1e-6)


def test_fibre_loss_adds_length_and_connectors() -> None:
    settings = FibreSettings(length_m=10e3, loss_db_per_km=0.2, connector_loss_db=0.7)
    assert Fibre(settings, rng=rng()).transmission() == pytest.approx(10**-0.27)


def test_fibre_dispersion_turns_phase_with_square_of_frequency() -> None:
    length_m = 80e3
    settings = FibreSettings(length_m=length_m, dispersion_ps_per_nm_km=340.0, **STILL)
    delay_s = settings.delay_s
    curvature = -340e-6 * REFERENCE_WAVELENGTH_M**2 / (2 * math.pi * SPEED_OF_LIGHT_M_PER_S)
    samples = math.ceil(delay_s * RATE_HZ) + 400
    phases = []
    for frequency_hz in (0.0, 250e6):
        fibre = Fibre(settings, rng=rng())
        fibre.begin(window())
        received = fibre.block(Light(field=_tone(frequency_hz, samples).astype(np.complex64)))
        rest = received.field * _tone(frequency_hz, samples, delay_s).conj()
        phases.append(float(np.angle(rest[-100:].mean())))
    expected = -curvature * length_m / 2 * (2 * np.pi * 250e6) ** 2
    assert phases[1] - phases[0] == pytest.approx(expected, abs=1e-3)
    assert abs(expected) > 0.04


def test_fibre_thermal_phase_walks_with_square_root_of_time() -> None:
    changes = STILL | {"thermal_phase_rad_per_sqrt_s": 0.5}
    settings = FibreSettings(length_m=0.0, polarisation_scrambled=False, **changes)
    fibre = Fibre(settings, rng=rng())
    steps = []
    for _ in range(3000):
        fibre.begin(window())
        fibre.age(0.01)
        field = fibre.block(steady(1.0, 5)).field
        steps.append(float(np.angle(field[-1] * np.conj(field[0]))))
    assert_variance(np.array(steps), 0.25 * 0.01)


def test_polarisation_walk_moves_each_angle_by_its_rate() -> None:
    turned = []
    for seed in range(3000):
        walk = PolarisationWalk(0.01, rng(seed))
        walk.age(4.0)
        turned.append(float(walk.matrix[1, 0].imag))
    # A rotation by a small angle a about the second axis puts i a/2 into the corner.
    assert_variance(np.array(turned), (0.01 * 2 / 2) ** 2)


def test_scrambled_polarisations_cover_sphere_evenly() -> None:
    powers = [
        float(abs(PolarisationWalk(0.0, rng(seed), scrambled=True).matrix[0, 0]) ** 2)
        for seed in range(3000)
    ]
    # Uniform on the sphere: the power in one of two polarisations is uniform in [0, 1].
    assert_mean(np.array(powers), 0.5)
    assert_mean(np.square(powers), 1 / 3)


def test_quarter_wave_plate_makes_circular_light() -> None:
    circular = retarder(math.pi / 2, math.pi / 4) @ horizontal()
    assert abs(
        overlap(np.array([1, -1j], dtype=np.complex128) / math.sqrt(2), circular)
    ) == pytest.approx(1.0)


def test_backscatter_of_short_fibre_is_capture_times_scattering_times_length() -> None:
    settings = FibreSettings(length_m=1.0, rayleigh_loss_db_per_km=0.17, capture=1.5e-3)
    assert backscatter_fraction(settings) == pytest.approx(1.5e-3 * 0.17e-3 / 4.3429, rel=1e-4)


def test_backscatter_of_endless_fibre_is_half_of_capture_when_all_loss_scatters() -> None:
    settings = FibreSettings(
        length_m=400e3, loss_db_per_km=0.2, rayleigh_loss_db_per_km=0.2, capture=2e-3
    )
    assert 10 * math.log10(backscatter_fraction(settings)) == pytest.approx(-30.0, abs=1e-3)


def test_backscatter_field_has_its_power_and_forgets_after_round_trip() -> None:
    settings = FibreSettings(length_m=20.0, rayleigh_loss_db_per_km=10.0)
    scatter = RayleighBackscatter(settings, rng=rng())
    scatter.begin(window())
    field = scatter.block(steady(1e6, 400_000)).field[5000:]
    flux = photon_flux(field).astype(np.float64)
    assert_mean(flux, 1e12 * backscatter_fraction(settings))
    assert_variance(field.real / np.sqrt(flux.mean() / 2), 1.0)
    after = photon_flux(scatter.block(steady(0.0, 4000)).field)
    assert after[:20].mean() > 0.01 * flux.mean()
    assert after[-20:].mean() < 1e-3 * flux.mean()


def test_circulator_leak_adds_sent_field() -> None:
    settings = FibreSettings(length_m=20.0, rayleigh_loss_db_per_km=0.0)
    scatter = RayleighBackscatter(settings, rng=rng(), crosstalk_db=40.0)
    scatter.begin(window())
    assert np.allclose(scatter.block(steady(1e6, 10)).field, 1e4)
