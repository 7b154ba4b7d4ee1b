"""Every fault shows in the record or in the readback, and only while it lasts."""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from drivers.errors import (
    ConfigurationError,
    InstrumentError,
    ReadbackError,
    SafetyError,
    TraceError,
)
from drivers.instruments import BiasPoint, Instrument, Trace, Trigger
from sim_backend.instruments import Fault, FaultKind, FaultPlan, SimulatedBench
from sim_backend.instruments.scene_faults import TARGETS
from tests.unit.sim_backend.instruments.simulated_helpers import (
    QUIET,
    RATE_HZ,
    Rig,
    edge,
    lit_rig,
    quiet_bench,
    rig,
)


def _begin(ready: Rig, kind: FaultKind, target: str, size: float | None = None) -> None:
    """Let a fault begin now."""
    now_s = ready.bench.clock.now()
    ready.bench.inject(Fault(kind=kind, target=target, start_s=now_s, size=size))


def _level(trace: Trace) -> float:
    """Bright minus dark level in V, without sign: twice the beat's amplitude times its cosine."""
    volts = trace.volts[0].astype(np.float64)
    return float(abs(np.mean(volts[4500:]) - np.mean(volts[500:3500])))


def _beat_rms(ready: Rig) -> float:
    """Root mean square in V of the bright part of a beat at 200 MHz, noise subtracted."""
    ready.tune(200e6)
    for laser in (ready.oscillator, ready.return_oscillator):
        laser.wait_settled(10.0)
    volts = ready.shoot(8000)[0].volts[0].astype(np.float64)
    return math.sqrt(max(0.0, np.var(volts[4200:]) - np.var(volts[:3800])))


@pytest.mark.parametrize(
    ("kind", "target", "size", "kept"),
    [
        (FaultKind.FIBRE_DIRTY, "forward", 3.0, 10**-0.15),
        (FaultKind.FIBRE_UNPLUGGED, "forward", None, 0.0),
        (FaultKind.POLARISATION_FLIP, "forward", math.pi / 2, 0.0),
        (FaultKind.POLARISATION_FLIP, "forward", math.pi / 3, 0.5),
        (FaultKind.OSCILLATOR_LOST, "client", None, 0.0),
        (FaultKind.OSCILLATOR_LOW, "client", 0.75, 0.5),
    ],
    ids=["dirty", "unplugged", "flip", "turn", "oscillator-lost", "oscillator-low"],
)
def test_beat_falls_when_the_optics_fail(
    kind: FaultKind, target: str, size: float | None, kept: float
) -> None:
    with lit_rig() as ready:
        sound = _beat_rms(ready)
        _begin(ready, kind, target, size)
        assert _beat_rms(ready) == pytest.approx(kept * sound, abs=0.04 * sound)
        ready.bench.faults.clear()
        assert _beat_rms(ready) == pytest.approx(sound, rel=0.04)


def test_detector_still_tells_that_it_is_damaged_when_it_can_fail() -> None:
    weak = replace(QUIET.client_detector, damage_power_w=1e-3)
    with lit_rig(settings=replace(QUIET, client_detector=weak)) as ready:
        scene = ready.bench.scene
        before = scene.client_detector.damaged
        ready.record(1000)
        after = scene.client_detector.damaged, scene.server_detector.damaged
    assert (before, *after) == (False, True, False)


def test_return_loses_its_beat_and_the_client_does_not_when_the_way_back_is_unplugged() -> None:
    fault = Fault(kind=FaultKind.FIBRE_UNPLUGGED, target="back")
    with lit_rig(fault, beat_hz=200e6) as ready:
        client, server = ready.shoot(8000, digitisers=[ready.tap_digitiser, ready.return_digitiser])
    assert np.std(client.volts[0, 5000:]) > 2 * np.std(client.volts[0, :3000])
    assert np.std(server.volts[0, 5000:]) == pytest.approx(np.std(server.volts[0, :3000]), rel=0.2)


