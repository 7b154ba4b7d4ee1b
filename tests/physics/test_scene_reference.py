"""The wired reference bench: what a receiver gets must be what the theory of the bench says.

Chance of failure: fewer than 40 z-tests at |z| < 7.8, below 1e-12 in all.
"""

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from sim_backend.scene import truth
from sim_backend.scene.converters import AdcSettings, DacSettings, Drive, Recording
from sim_backend.scene.fibre import FibreSettings, backscatter_fraction
from sim_backend.scene.light import ELEMENTARY_CHARGE_C, PHOTON_ENERGY_J
from sim_backend.scene.reference import ReferenceScene
from sim_backend.scene.reference_settings import ReferenceSettings, wavelength_at_offset_m
from tests.unit.sim_backend.scene.scene_helpers import (
    RATE_HZ,
    SAMPLES_PER_SLOT,
    Z_LIMIT,
    assert_mean,
    assert_variance,
    calm_settings,
    drive_for,
    pulse,
    ready_scene,
)

SLOTS = 20_000
SAMPLES = SLOTS * SAMPLES_PER_SLOT
PARTIES: tuple[truth.Party, ...] = ("client", "server")


def _drive(volts: NDArray[np.float32], **changes: float) -> Drive:
    return Drive(volts=volts, rate_hz=RATE_HZ, **changes)


def _recording(samples: int = SAMPLES, **changes: float) -> Recording:
    return Recording(rate_hz=RATE_HZ, samples=samples, **({"range_v": 0.5} | changes))


def _constant(volts: float, samples: int = SAMPLES) -> Drive:
    return _drive(np.full(samples, volts, dtype=np.float32), idle_v=volts)


def _quadratures(
    scene: ReferenceScene, party: truth.Party, volts: NDArray[np.float32]
) -> NDArray[np.complex128]:
    """Matched filter at two cycles per slot, in shot-noise units of each quadrature."""
    power_w = scene.idle_power_w("server_oscillator")
    if party == "client":
        peak = 10 ** (-scene.settings.data_modulator.insertion_loss_db / 10)
        power_w = scene.server_laser.power_w() * scene.settings.client_oscillator_share
        power_w *= 10 ** (-scene.settings.client_shifter.loss_db / 10) * peak
    unit = truth.shot_variance_v2(scene, party, oscillator_power_w=power_w, rate_hz=RATE_HZ)
    weights = pulse() * np.exp(-0.5j * np.pi * np.arange(SAMPLES_PER_SLOT))
    sums = volts.astype(np.float64).reshape(-1, SAMPLES_PER_SLOT) @ weights
    return np.asarray(sums / math.sqrt(unit * np.square(pulse()).sum() / 2))


@pytest.mark.parametrize("scrambled", [False, True], ids=["aligned", "scrambled"])
@pytest.mark.parametrize("party", PARTIES)
def test_heterodyne_quadratures_have_mean_and_noise_of_theory(
    party: truth.Party, scrambled: bool
) -> None:
    fibre = dataclasses.replace(calm_settings().forward_fibre, polarisation_scrambled=scrambled)
    settings = calm_settings(forward_fibre=fibre, return_fibre=fibre, monitor_tap=0.3)
    scene = ready_scene(settings, seed=2, attenuation_db=62.0)
    assert (truth.visibility(scene, party) < 0.95) is scrambled
    amplitudes = np.where(np.arange(SLOTS) % 3 == 0, -0.8, 0.5).astype(np.float32)
    drives = {"weight": _drive(drive_for(amplitudes)), "data": _constant(3.5)}
    record = scene.play(drives, {party: _recording()})[party]
    found = _quadratures(scene, party, record.volts)
    photons = truth.photons_per_slot(
        scene, drive_for(amplitudes), rate_hz=RATE_HZ, samples_per_slot=SAMPLES_PER_SLOT
    )
    efficiency = truth.detection_efficiency(scene, party) * truth.transmittance(scene, party)
    expected = math.sqrt(efficiency / 2) * 2 * np.sqrt(photons) * np.sign(amplitudes)
    turn = np.vdot(expected, found)
    turned = found * np.conj(turn) / abs(turn)
    # The projection on the known means has unit slope; its error is 1/|expected|.
    slope = float(np.vdot(expected, turned).real / np.vdot(expected, expected).real)
    assert abs(slope - 1) < Z_LIMIT / np.linalg.norm(expected) + 1e-4
    # The signal's own shot noise, a millionth of the oscillator's, is inside the margin.
    power_w = {"client": 2.4e-3, "server": 2e-3}[party]
    floor = truth.electronic_variance_v2(scene, party, rate_hz=RATE_HZ)
    shot = truth.shot_variance_v2(scene, party, oscillator_power_w=power_w, rate_hz=RATE_HZ)
    rest = turned - slope * expected
    assert 1.0 < 1 + floor / shot < 1.05
    assert_variance(rest.imag, _noise(scene, party, floor))
    assert_variance(rest.real, _noise(scene, party, floor))


