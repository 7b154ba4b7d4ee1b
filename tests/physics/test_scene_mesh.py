"""Mesh of interferometers and the bench with an amplifier around it.

Chance of failure: fewer than 40 z-tests at |z| < 7.8, below 1e-12 in all.
"""

import dataclasses
import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import unitary_group

from sim_backend.scene.amplifier import OpticalAmplifierSettings
from sim_backend.scene.amplifier_bench import AmplifierBench, AmplifierBenchSettings
from sim_backend.scene.clock import SimulatedClock
from sim_backend.scene.converters import AdcSettings, DacSettings, Drive, Recording
from sim_backend.scene.light import ELEMENTARY_CHARGE_C, PHOTON_ENERGY_J
from sim_backend.scene.mesh import Mesh, MeshSettings
from sim_backend.scene.mesh_algebra import (
    compose,
    mesh_places,
    phases_for_unitary,
    unitary_with_row,
)
from sim_backend.scene.reference_settings import wavelength_at_offset_m
from tests.unit.sim_backend.scene.scene_helpers import (
    RATE_HZ,
    SAMPLES_PER_SLOT,
    Z_LIMIT,
    assert_variance,
    calm_settings,
    drive_for,
    pulse,
    rng,
)

PERFECT = MeshSettings(coupler_error_rad=0.0, phase_error_rad=0.0, insertion_loss_db=0.0)
GAIN = 2.0
ROW = np.array([0.5, -0.3, 0.2, 0.6, -0.1, 0.25, 0.35, 0.25])
ROW = ROW / np.linalg.norm(ROW)


@pytest.mark.parametrize("ports", [2, 3, 4, 7, 8], ids=str)
def test_decomposition_realises_random_unitary(ports: int) -> None:
    wanted = unitary_group.rvs(ports, random_state=ports)
    assert np.allclose(compose(ports, phases_for_unitary(wanted)), wanted, atol=1e-12)


@pytest.mark.parametrize("ports", [2, 5, 8], ids=str)
def test_decomposition_realises_identity(ports: int) -> None:
    found = compose(ports, phases_for_unitary(np.eye(ports, dtype=np.complex128)))
    assert np.allclose(found, np.eye(ports), atol=1e-12)


def test_mesh_realises_unitary_through_its_voltages() -> None:
    mesh = Mesh(PERFECT, rng=rng())
    wanted = unitary_group.rvs(8, random_state=1)
    mesh.set_voltages(mesh.voltages_for(phases_for_unitary(wanted)))
    assert np.allclose(mesh.transfer(), wanted, atol=1e-12)


def test_mesh_stays_unitary_with_errors() -> None:
    mesh = Mesh(MeshSettings(coupler_error_rad=0.1, phase_error_rad=1.0), rng=rng())
    mesh.set_voltages(rng(2).uniform(0, 5, mesh.channels))
    found = mesh.unitary()
    assert np.allclose(found.conj().T @ found, np.eye(8), atol=1e-12)
    assert np.allclose(mesh.transfer(), found * 10**-0.15)


def test_mesh_coupler_error_leaks_from_bar_to_cross() -> None:
    """Bar state leaks as sin^2 of twice the coupler's error (both couplers alike)."""
    error = 0.07
    phases = np.array([math.pi, 0.0, 0.0, 0.0])
    found = compose(2, phases, np.array([[error, error]]))
    assert abs(found[0, 1]) == pytest.approx(0.0, abs=1e-12)
    found = compose(2, np.zeros(4), np.array([[error, error]]))
    assert abs(found[0, 0]) ** 2 == pytest.approx(math.sin(2 * error) ** 2, rel=1e-9)


def test_phases_follow_squared_voltage_and_crosstalk() -> None:
    settings = dataclasses.replace(PERFECT, half_wave_v=2.0, crosstalk=0.1)
    mesh = Mesh(settings, rng=rng())
    voltages = np.zeros(mesh.channels)
    voltages[0] = 3.0
    mesh.set_voltages(voltages)
    phases = mesh.phases()
    heated = math.pi * 9 / 4
    # Places 0 and 1 are neighbours in the first column, place 4 starts the second.
    assert mesh_places(8)[:5] == ((0, 0), (0, 2), (0, 4), (0, 6), (1, 1))
    assert phases[:5] == pytest.approx([heated, 0.1 * heated, 0.0, 0.0, 0.0])


def test_unitary_with_row_collects_that_mode_in_port_zero() -> None:
    unitary = unitary_with_row(ROW)
    assert np.allclose(unitary @ unitary.conj().T, np.eye(8), atol=1e-12)
    assert np.allclose(unitary @ ROW, np.eye(8)[0], atol=1e-12)
    assert np.allclose(unitary_with_row(np.eye(4)[0]), np.eye(4))