@pytest.mark.parametrize("party", ["client", "server"])
def test_record_is_electronic_noise_when_the_oscillator_is_lost(party: str) -> None:
    with lit_rig() as ready:
        digitiser = {"client": ready.tap_digitiser, "server": ready.return_digitiser}[party]
        other = {"client": "server", "server": "client"}[party]

        def noise() -> float:
            return float(np.std(ready.shoot(8000, digitisers=[digitiser])[0].volts[0, :3900]))

        shot_noise = noise()
        _begin(ready, FaultKind.OSCILLATOR_LOST, other)
        assert noise() == pytest.approx(shot_noise, rel=0.15)
        _begin(ready, FaultKind.OSCILLATOR_LOST, party)
        assert noise() < 0.2 * shot_noise


def test_phase_diffuses_faster_when_the_laser_unlocks() -> None:
    laser = replace(QUIET.server_laser, linewidth_hz=1e3)
    with lit_rig(settings=replace(QUIET, server_laser=laser), beat_hz=200e6) as ready:
        ready.load(np.full(80_000, 3.5, dtype=np.float32))

        def wander() -> float:
            volts = ready.shoot(80_000)[0].volts[0].astype(np.float64)
            down = volts * np.exp(0.5j * math.pi * np.arange(volts.size))
            phase = np.unwrap(np.angle(down.reshape(-1, 400).mean(axis=1)))
            return float(np.var(np.diff(phase)))

        locked = wander()
        assert ready.laser.is_settled()
        _begin(ready, FaultKind.LASER_UNLOCK, "laser", 100.0)
        # 2 pi 100 kHz 0.5 us = 0.31 rad^2 from 0.003: 199 steps, 10 % each way.
        assert wander() > 30 * locked
        assert not ready.laser.is_settled()
        ready.bench.faults.clear()
        assert wander() < 3 * locked
        assert ready.laser.is_settled()


def test_frequency_steps_and_the_lock_is_lost_when_the_laser_hops() -> None:
    with lit_rig() as ready:
        source = ready.bench.scene.server_laser
        before_hz = source.frequency_hz()
        _begin(ready, FaultKind.LASER_MODE_HOP, "laser", 5e9)
        ready.bench.clock.sleep(1e-3)
        assert abs(source.frequency_hz() - before_hz) == pytest.approx(5e9)
        assert not ready.laser.is_settled()
        ready.bench.faults.clear()
        ready.bench.clock.sleep(1e-3)
        assert source.frequency_hz() == pytest.approx(before_hz, abs=1.0)
        assert ready.laser.is_settled()


def test_wavelength_reads_back_wrong_when_it_steps() -> None:
    with lit_rig() as ready:
        before_m = ready.oscillator.wavelength_m()
        _begin(ready, FaultKind.WAVELENGTH_STEP, "oscillator", 2e-12)
        ready.bench.clock.sleep(1.0)
        assert ready.oscillator.wavelength_m() == pytest.approx(before_m + 2e-12, abs=1e-16)
        ready.bench.faults.clear()
        ready.bench.clock.sleep(1.0)
        assert ready.oscillator.wavelength_m() == pytest.approx(before_m, abs=1e-16)


def test_wavelength_stays_where_it_was_tuned_when_a_step_ends() -> None:
    with lit_rig() as ready:
        _begin(ready, FaultKind.WAVELENGTH_STEP, "oscillator", 2e-12)
        ready.oscillator.set_wavelength(1550.01e-9)
        ready.bench.faults.clear()
        ready.bench.clock.sleep(1.0)
        assert ready.oscillator.wavelength_m() == 1550.01e-9


def test_fault_comes_within_a_shot_when_it_starts_there() -> None:
    with lit_rig() as ready:
        ready.load(np.full(400_000, 3.5, dtype=np.float32))
        ready.tap_digitiser.configure(RATE_HZ, 400_000, 2.0)
        ready.tap_digitiser.arm(Trigger.EXTERNAL)
        ready.weight_generator.arm(Trigger.SOFTWARE)
        # One message to see that it is armed, one to trigger; then half of the 0.5 ms.
        start_s = ready.bench.clock.now() + 2e-3 + 0.25e-3
        fault = Fault(kind=FaultKind.OSCILLATOR_LOST, target="client", start_s=start_s)
        ready.bench.inject(fault)
        ready.weight_generator.trigger()
        noise = [np.std(part) for part in np.split(ready.tap_digitiser.fetch().volts[0], 10)]
    assert min(noise[:4]) > 5 * max(noise[6:])


