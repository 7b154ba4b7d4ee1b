"""Saturation, damage and seed latches of the scene's detectors and amplifier."""

import dataclasses
import math

import numpy as np
import pytest

from drivers.errors import ConfigurationError
from sim_backend.scene.amplifier import OpticalAmplifierModel, OpticalAmplifierSettings
from sim_backend.scene.detectors import (
    BalancedDetector,
    BalancedDetectorSettings,
    PowerHead,
    PowerHeadSettings,
)
from sim_backend.scene.light import PHOTON_ENERGY_J, dark
from sim_backend.scene.mesh import Mesh, MeshSettings
from sim_backend.scene.mesh_algebra import phases_for_unitary, unitary_with_row
from sim_backend.scene.modulators import MachZehnderSettings
from tests.unit.sim_backend.scene.scene_helpers import rng, steady, window

SETTINGS = BalancedDetectorSettings(
    electronic_noise_v_per_sqrt_hz=0.0,
    saturation_current_a=100e-6,
    saturation="hard",
    bandwidth_hz=1e12,
    damage_power_w=20e-3,
)


def _detector(**changes: object) -> BalancedDetector:
    settings = dataclasses.replace(SETTINGS, **changes)  # type: ignore[arg-type]
    detector = BalancedDetector(settings, rng=rng())
    detector.begin(window())
    return detector


def _field(power_w: float) -> float:
    return math.sqrt(power_w / PHOTON_ENERGY_J)


@pytest.mark.parametrize("sign", [1, -1], ids=["positive", "negative"])
def test_hard_saturation_stops_at_current_times_gain(sign: int) -> None:
    volts = _detector().block((steady(sign * _field(1e-3), 100),), steady(_field(1e-3), 100))
    assert volts == pytest.approx(sign * 1.0)


def test_soft_saturation_follows_tanh() -> None:
    signal, oscillator = steady(_field(3e-6), 2000), steady(_field(1e-3), 2000)
    linear = _detector(saturation_current_a=1.0).block((signal,), oscillator).mean()
    soft = _detector(saturation="soft").block((signal,), oscillator).mean()
    assert 0.3 < linear < 1.5
    assert soft == pytest.approx(math.tanh(linear), rel=1e-2)


def test_detector_is_damaged_for_good_when_light_is_too_bright() -> None:
    detector = _detector()
    detector.block((dark(10),), steady(_field(19e-3), 10))
    states = [detector.damaged]
    detector.block((steady(_field(3e-3), 10),), steady(_field(18e-3), 10))
    states.append(detector.damaged)
    detector.begin(window())
    volts = detector.block((steady(_field(1e-6), 1000),), steady(_field(1e-3), 1000))
    states.append(detector.damaged)
    assert states == [False, True, True]
    # Dark current alone: sqrt(2 q I B) times the gain.
    assert float(np.abs(volts).max()) < 1e-4


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("efficiency", 0.0),
        ("efficiency", 1.1),
        ("mode_match", math.nan),
        ("response", "box"),
        ("saturation", "medium"),
        ("damage_power_w", -1.0),
    ],
)
def test_detector_settings_refuse_values_by_name(name: str, value: object) -> None:
    with pytest.raises(ConfigurationError, match=name):
        BalancedDetectorSettings(**{name: value})  # type: ignore[arg-type]


def test_power_head_zeroes_its_offset() -> None:
    head = PowerHead(
        PowerHeadSettings(noise_w_per_sqrt_hz=0.0, offset_w=1e-9, relative_error=0.0), rng=rng()
    )
    assert head.read_w(0.0, 1.0) == pytest.approx(1e-9)
    head.zero(0.0, 1.0)
    assert head.read_w(5e-9, 1.0) == pytest.approx(5e-9)
    with pytest.raises(ConfigurationError, match="averaging"):
        head.read_w(0.0, 0.0)


def _amplifier() -> OpticalAmplifierModel:
    settings = OpticalAmplifierSettings(
        highest_gain_db=20.0, seed_power_w=1e-6, saturation_power_w=1e-3, unpumped_loss_db=10.0
    )
    amplifier = OpticalAmplifierModel(settings, rng=rng())
    amplifier.begin(window())
    return amplifier


def test_amplifier_absorbs_when_not_pumped() -> None:
    assert _amplifier().block(steady(1e6, 4)).field == pytest.approx(1e6 * 10**-0.5)


def test_amplifier_remembers_pump_without_seed() -> None:
    amplifier = _amplifier()
    amplifier.pump = True
    amplifier.block(dark(8), seed_power_w=2e-6)
    assert not amplifier.unseeded
    amplifier.block(dark(8))
    assert amplifier.unseeded


def test_amplifier_gain_is_held_at_saturation_power() -> None:
    amplifier = _amplifier()
    amplifier.pump = True
    amplifier.set_gain_db(20.0)
    assert amplifier.gain_db() == 20.0
    assert amplifier.gain(1e-6) == pytest.approx(100.0)
    assert amplifier.gain(1e-4) == pytest.approx(10.0)


@pytest.mark.parametrize("gain_db", [-1.0, 20.5, math.nan], ids=str)
def test_amplifier_refuses_gain_when_out_of_range(gain_db: float) -> None:
    with pytest.raises(ConfigurationError, match="gain"):
        _amplifier().set_gain_db(gain_db)


def test_mesh_refuses_voltages_of_wrong_shape_or_nan() -> None:
    mesh = Mesh(MeshSettings(ports=3), rng=rng())
    assert mesh.channels == 9
    for voltages in (np.zeros(8), np.full(9, math.nan)):
        with pytest.raises(ConfigurationError, match="9 finite voltages"):
            mesh.set_voltages(voltages)
    assert not mesh.voltages().any()


def test_decomposition_refuses_matrix_that_is_not_unitary() -> None:
    with pytest.raises(ConfigurationError, match="not unitary"):
        phases_for_unitary(np.ones((3, 3), dtype=np.complex128))


def test_unitary_with_row_refuses_zero() -> None:
    with pytest.raises(ConfigurationError, match="no direction"):
        unitary_with_row(np.zeros(3))


@pytest.mark.parametrize("name", ["half_wave_v", "bandwidth_hz", "bias_half_wave_v"])
def test_modulator_settings_refuse_zero_by_name(name: str) -> None:
    with pytest.raises(ConfigurationError, match=name):
        MachZehnderSettings(**{name: 0.0})
