"""Ports, points, settings and memory of the reference scene."""

import math
import tracemalloc

import numpy as np
import pytest

from drivers.errors import ConfigurationError
from sim_backend.scene.converters import Drive, Recording
from sim_backend.scene.reference import POWER_POINTS, ReferenceScene
from sim_backend.scene.reference_settings import ReferenceSettings
from tests.unit.sim_backend.scene.scene_helpers import RATE_HZ, calm_settings, ready_scene


def _drive(samples: int = 1000) -> Drive:
    return Drive(volts=np.zeros(samples, dtype=np.float32), rate_hz=RATE_HZ)


def _recording(samples: int = 1000, rate_hz: float = RATE_HZ) -> Recording:
    return Recording(rate_hz=rate_hz, samples=samples, range_v=0.5)


def test_scene_refuses_unknown_ports_and_points() -> None:
    scene = ready_scene()
    with pytest.raises(ConfigurationError, match="'signal'"):
        scene.play({"signal": _drive()}, {"client": _recording()})
    with pytest.raises(ConfigurationError, match="'receiver'"):
        scene.play({}, {"receiver": _recording()})
    with pytest.raises(ConfigurationError, match="'roof'"):
        scene.idle_power_w("roof")


def test_scene_is_dark_until_lasers_emit() -> None:
    scene = ReferenceScene(ReferenceSettings(), seed=1)
    assert [scene.idle_power_w(point) for point in POWER_POINTS] == [0.0] * len(POWER_POINTS)


def test_every_point_has_light_when_lasers_emit() -> None:
    scene = ready_scene()
    scene.idle_v.update(weight=1.0, data=1.0)
    assert all(scene.idle_power_w(point) > 0 for point in POWER_POINTS)


def test_play_without_records_only_takes_its_time() -> None:
    scene = ready_scene()
    before = scene.clock.now()
    assert scene.play({"weight": _drive(8000)}, {}) == {}
    assert scene.clock.now() - before == pytest.approx(1e-5, rel=1e-3)


def test_records_have_their_own_lengths_and_rates() -> None:
    scene = ready_scene()
    records = scene.play(
        {}, {"client": _recording(100, rate_hz=25e6), "server": _recording(333, rate_hz=200e6)}
    )
    assert records["client"].volts.shape == (100,)
    assert records["client"].rate_hz == 25e6
    assert records["server"].volts.shape == (333,)


def test_slow_record_sees_full_noise_of_receiver() -> None:
    """A digitiser does not average: variance at 25 MS/s is that at 800 MS/s (z < 7.8)."""
    scene = ready_scene(calm_settings())
    scene.client_switch.select("blocked")
    slow = scene.play({}, {"server": _recording(20_000, rate_hz=25e6)})["server"].volts
    fast = scene.play({}, {"server": _recording(20_000)})["server"].volts
    ratio = float(np.var(slow)) / float(np.var(fast))
    assert abs(ratio - 1) < 7.8 * math.sqrt(4 / 20_000)


def test_recording_one_party_does_not_change_noise_of_other() -> None:
    volts = []
    for ports in (("client",), ("client", "server")):
        scene = ready_scene(calm_settings(), seed=5)
        records = scene.play({}, {port: _recording(2000) for port in ports})
        volts.append(records["client"].volts)
    # The longer flight to the server starts the shot earlier, so only the statistics agree.
    assert volts[0].std() == pytest.approx(volts[1].std(), rel=0.1)
    assert volts[0].shape == volts[1].shape


def test_negative_delay_records_before_trigger() -> None:
    scene = ready_scene(calm_settings(), attenuation_db=20.0)
    scene.idle_v["data"] = 3.5
    bright = Drive(volts=np.full(4000, 3.5, dtype=np.float32), rate_hz=RATE_HZ)
    recording = Recording(rate_hz=RATE_HZ, samples=3000, range_v=5.0, delay_s=-1000 / RATE_HZ)
    volts = scene.play({"weight": bright}, {"client": recording})["client"].volts
    assert volts[:980].std() < 0.1 * volts[1020:].std()


def test_memory_of_play_is_bounded_by_records_and_blocks() -> None:
    scene = ready_scene()
    samples = 2_000_000
    drive = _drive(samples)
    tracemalloc.start()
    scene.play({"weight": drive, "data": drive}, {"client": _recording(samples)})
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    record_bytes = 4 * samples
    assert peak < record_bytes + 16e6


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("oscillators", "borrowed"),
        ("tap", 1.5),
        ("monitor_tap", math.nan),
        ("client_oscillator_share", -0.1),
        ("server_oscillator_share", 0.5),
        ("lowest_rate_hz", 0.0),
        ("block_samples", 10),
    ],
)
def test_reference_settings_refuse_values_by_name(name: str, value: object) -> None:
    with pytest.raises(ConfigurationError, match=name):
        ReferenceSettings(**{name: value})  # type: ignore[arg-type]