@pytest.mark.parametrize(("size", "found"), [(1.0, 3999), (3.0, 3997)])
def test_record_comes_late_by_whole_samples_when_the_clock_slips(size: float, found: int) -> None:
    with lit_rig() as ready:
        assert edge(ready.shoot(8000)[0]) == 4000
        _begin(ready, FaultKind.CLOCK_SLIP, "tap_digitiser", size)
        assert edge(ready.shoot(8000)[0]) == found


@pytest.mark.parametrize(("target", "found"), [("tap_digitiser", 4008), ("weight_generator", 3992)])
def test_sample_clock_runs_off_when_the_reference_is_lost(target: str, found: int) -> None:
    with lit_rig() as ready:
        _begin(ready, FaultKind.REFERENCE_LOST, target, 2000.0)
        trace = ready.shoot(8000)[0]
        assert edge(trace) == found
        assert trace.sample_rate_hz == 800e6


def test_digitiser_goes_on_waiting_when_the_trigger_is_lost() -> None:
    with lit_rig() as ready:
        _begin(ready, FaultKind.TRIGGER_LOST, "tap_digitiser")
        with pytest.raises(InstrumentError, match=r"within 1\.0 s"):
            ready.shoot(8000)


def test_generator_does_not_play_when_it_loses_the_trigger() -> None:
    with lit_rig() as ready:
        ready.data_generator.load(0, np.full(8000, 1.0, dtype=np.float32))
        _begin(ready, FaultKind.TRIGGER_LOST, "data_generator")
        ready.data_generator.arm(Trigger.EXTERNAL)
        ready.shoot(8000)
        assert ready.data_generator.is_armed()
        ready.bench.faults.clear()
        ready.shoot(8000)
        assert not ready.data_generator.is_armed()


def test_trace_is_refused_when_it_holds_what_is_not_a_number() -> None:
    with lit_rig() as ready:
        _begin(ready, FaultKind.TRACE_NAN, "tap_digitiser")
        with pytest.raises(TraceError, match="NaN"):
            ready.shoot(8000)


def test_trace_is_refused_when_it_is_short() -> None:
    with lit_rig() as ready:
        _begin(ready, FaultKind.TRACE_SHORT, "tap_digitiser", 0.25)
        with pytest.raises(TraceError, match=r"\(1, 6000\)"):
            ready.shoot(8000)


def test_trace_is_constant_when_the_converter_stands_still() -> None:
    with lit_rig() as ready:
        _begin(ready, FaultKind.TRACE_CONSTANT, "tap_digitiser")
        volts = ready.shoot(8000)[0].volts
        assert np.ptp(volts) == 0


def test_trace_is_clipped_and_counted_when_the_input_saturates() -> None:
    with lit_rig() as ready:
        sound = ready.shoot(8000)[0]
        assert sound.clipped == 0
        largest_v = float(np.abs(sound.volts).max())
        _begin(ready, FaultKind.TRACE_CLIPPED, "tap_digitiser", largest_v / 2 / sound.range_v)
        trace = ready.shoot(8000)[0]
        assert trace.clipped > 100
        assert np.abs(trace.volts).max() <= largest_v / 2


def test_trace_repeats_when_the_digitiser_delivers_the_one_before() -> None:
    with lit_rig() as ready:
        first = ready.shoot(8000)[0].volts
        assert not np.array_equal(ready.shoot(8000)[0].volts, first)
        second = ready.shoot(8000)[0].volts
        _begin(ready, FaultKind.TRACE_DUPLICATED, "tap_digitiser")
        np.testing.assert_array_equal(ready.shoot(8000)[0].volts, second)


def test_codes_always_hold_the_bit_when_it_is_stuck() -> None:
    with lit_rig() as ready:
        _begin(ready, FaultKind.TRACE_STUCK_BIT, "tap_digitiser", 5.0)
        trace = ready.shoot(8000)[0]
        codes = np.rint(trace.volts[0] / trace.step_v).astype(np.int64)
        assert np.all(codes & 32)


