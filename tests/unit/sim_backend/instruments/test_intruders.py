"""What an intruder does to a field, against the analytic value."""

import math

import numpy as np
import pytest

from sim_backend.instruments import Fault, FaultKind
from sim_backend.instruments.intruders import Intruder
from sim_backend.scene.light import PHOTON_ENERGY_J, Light, Window

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
