"""What an intruder does to a field, against the analytic value."""

import copy
import math

import numpy as np
import pytest

from drivers.errors import ConfigurationError
from drivers.optics.burst import BurstFormat, BurstLayout, SlotKind
from sim_backend.instruments import Fault, FaultKind, KnownSlots
from sim_backend.instruments.faulty_parts import FailingDetector
from sim_backend.instruments.intruders import Intruder
from sim_backend.scene.light import PHOTON_ENERGY_J, Light, Window, dark
from sim_backend.scene.reference import ReferenceScene
from sim_backend.scene.reference_settings import ReferenceSettings

RATE_HZ = 4e8
SAMPLES = 1 << 18


def passed(field: np.ndarray, *faults: Fault, blocks: int = 2) -> np.ndarray:
    """The field behind an intruder, in several blocks."""
    active = {fault.kind: fault for fault in faults}
    intruder = Intruder(active.get, rng=np.random.default_rng(3))
    intruder.begin(Window(start_s=0.0, rate_hz=RATE_HZ, samples=field.size))
    parts = np.split(field, blocks)
    return np.concatenate([intruder.block(Light(field=part)).field for part in parts])


def fault(kind: FaultKind, size: float) -> Fault:
    return Fault(kind=kind, target="back", size=size)


def steady() -> np.ndarray:
    return np.full(SAMPLES, 2e4 + 1e4j, dtype=np.complex64)


def test_field_is_untouched_when_nobody_is_there() -> None:
    np.testing.assert_array_equal(passed(steady()), steady())


@pytest.mark.parametrize(
    ("given", "photons"),
    [
        (fault(FaultKind.LIGHT_REAMPLIFIED, 0.5), 1.0),
        (fault(FaultKind.LIGHT_REAMPLIFIED, 0.1), 1 / 9),
        (fault(FaultKind.LIGHT_RESENT, 2.0), 1.0),
        (fault(FaultKind.LIGHT_RESENT, 1.0), 0.5),
    ],
    ids=["half-tapped", "tenth-tapped", "heterodyned", "copied"],
)
def test_noise_has_its_photons_per_mode_and_the_mean_stays(given: Fault, photons: float) -> None:
    noise = passed(steady(), given) - steady()
    # A sample of rate R holds modes of R hertz: n photons in each are n R photons per second. The
    # mean of 2^18 exponential values has a relative error of 0.002; 6.5 of them are below 1e-9.
    assert np.mean(np.abs(noise) ** 2) / RATE_HZ == pytest.approx(photons, rel=6.5 * 0.002)
    deviation = math.sqrt(photons * RATE_HZ / SAMPLES)
    assert abs(np.mean(noise)) < 6.5 * deviation
    assert np.mean(noise.real * noise.imag) / (photons * RATE_HZ) == pytest.approx(0, abs=0.007)


def test_light_comes_late_over_the_blocks_when_it_is_held_back() -> None:
    field = (np.arange(1, SAMPLES + 1) + 0j).astype(np.complex64)
    late = passed(field, fault(FaultKind.LIGHT_DELAYED, 100 / RATE_HZ), blocks=4)
    np.testing.assert_array_equal(late[:100], 0)
    np.testing.assert_array_equal(late[100:], field[:-100])


def test_power_rises_by_its_decibels_when_light_is_brightened() -> None:
    brighter = passed(steady(), fault(FaultKind.LIGHT_BRIGHTENED, 3.0))
    np.testing.assert_allclose(np.abs(brighter / steady()) ** 2, 10**0.3, rtol=1e-5)


def test_added_light_has_its_power() -> None:
    dark = np.zeros(SAMPLES, dtype=np.complex64)
    added = passed(dark, fault(FaultKind.LIGHT_ADDED, 1e-6))
    np.testing.assert_allclose(np.abs(added) ** 2 * PHOTON_ENERGY_J, 1e-6, rtol=1e-5)


LAYOUT = BurstLayout(format=BurstFormat(least_vacuum_slots=64), data_symbols=300)
PER_SLOT = 4
START = 1000


def slots_of(field: np.ndarray, kind: SlotKind) -> np.ndarray:
    """Samples of all slots of a kind, (slots, samples)."""
    inside = field[START : START + PER_SLOT * LAYOUT.total_slots].reshape(-1, PER_SLOT)
    return inside[np.flatnonzero(LAYOUT.kinds == kind)]


def knowing(field: np.ndarray, given: Fault, *, blocks: int = 7) -> np.ndarray:
    """The field behind an intruder who knows the bursts, in several blocks."""
    intruder = Intruder({given.kind: given}.get, rng=np.random.default_rng(3))
    intruder.slots = KnownSlots(layout=LAYOUT, start_s=START / RATE_HZ)
    intruder.begin(Window(start_s=0.0, rate_hz=RATE_HZ, samples=field.size))
    parts = np.array_split(field, blocks)
    return np.concatenate([intruder.block(Light(field=part)).field for part in parts])


def numbered() -> np.ndarray:
    return (np.arange(1, START + PER_SLOT * LAYOUT.total_slots + 100) + 0j).astype(np.complex64)


def test_data_come_late_and_all_else_stays_when_somebody_shifts_them() -> None:
    field = numbered()
    late = knowing(field, fault(FaultKind.DATA_SHIFTED, 2.0))
    data, shifted = slots_of(field, SlotKind.DATA), slots_of(late, SlotKind.DATA)
    np.testing.assert_array_equal(shifted[2:], data[:-2])
    np.testing.assert_array_equal(shifted[:2], data[:2])
    for kind in set(SlotKind) - {SlotKind.DATA}:
        np.testing.assert_array_equal(slots_of(late, kind), slots_of(field, kind))
    np.testing.assert_array_equal(late[:START], field[:START])


def test_noise_is_in_the_vacuum_slots_alone_when_somebody_brightens_them() -> None:
    field = numbered()
    noise = knowing(field, fault(FaultKind.VACUUM_BRIGHTENED, 2.0)) - field
    for kind in set(SlotKind) - {SlotKind.VACUUM}:
        assert not slots_of(noise, kind).any()
    found = slots_of(noise, SlotKind.VACUUM)
    # One photon per mode for 2 SNU; 6.5 standard deviations of so many exponential values.
    assert np.mean(np.abs(found) ** 2) / RATE_HZ == pytest.approx(1.0, rel=6.5 / found.size**0.5)


def test_shots_without_a_whole_burst_are_let_through_and_strangers_are_refused() -> None:
    field = numbered()[: START + 100]
    np.testing.assert_array_equal(knowing(field, fault(FaultKind.DATA_SHIFTED, 1.0)), field)
    with pytest.raises(ConfigurationError, match="needs to know them"):
        passed(field, fault(FaultKind.VACUUM_BRIGHTENED, 0.1))


def test_a_blinded_detector_tells_less_of_everything() -> None:
    scene = ReferenceScene(ReferenceSettings(), seed=1)
    blinded = fault(FaultKind.DETECTOR_BLINDED, 0.25)
    window = Window(start_s=0.0, rate_hz=RATE_HZ, samples=4096)
    found = []
    for active in ({}, {blinded.kind: blinded}):
        detector = FailingDetector(copy.deepcopy(scene.server_detector), active.get)
        detector.begin(window)
        found.append(detector.block([dark(4096)], Light(field=steady()[:4096])))
    assert np.any(found[0] != 0)
    np.testing.assert_allclose(found[1], 0.75 * found[0], rtol=1e-5)