def test_zero_runs_off_when_the_offset_ramps() -> None:
    with rig(quiet_bench()) as ready:
        _begin(ready, FaultKind.TRACE_OFFSET_RAMP, "tap_digitiser", 0.05)
        volts = ready.record(8000, range_v=0.1).astype(np.float64)
        slope = np.polyfit(np.linspace(0, 1, 8000), volts, 1)[0]
    assert slope == pytest.approx(0.05, rel=0.02)


def test_setting_is_found_out_when_it_is_accepted_but_not_applied() -> None:
    with lit_rig() as ready:
        _begin(ready, FaultKind.SETTING_IGNORED, "attenuator")
        with pytest.raises(ReadbackError, match=r"attenuation was set to 10\.0 dB"):
            ready.attenuator.set_attenuation_db(10.0)
        assert ready.attenuator.shutter_open()  # it did not obey the safe state either
        with pytest.raises(SafetyError, match="not the safe state"):
            ready.attenuator.make_safe()
        ready.bench.faults.clear()


def test_instrument_does_not_answer_within_its_deadline_when_it_times_out() -> None:
    with lit_rig() as ready:
        _begin(ready, FaultKind.TIME_OUT, "laser")
        start_s = ready.bench.clock.now()
        with pytest.raises(InstrumentError, match=r"laser: no answer within 2\.0 s"):
            ready.laser.power_w()
        assert ready.bench.clock.now() - start_s == pytest.approx(2.0)
        assert ready.attenuator.attenuation_db() == pytest.approx(30.0, abs=0.1)
        ready.bench.faults.clear()


def test_bias_stays_where_it_was_when_its_loop_unlocks() -> None:
    with lit_rig() as ready:
        ready.weight_bias.lock(0, BiasPoint.QUADRATURE)
        ready.bench.clock.sleep(2.0)
        _begin(ready, FaultKind.BIAS_UNLOCK, "weight_bias")
        ready.bench.clock.sleep(1.0)
        assert not ready.weight_bias.is_locked(0)
        held_v = ready.weight_bias.voltage(0)
        assert held_v == pytest.approx(0.8 + 2.5, abs=0.05)
        ready.bench.faults.clear()
        ready.bench.clock.sleep(10.0)
        assert not ready.weight_bias.is_locked(0)
        assert ready.weight_bias.voltage(0) == held_v
        ready.weight_bias.lock(0, BiasPoint.QUADRATURE)
        ready.bench.clock.sleep(2.0)
        assert ready.weight_bias.is_locked(0)


def test_output_reads_on_and_plays_nothing_when_it_is_stuck_off() -> None:
    with lit_rig() as ready:
        sound = _level(ready.shoot(8000)[0])
        _begin(ready, FaultKind.OUTPUT_STUCK_OFF, "weight_generator")
        dark = _level(ready.shoot(8000)[0])
        assert ready.weight_generator.output(0)
    assert dark < 0.1 * sound


def test_fault_ends_when_its_duration_is_over() -> None:
    fault = Fault(kind=FaultKind.TIME_OUT, target="laser", start_s=100.0, duration_s=5.0)
    bench = quiet_bench(fault)
    with bench.laser("server", "laser") as laser:
        bench.clock.sleep(100.0)
        with pytest.raises(InstrumentError, match="no answer"):
            laser.power_w()
        bench.clock.sleep(5.0)
        assert laser.power_w() > 0


def test_fault_hits_one_party_only_when_it_names_it() -> None:
    bench = quiet_bench(Fault(kind=FaultKind.TIME_OUT, target="client.oscillator_power_meter"))
    with bench.power_meter("server", "oscillator_power_meter") as server:
        assert server.power_w() < 1e-9
    with pytest.raises(InstrumentError, match="no answer"):
        bench.power_meter("client", "oscillator_power_meter").open()


@pytest.mark.parametrize(
    ("kind", "target"),
    [
        (FaultKind.FIBRE_UNPLUGGED, "sideways"),
        (FaultKind.LASER_UNLOCK, "attenuator"),
        (FaultKind.OSCILLATOR_LOST, "oscillator"),
        (FaultKind.TRACE_NAN, "weight_generator"),
        (FaultKind.TIME_OUT, "laserr"),
    ],
    ids=["fibre", "laser", "oscillator", "trace", "typing-error"],
)
def test_bench_refuses_a_fault_when_it_has_no_such_part(kind: FaultKind, target: str) -> None:
    with pytest.raises(ConfigurationError, match=f"no '{target}'"):
        quiet_bench(Fault(kind=kind, target=target))
    with pytest.raises(ConfigurationError, match=f"no '{target}'"):
        quiet_bench().inject(Fault(kind=kind, target=target))