def _noise(scene: ReferenceScene, party: truth.Party, floor: float) -> float:
    share = 0.6 if party == "client" else 0.2
    power_w = scene.server_laser.power_w() * share * 10**-0.3
    if party == "client":
        power_w *= 10**-0.4
    return 1 + floor / truth.shot_variance_v2(
        scene, party, oscillator_power_w=power_w, rate_hz=RATE_HZ
    )


@pytest.mark.parametrize("level", [1.0, 0.5, 0.1], ids=str)
def test_vacuum_noise_follows_oscillator_level_squared(level: float) -> None:
    scene = ready_scene(calm_settings())
    scene.client_switch.select("blocked")
    volts = 2 * 3.5 / math.pi * math.asin(level)
    record = scene.play({"data": _constant(volts)}, {"client": _recording()})["client"]
    scene.idle_v["data"] = volts
    power_w = scene.idle_power_w("client_oscillator")
    full_w = scene.server_laser.power_w() * 0.6 * 10**-0.3 * 10**-0.4
    assert power_w == pytest.approx(full_w * level**2, rel=1e-3)
    shot = truth.shot_variance_v2(scene, "client", oscillator_power_w=power_w, rate_hz=RATE_HZ)
    floor = truth.electronic_variance_v2(scene, "client", rate_hz=RATE_HZ)
    # Laser intensity noise that the common-mode rejection of 50 dB lets through.
    gain = scene.client_detector.settings.transimpedance_v_per_a * ELEMENTARY_CHARGE_C
    rate = 0.85 * power_w / PHOTON_ENERGY_J
    rest = (gain * rate * 10**-2.5) ** 2 * 1e-15 * RATE_HZ / 2
    assert_variance(record.volts, shot + floor + rest)


def test_signal_arrives_after_time_of_flight() -> None:
    fibre = FibreSettings(
        length_m=500.0, thermal_phase_rad_per_sqrt_s=0.0, polarisation_scrambled=False
    )
    scene = ready_scene(calm_settings(forward_fibre=fibre, return_fibre=fibre), attenuation_db=15.0)
    bright = np.zeros(40, dtype=np.float32)
    bright[:20] = 1.0
    delay_s = 1e-6
    drives = {"weight": _drive(drive_for(bright), delay_s=delay_s), "data": _constant(3.5)}
    recordings: dict[str, Recording] = {
        party: _recording(16_000, range_v=20.0) for party in PARTIES
    }
    records = scene.play(drives, recordings)
    for party in PARTIES:
        start = (delay_s + truth.signal_delay_s(scene, party)) * RATE_HZ
        power = np.square(records[party].volts.astype(np.float64) - records[party].volts.mean())
        power[power < 0.05 * power.max()] = 0.0
        centre = float((power * np.arange(power.size)).sum() / power.sum())
        assert centre == pytest.approx(start + 20 * SAMPLES_PER_SLOT / 2, abs=1.5)


def test_own_lasers_beat_at_difference_of_their_wavelengths() -> None:
    settings = calm_settings(oscillators="own")
    lasers = {
        "client_oscillator_laser": -200e6,
        "server_oscillator_laser": -180e6,
    }
    changes: dict[str, Any] = {
        name: dataclasses.replace(
            settings.server_laser,
            power_w=4e-3,
            linewidth_hz=0.0,
            wavelength_m=wavelength_at_offset_m(offset_hz),
        )
        for name, offset_hz in lasers.items()
    }
    quiet = dataclasses.replace(settings.server_laser, linewidth_hz=0.0)
    scene = ready_scene(
        dataclasses.replace(settings, server_laser=quiet, **changes), attenuation_db=40.0
    )
    drives = {"weight": _constant(3.5), "data": _constant(3.5)}
    records = scene.play(drives, {party: _recording() for party in PARTIES})
    for party in PARTIES:
        volts = records[party].volts.astype(np.float64)
        spectrum = np.abs(np.fft.rfft((volts - volts.mean()) * np.hanning(volts.size)))
        found_hz = float(np.argmax(spectrum)) * RATE_HZ / volts.size
        resolution_hz = RATE_HZ / volts.size
        assert truth.beat_frequency_hz(scene, party) == pytest.approx(found_hz, abs=resolution_hz)
        expected_hz = -lasers[f"{party}_oscillator_laser"]
        assert found_hz == pytest.approx(expected_hz, abs=resolution_hz)


