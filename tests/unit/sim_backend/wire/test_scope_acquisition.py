"""The acquisition system that all twins of scopes share."""

import numpy as np
import pytest

from drivers.instruments import Trigger
from sim_backend.wire.dialects.scope import Acquisition, Frame, Knobs
from sim_backend.wire.scpi_session import Call, Complaint
from tests.wire.ramp_scene import RampScene

SLOPE = 1e6


def frame(samples: int = 100, rate_hz: float = 1e8, begin_s: float = 0.0) -> Frame:
    return Frame(rate_hz=rate_hz, samples=samples, begin_s=begin_s, spans_v={1: 1.0, 2: 2.0})


def acquisition(scene: RampScene) -> Acquisition:
    return Acquisition(scene.clock, {1: scene.part("detector")}, frozenset((4,)))


def test_acquisition_records_the_scene_and_noise_when_the_edge_comes() -> None:
    scene = RampScene(detector=SLOPE)
    scope = acquisition(scene)
    scope.start(frame(begin_s=-0.5e-6), source=4, auto=False)
    assert scope.is_running()
    assert scope.frame is None
    scene.fire()
    assert not scope.is_running()
    assert scope.triggered
    volts = scope.volts(1)
    assert volts is not None
    np.testing.assert_allclose(volts, SLOPE * (np.arange(100) * 1e-8 - 0.5e-6), atol=1e-6)
    noise = scope.volts(2)
    assert noise is not None
    # Below a code of 4 V / 256; six standard deviations of 0.4 codes are never reached by 100.
    assert 0 < np.abs(noise).max() < 6 * 0.4 * 4 / 256
    assert scope.volts(2) is noise
    assert scope.volts(3) is None


def test_acquisition_sees_the_edge_but_records_noise_when_the_record_is_too_long() -> None:
    scene = RampScene(detector=SLOPE)
    scope = acquisition(scene)
    scope.start(frame(rate_hz=1e3), source=4, auto=False)
    assert scope.is_running()
    scene.fire()
    assert not scope.is_running()
    volts = scope.volts(1)
    assert volts is not None
    assert np.abs(volts).max() < 0.1


@pytest.mark.parametrize("source", [None, 1, 3])
def test_acquisition_waits_when_the_edge_comes_elsewhere(source: int | None) -> None:
    scene = RampScene(detector=SLOPE)
    scope = acquisition(scene)
    scope.start(frame(), source=source, auto=False)
    scene.fire()
    scene.clock.sleep(10)
    assert scope.is_running()
    assert scene.part("detector").unit.armed is None


def test_acquisition_keeps_its_last_record_when_stopped() -> None:
    scene = RampScene(detector=SLOPE)
    scope = acquisition(scene)
    scope.start(frame(), source=None, auto=False)
    scope.force()
    scope.force()
    first = scope.volts(1)
    scope.start(frame(samples=7), source=4, auto=False)
    assert scene.part("detector").unit.armed is Trigger.EXTERNAL
    scope.stop()
    assert not scope.is_running()
    assert scene.part("detector").unit.armed is None
    assert scope.volts(1) is first


def test_acquisition_is_busy_for_the_record_when_no_part_takes_time() -> None:
    scene = RampScene()
    scope = Acquisition(scene.clock, {}, frozenset((4,)))
    scope.start(frame(samples=1000, rate_hz=1e3), source=None, auto=True)
    scene.clock.sleep(0.06)
    assert scope.is_running()
    scene.clock.sleep(0.9)
    assert scope.is_running()
    scene.clock.sleep(0.2)
    assert not scope.is_running()


def test_knobs_refuse_and_forget_when_told() -> None:
    knobs = Knobs()
    table = knobs.number(":CHANnel#:RANGe", 1.0, (0.1, 2.0), units={"V": 1.0})
    table[":CHANnel#:RANGe"](Call(suffixes=(2,), arguments=("1.5V",)))
    with pytest.raises(Complaint, match="-222"):
        table[":CHANnel#:RANGe"](Call(suffixes=(2,), arguments=("2.5",)))
    assert table[":CHANnel#:RANGe?"](Call(suffixes=(2,))) == "+1.50E+00"
    assert table[":CHANnel#:RANGe?"](Call(suffixes=(1,))) == "+1.00E+00"
    knobs.reset()
    assert table[":CHANnel#:RANGe?"](Call(suffixes=(2,))) == "+1.00E+00"