def test_plan_is_the_same_when_written_and_read() -> None:
    plan = FaultPlan(
        [
            Fault(kind=FaultKind.CLOCK_SLIP, target="tap_digitiser", start_s=3.0, size=2.0),
            Fault(kind=FaultKind.TIME_OUT, target="laser", duration_s=1.0),
        ]
    )
    assert FaultPlan.from_data(plan.to_data()).faults == plan.faults


def test_plan_is_the_same_when_drawn_with_the_same_seed() -> None:
    choices = [(FaultKind.TIME_OUT, "laser"), (FaultKind.FIBRE_DIRTY, "forward")]

    def draw(seed: int) -> FaultPlan:
        return FaultPlan.drawn(choices, seed=seed, span_s=60.0, duration_s=1.0)

    assert draw(1).faults == draw(1).faults
    assert draw(1).faults != draw(2).faults
    assert all(0 <= fault.start_s < 60 for fault in draw(1).faults)


def test_plan_refuses_a_fault_when_it_overlaps_with_its_like() -> None:
    plan = FaultPlan([Fault(kind=FaultKind.TIME_OUT, target="laser", duration_s=2.0)])
    plan.add(Fault(kind=FaultKind.TIME_OUT, target="laser", start_s=2.0))
    with pytest.raises(ConfigurationError, match="overlaps"):
        plan.add(Fault(kind=FaultKind.TIME_OUT, target="laser", start_s=1.0, duration_s=0.5))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"kind": "time-out"}, "target is None"),
        ({"kind": "time-outs", "target": "laser"}, "kind is 'time-outs'"),
        ({"kind": "time-out", "target": "laser", "begin": 3}, "unknown key 'begin'"),
        ({"kind": "time-out", "target": "laser", "start_s": "3"}, "start_s is '3'"),
        ({"kind": "time-out", "target": "laser", "size": 3}, "has none"),
        ({"kind": "time-out", "target": "laser", "start_s": -1.0}, "at least 0"),
        ({"kind": "time-out", "target": "laser", "duration_s": 0.0}, "above 0"),
        ({"kind": "trace-short", "target": "d", "size": 1.5}, r"\(0, 1\)"),
        ({"kind": "trace-stuck-bit", "target": "d", "size": 1.5}, "whole number"),
        ({"kind": "fibre-dirty", "target": "forward", "size": math.nan}, "finite"),
    ],
    ids=[
        "target", "kind", "key", "type", "size", "start", "duration", "fraction", "count", "NaN",
    ],
)  # fmt: skip
def test_fault_is_refused_when_its_data_are_wrong(data: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Fault.from_data(data)


def test_every_kind_of_fault_has_targets() -> None:
    assert set(TARGETS) == set(FaultKind)


@pytest.mark.parametrize("target", TARGETS[FaultKind.TIME_OUT])
def test_every_instrument_can_be_struck_dumb(target: str) -> None:
    bench = quiet_bench(Fault(kind=FaultKind.TIME_OUT, target=target))
    with pytest.raises(InstrumentError, match="no answer"):
        _instrument(bench, target).open()


def _instrument(bench: SimulatedBench, target: str) -> Instrument:
    party, _, role = target.rpartition(".")
    makers: dict[str, Callable[[str, str], Instrument]] = {
        "laser": bench.laser,
        "oscillator": bench.laser,
        "generator": bench.waveform_generator,
        "digitiser": bench.digitiser,
        "bias": bench.bias_controller,
        "attenuator": bench.attenuator,
        "meter": bench.power_meter,
        "polarisation": bench.polarisation_controller,
        "switch": bench.switch,
        "amplifier": bench.optical_amplifier,
        "driver": bench.phase_driver,
        "phase": bench.oscillator_phase,
    }
    return makers[role.rpartition("_")[2]](party or "server", role)