def test_power_points_follow_losses() -> None:
    scene = ready_scene(calm_settings(), attenuation_db=20.0)
    scene.idle_v["weight"] = 3.5
    modulated_w = 20e-3 * 0.2 * 10**-0.4
    assert scene.idle_power_w("launch_monitor") == pytest.approx(0.01 * modulated_w, rel=1e-4)
    launch_w = 0.99 * modulated_w * 10**-2.1
    assert scene.idle_power_w("launch") == pytest.approx(launch_w, rel=1e-4)
    # Connectors 0.5 dB, polarisation controller 0.3 dB, switch 0.5 dB.
    assert scene.idle_power_w("client_input") == pytest.approx(launch_w * 10**-0.13, rel=1e-4)
    assert scene.idle_power_w("client_signal") == pytest.approx(
        launch_w * truth.transmittance(scene, "client"), rel=1e-4
    )
    assert scene.idle_power_w("server_signal") == pytest.approx(
        launch_w * 0.9 * 10**-0.26, rel=1e-4
    )


def test_record_does_not_depend_on_block_size() -> None:
    """Everything but the order of random draws: noise is switched off as far as it goes."""
    records = []
    for block_samples in (1 << 15, 1000):
        settings = dataclasses.replace(
            _noiseless(calm_settings(oscillators="shared")), block_samples=block_samples
        )
        scene = ready_scene(settings, attenuation_db=20.0)
        amplitudes = np.linspace(-1, 1, 2000).astype(np.float32)
        drives = {"weight": _drive(drive_for(amplitudes), delay_s=1e-7), "data": _constant(2.0)}
        recordings: dict[str, Recording] = {
            party: _recording(14_000, range_v=8.0, delay_s=2e-7) for party in PARTIES
        }
        records.append(scene.play(drives, recordings))
    for party in PARTIES:
        first, second = records[0][party].volts, records[1][party].volts
        spread = float(np.abs(first - first.mean()).max())
        assert np.abs(first - second).max() < 0.02 * spread


def _noiseless(settings: ReferenceSettings) -> ReferenceSettings:
    laser = dataclasses.replace(
        settings.server_laser, linewidth_hz=0.0, intensity_noise_db_per_hz=-250.0, power_w=9e-3
    )
    fibre = dataclasses.replace(settings.forward_fibre, length_m=123.4)
    clock: dict[str, Any] = {"bits": 20, "clock_offset_ppm": 17.0}
    return dataclasses.replace(
        settings,
        server_laser=laser,
        forward_fibre=fibre,
        return_fibre=fibre,
        weight_dac=DacSettings(**clock),
        client_adc=AdcSettings(effective_bits=None, **clock),
        server_adc=AdcSettings(effective_bits=None, **clock),
    )


def test_same_seed_and_calls_repeat_exactly() -> None:
    volts = []
    for _ in range(2):
        scene = ready_scene(seed=7)
        drives = {"weight": _constant(1.0, 4000), "data": _constant(2.0, 4000)}
        volts.append(scene.play(drives, {"client": _recording(4000)})["client"].volts)
    assert np.array_equal(volts[0], volts[1])
    scene = ready_scene(seed=8)
    other = scene.play(drives, {"client": _recording(4000)})["client"].volts
    assert not np.array_equal(volts[0], other)