def _bench() -> AmplifierBench:
    """A calm, lossless bench that measures ROW with the gain of this module."""
    calm = calm_settings()
    base = dataclasses.replace(
        calm.server_laser, linewidth_hz=0.0, intensity_noise_db_per_hz=-250.0
    )
    oscillator = dataclasses.replace(base, wavelength_m=wavelength_at_offset_m(-200e6))
    detector = dataclasses.replace(
        calm.client_detector, efficiency=1.0, mode_match=1.0, common_mode_rejection_db=200.0
    )
    settings = AmplifierBenchSettings(
        server_laser=base,
        client_oscillator_laser=dataclasses.replace(oscillator, power_w=2e-3),
        server_oscillator_laser=dataclasses.replace(oscillator, power_w=16e-3),
        seed_laser=base,
        weight_modulator=calm.weight_modulator,
        launch_attenuator=calm.launch_attenuator,
        patch=dataclasses.replace(calm.forward_fibre, connector_loss_db=0.0),
        mesh=PERFECT,
        amplifier=OpticalAmplifierSettings(),
        client_detector=detector,
        server_detector=detector,
        dac=DacSettings(bits=20),
        adc=AdcSettings(bits=20, effective_bits=None),
    )
    bench = AmplifierBench(settings, seed=11, clock=SimulatedClock())
    for laser in (
        bench.server_laser,
        bench.client_oscillator_laser,
        bench.server_oscillator_laser,
        bench.seed_laser,
    ):
        laser.set_emission(True)
    bench.launch_attenuator.shutter_open = True
    bench.launch_attenuator.set_attenuation_db(62.0)
    for modulator in bench.weight_modulators:
        modulator.bias_v = modulator.null_v()
    unitary = unitary_with_row(ROW)
    # The reflection is its own inverse; what the other ports do with their modes is free.
    unitary[1:] = unitary_group.rvs(7, random_state=3) @ unitary[1:]
    forward, back = bench.forward_mesh, bench.return_mesh
    forward.set_voltages(forward.voltages_for(phases_for_unitary(unitary)))
    back.set_voltages(back.voltages_for(phases_for_unitary(unitary.conj().T)))
    bench.amplifier.pump = True
    bench.amplifier.set_gain_db(10 * math.log10(GAIN))
    bench.tap.tap = 1 - 1 / GAIN
    return bench


def _quadratures(volts: NDArray[np.float32]) -> NDArray[np.complex128]:
    """Matched filter at 200 MHz in shot-noise units of a 2 mW oscillator."""
    gain = 1e4 * ELEMENTARY_CHARGE_C
    unit = gain**2 * 2e-3 / PHOTON_ENERGY_J * RATE_HZ
    weights = pulse() * np.exp(-0.5j * np.pi * np.arange(SAMPLES_PER_SLOT))
    sums = volts.astype(np.float64).reshape(-1, SAMPLES_PER_SLOT) @ weights
    return np.asarray(sums / math.sqrt(unit * np.square(pulse()).sum() / 2))


@pytest.fixture(scope="module")
def shot() -> tuple[NDArray[np.float64], dict[str, NDArray[np.complex128]]]:
    """Weights in quadrature means (ports, slots), and heterodyne quadratures by port."""
    bench = _bench()
    slots = 12_000
    amplitudes = rng(4).choice(np.linspace(-1, 1, 9), size=(8, slots)).astype(np.float32)
    drives = {
        f"weight{port}": Drive(volts=drive_for(amplitudes[port]), rate_hz=RATE_HZ)
        for port in range(8)
    }
    recordings = {
        port: Recording(rate_hz=RATE_HZ, samples=slots * SAMPLES_PER_SLOT, range_v=0.5)
        for port in bench.record_ports
    }
    records = bench.play(drives, recordings)
    assert not bench.amplifier.unseeded
    flux = 20e-3 / 8 * 10**-0.4 * 10**-6.3 / PHOTON_ENERGY_J
    photons = flux * np.square(pulse()).sum() / RATE_HZ
    means = 2 * math.sqrt(photons) * amplitudes.astype(np.float64)
    return means, {port: _quadratures(record.volts) for port, record in records.items()}


def _against(
    found: NDArray[np.complex128], expected: NDArray[np.float64]
) -> NDArray[np.complex128]:
    """Remove the unknown phase and the expected mean, whose slope must be one."""
    turn = np.vdot(expected, found)
    turned = found * np.conj(turn) / abs(turn)
    slope = float(np.vdot(expected, turned).real / (expected @ expected))
    # Quadrature noise is below 2 shot-noise units; 1e-3 for pulse and extinction.
    assert abs(slope - 1) < Z_LIMIT * math.sqrt(2) / float(np.linalg.norm(expected)) + 1e-3
    return np.asarray(turned - slope * expected)


def _floor() -> float:
    """Electronic noise in shot-noise units, from the data sheet."""
    unit = 2 * ELEMENTARY_CHARGE_C**2 * 2e-3 / PHOTON_ENERGY_J * 1e8
    return (2.5e-8**2 + 2 * ELEMENTARY_CHARGE_C * 5e-9 * 1e8) / unit


def test_client_measures_row_with_amplifier_statistics(
    shot: tuple[NDArray[np.float64], dict[str, NDArray[np.complex128]]],
) -> None:
    """Mean sqrt((G-1)/2) q.x and half of the excess (2G^2-3G+2)/G - 1, of a heterodyne receiver."""
    means, found = shot
    rest = _against(found["client"], math.sqrt((GAIN - 1) / 2) * (ROW @ means))
    excess = (2 * GAIN**2 - 3 * GAIN + 2) / GAIN - 1
    assert_variance(rest.real, 1 + excess / 2 + _floor())
    assert_variance(rest.imag, 1 + excess / 2 + _floor())


def test_light_returns_as_sent_with_noise_in_one_mode(
    shot: tuple[NDArray[np.float64], dict[str, NDArray[np.complex128]]],
) -> None:
    """Means unchanged; excess 2(1 - 1/G) in the mode of the row and none beside it."""
    means, found = shot
    rests = np.stack(
        [_against(found[f"server{port}"], means[port] / math.sqrt(2)) for port in range(8)]
    )
    excess = 2 * (1 - 1 / GAIN)
    assert_variance((ROW @ rests).real, 1 + excess / 2 + _floor())
    beside = unitary_with_row(ROW).real[3]
    assert_variance((beside @ rests).real, 1 + _floor())
