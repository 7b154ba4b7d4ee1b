"""Plays of the Keysight 33600A driver on its twin: what the scene and the trigger line get."""

import numpy as np

from drivers.dialects.keysight_33600a import Keysight33600ASettings
from drivers.instruments import GeneratorLimits, Trigger
from drivers.modulators.keysight_33600a import MODELS, Keysight33600A
from sim_backend.instruments import SimulatedBench
from sim_backend.instruments.parts import DigitiserPart, GeneratorPart
from sim_backend.scene.clock import SimulatedClock
from sim_backend.wire.twins.keysight_33600a import Keysight33600ATwin
from tests.wire.keysight_33600a import LIMITS
from tests.wire.rigs import loopback_link

WAVE = np.array([0, 1, 0, -1], dtype=np.float32)


def test_scene_gets_the_volts_that_were_loaded_when_played_on_a_twin() -> None:
    bench = SimulatedBench()
    part = bench.part("server", "weight_generator")
    assert isinstance(part, GeneratorPart)
    twin = Keysight33600ATwin(model="33622A", clock=bench.clock, serial="SIM1", parts={1: part})
    generator = Keysight33600A(
        "generator", limits=LIMITS, link=loopback_link(twin, bench.clock), clock=bench.clock
    )
    volts = np.random.default_rng(5).uniform(-1, 1, 500).astype(np.float32)
    with generator:
        generator.set_sample_rate(800e6)
        generator.set_idle(0, -0.25)
        generator.load(0, volts)
        generator.set_output(0, True)
        assert part.unit.idle_v == [-0.25]
        generator.arm(Trigger.EXTERNAL, 2e-6)
        played = part.unit.waveforms[0]
        assert part.unit.waits()
        assert (part.unit.sample_rate_hz, part.unit.delay_s) == (800e6, 2e-6)
        np.testing.assert_allclose(played[1:-1], volts, atol=0.51 / 32767)
        np.testing.assert_allclose([played[0], played[-1], part.unit.idle_v[0]], -0.25, atol=2e-5)
        generator.stop()
        assert not part.unit.waits()
        assert part.unit.idle_v == [-0.25]
    assert part.unit.outputs == [False]


def test_two_roles_of_one_box_play_together_when_the_line_begins_at_its_sync_socket() -> None:
    bench = SimulatedBench()
    weights, data = bench.part("server", "weight_generator"), bench.part("client", "data_generator")
    tap = bench.part("client", "tap_digitiser")
    assert isinstance(weights, GeneratorPart)
    assert isinstance(data, GeneratorPart)
    assert isinstance(tap, DigitiserPart)
    parts = {1: weights, 2: data}
    twin = Keysight33600ATwin(
        model="33622A", clock=bench.clock, serial="SIM1", parts=parts, line="SYNC"
    )
    link = loopback_link(twin, bench.clock)
    settings = Keysight33600ASettings(trigger_output="SYNC")
    first, second = (
        Keysight33600A(
            name, limits=LIMITS, link=link, clock=bench.clock, channel=number, settings=settings
        )
        for number, name in enumerate(("weights", "data"), start=1)
    )
    with first, second:
        for one in (first, second):
            one.set_sample_rate(625e6)
            one.load(0, WAVE)
            one.set_output(0, True)
        second.arm(Trigger.EXTERNAL)
        first.arm(Trigger.SOFTWARE)
        tap.unit.armed = Trigger.EXTERNAL
        assert data.unit.waits()
        first.trigger()
        assert tap.unit.record is not None
        assert not first.is_armed()
        assert second.is_armed()
        second.finish()
        assert not second.is_armed()
        first.make_safe()
        assert second.output(0)


def test_longest_waveform_fits_into_the_memory() -> None:
    clock = SimulatedClock()
    twin = Keysight33600ATwin(model="33622A", clock=clock, serial="SIM1", parts={})
    limits = MODELS[-1].limits
    assert isinstance(limits, GeneratorLimits)
    link = loopback_link(twin, clock)
    with Keysight33600A("generator", limits=limits, link=link, clock=clock) as generator:
        generator.load(0, np.ones(limits.samples, dtype=np.float32))
        assert len(twin.outputs[1].waveforms["vplay1"]) == limits.samples + 2