def test_shared_fibre_brings_backscatter_to_server() -> None:
    fibre = FibreSettings(
        length_m=2000.0, thermal_phase_rad_per_sqrt_s=0.0, polarisation_scrambled=False
    )
    noise = []
    for shared in (False, True):
        settings = calm_settings(
            forward_fibre=fibre,
            return_fibre=fibre,
            shared_fibre=shared,
            circulator_isolation_db=300.0,
            oscillators="own",
        )
        weaker = dataclasses.replace(settings.server_laser, power_w=2e-3)
        settings = dataclasses.replace(settings, server_oscillator_laser=weaker)
        scene = ready_scene(settings, seed=3, attenuation_db=0.0)
        scene.client_switch.select("blocked")
        drives = {"weight": _constant(3.5)}
        record = scene.play(drives, {"server": _recording(range_v=4.0)})["server"]
        noise.append(float(np.var(record.volts, dtype=np.float64)))
    launch_w = 20e-3 * 10**-0.4 * 0.99 * 10**-0.1
    scattered_w = launch_w * backscatter_fraction(fibre) * 10**-0.08
    gain = 1e4 * ELEMENTARY_CHARGE_C * 0.85
    # A beat 2 g V Re(E_s E_o*) with a Gaussian E_s has variance 2 (g V)^2 |E_s|^2 |E_o|^2; the
    # polarisation of this specimen is random, so only the order is known: V^2 between 0 and 1.
    highest = 2 * (gain * 0.98) ** 2 * scattered_w * 2e-3 / PHOTON_ENERGY_J**2
    added = noise[1] - noise[0]
    assert 1e-3 * highest < added < 1.05 * highest


def test_light_is_already_there_at_trigger_when_fibre_is_long() -> None:
    fibre = FibreSettings(
        length_m=2000.0, thermal_phase_rad_per_sqrt_s=0.0, polarisation_scrambled=False
    )
    scene = ready_scene(calm_settings(forward_fibre=fibre, return_fibre=fibre), attenuation_db=30.0)
    drives = {"weight": _constant(3.5, 8000), "data": _constant(3.5, 8000)}
    recordings: dict[str, Recording] = {party: _recording(8000, range_v=5.0) for party in PARTIES}
    for record in scene.play(drives, recordings).values():
        assert float(record.volts[:100].std()) == pytest.approx(
            float(record.volts[-100:].std()), rel=0.2
        )


def test_fibres_and_lasers_drift_when_clock_moves() -> None:
    scene = ready_scene()
    before = [scene.forward_fibre.matrix(), scene.return_fibre.matrix()]
    beat_hz = truth.beat_frequency_hz(scene, "client")
    nulls_v = [scene.weight_modulator.null_v(), scene.data_modulator.null_v()]
    scene.clock.advance(100.0)
    assert not np.allclose(scene.forward_fibre.matrix(), before[0], atol=1e-5)
    assert not np.allclose(scene.return_fibre.matrix(), before[1], atol=1e-5)
    assert truth.beat_frequency_hz(scene, "client") != beat_hz
    assert scene.weight_modulator.null_v() != nulls_v[0]
    assert scene.data_modulator.null_v() != nulls_v[1]


def test_scene_moves_clock_by_length_of_shot() -> None:
    scene = ready_scene(calm_settings())
    before = scene.clock.now()
    scene.play({}, {"client": _recording(80_000)})
    assert scene.clock.now() - before == pytest.approx(100e-6, rel=0.01)


def test_idle_record_is_centred_on_common_mode() -> None:
    scene = ready_scene(calm_settings())
    scene.client_switch.select("blocked")
    volts = scene.play({}, {"server": _recording()})["server"].volts
    flux = scene.idle_power_w("server_oscillator") / PHOTON_ENERGY_J
    assert_mean(volts, 1e4 * ELEMENTARY_CHARGE_C * 0.85 * 10**-2.5 * flux)


def test_beat_is_lost_when_server_laser_hops_out_of_band() -> None:
    quiet = calm_settings(oscillators="own")
    weaker = dataclasses.replace(quiet.client_oscillator_laser, power_w=4e-3)
    scene = ready_scene(
        dataclasses.replace(quiet, client_oscillator_laser=weaker), attenuation_db=40.0
    )
    drives = {"weight": _constant(3.5, 40_000), "data": _constant(3.5, 40_000)}
    before = scene.play(drives, {"client": _recording(40_000)})["client"].volts
    scene.server_laser.force_mode_hop()
    after = scene.play(drives, {"client": _recording(40_000)})["client"].volts
    shot = truth.shot_variance_v2(
        scene, "client", oscillator_power_w=4e-3 * 10**-0.4, rate_hz=RATE_HZ
    )
    floor = truth.electronic_variance_v2(scene, "client", rate_hz=RATE_HZ)
    assert float(np.var(before)) > 5 * (shot + floor)
    # 3 % for the intensity noise of the oscillator that the rejection of 50 dB lets through.
    assert float(np.var(after)) == pytest.approx(shot + floor, rel=0.06)
