"""Parts: what a front panel controls is what the simulated instrument of the same role controls."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar, cast

import numpy as np
import pytest

from drivers.errors import ConfigurationError
from drivers.instruments import BiasPoint, DigitiserSettings, Trigger
from sim_backend.instruments import Fault, FaultKind, SimulatedBench
from sim_backend.instruments.bias_controller import BiasSettings
from sim_backend.instruments.parts import (
    AmplifierPart,
    AttenuatorPart,
    BiasPart,
    DigitiserPart,
    GeneratorPart,
    LaserPart,
    Part,
    PhasePart,
    PolarisationPart,
    PowerPart,
    SwitchPart,
)
from sim_backend.instruments.simulated_amplifier_bench import SimulatedAmplifierBench
from sim_backend.instruments.waveform_generator import GENERATOR_LIMITS
from sim_backend.scene.amplifier_bench import AmplifierBenchSettings
from sim_backend.scene.mesh import MeshSettings
from tests.unit.sim_backend.instruments.simulated_helpers import (
    QUIET,
    RATE_HZ,
    lit_rig,
    quiet_bench,
)

_Kind = TypeVar("_Kind")

PLACES: dict[str, type] = {
    "server.laser": LaserPart,
    "client.oscillator": LaserPart,
    "server.return_oscillator": LaserPart,
    "server.weight_generator": GeneratorPart,
    "client.data_generator": GeneratorPart,
    "client.tap_digitiser": DigitiserPart,
    "server.return_digitiser": DigitiserPart,
    "server.weight_bias": BiasPart,
    "client.data_bias": BiasPart,
    "server.attenuator": AttenuatorPart,
    "client.signal_switch": SwitchPart,
    "server.return_switch": SwitchPart,
    "client.polarisation": PolarisationPart,
    "server.return_polarisation": PolarisationPart,
    "server.launch_power_meter": PowerPart,
    "server.oscillator_power_meter": PowerPart,
    "client.oscillator_power_meter": PowerPart,
    "client.amplifier": AmplifierPart,
    "client.mesh_driver": PhasePart,
    "client.return_mesh_driver": PhasePart,
    "client.tap_phase": PhasePart,
    "server.return_phase": PhasePart,
}
AMPLIFIER_PLACES: dict[str, type] = {
    "server.laser": LaserPart,
    "server.return_oscillator": LaserPart,
    "client.oscillator": LaserPart,
    "client.seed_laser": LaserPart,
    "server.weight_generator": GeneratorPart,
    "server.weight_bias": BiasPart,
    "server.attenuator": AttenuatorPart,
    "server.launch_power_meter": PowerPart,
    "client.mesh_driver": PhasePart,
    "client.return_mesh_driver": PhasePart,
    "client.amplifier": AmplifierPart,
    "client.tap_digitiser": DigitiserPart,
    "server.return_digitiser": DigitiserPart,
}


def _part(bench: SimulatedBench, place: str, kind: Callable[..., _Kind]) -> _Kind:
    party, role = place.split(".")
    return _as(bench.part(party, role), kind)


def _as(part: Part, kind: Callable[..., _Kind]) -> _Kind:
    assert isinstance(kind, type)
    assert isinstance(part, kind)
    return cast("_Kind", part)


@pytest.mark.parametrize("place", PLACES)
def test_part_is_of_its_kind_for_each_role(place: str) -> None:
    _part(quiet_bench(), place, PLACES[place])


@pytest.mark.parametrize("place", AMPLIFIER_PLACES)
def test_part_is_of_its_kind_for_each_role_when_the_bench_has_an_amplifier(place: str) -> None:
    party, role = place.split(".")
    _as(SimulatedAmplifierBench().part(party, role), AMPLIFIER_PLACES[place])


def test_part_is_refused_when_the_scene_has_no_place_for_it() -> None:
    with pytest.raises(ConfigurationError, match=r"role 'lazer'.*places for laser, oscillator"):
        quiet_bench().part("server", "lazer")
    with pytest.raises(ConfigurationError, match=r"role 'client\.launch_power_meter'"):
        quiet_bench().part("client", "launch_power_meter")
    with pytest.raises(ConfigurationError, match=r"role 'client\.laser'.*server\.laser"):
        SimulatedAmplifierBench().part("client", "laser")


def test_part_is_refused_when_the_instrument_has_no_such_channel() -> None:
    bench = SimulatedAmplifierBench(AmplifierBenchSettings(mesh=MeshSettings(ports=4)))
    with pytest.raises(ConfigurationError, match="no channel 4 on this bench; choose 0 to 3"):
        bench.part("server", "return_digitiser", 4)
    with pytest.raises(ConfigurationError, match="no channel -1"):
        bench.part("server", "weight_bias", -1)


def test_panels_share_a_bias_when_it_is_locked_by_one_and_unlocked_by_the_other() -> None:
    bench = quiet_bench()
    bench.scene.server_laser.set_emission(True)
    bench.clock.sleep(1.0)
    part = _part(bench, "server.weight_bias", BiasPart)
    with bench.bias_controller("server", "weight_bias") as controller:
        part.lock(BiasPoint.NULL)
        assert not controller.is_locked(0)
        bench.clock.sleep(1.5)
        assert controller.is_locked(0)
        assert controller.voltage(0) == part.voltage_v
        assert part.voltage_v == pytest.approx(QUIET.weight_modulator.null_v, abs=0.02)
        controller.unlock(0)
        assert not part.is_locked()
        controller.set_voltage(0, -1.25)
        assert _part(bench, "server.weight_bias", BiasPart).voltage_v == -1.25


def test_bias_part_lets_go_when_the_plan_says_so() -> None:
    bench = quiet_bench(Fault(kind=FaultKind.BIAS_UNLOCK, target="weight_bias", start_s=5.0))
    bench.scene.server_laser.set_emission(True)
    bench.clock.sleep(1.0)
    part = _part(bench, "server.weight_bias", BiasPart)
    part.lock(BiasPoint.PEAK)
    bench.clock.sleep(2.0)
    assert part.is_locked()
    bench.clock.sleep(3.0)
    assert not part.is_locked()


def test_bias_part_takes_the_settings_of_an_instrument_that_is_made_later() -> None:
    bench = quiet_bench()
    part = _part(bench, "server.weight_bias", BiasPart)
    slow = BiasSettings(acquisition_s=7.0)
    bench.bias_controller("server", "weight_bias", settings=slow)
    assert part.settings == slow
    bench.bias_controller("server", "weight_bias")
    assert part.settings == slow


def test_tap_power_is_what_the_modulator_passes() -> None:
    bench = quiet_bench()
    part, modulator = _part(bench, "server.weight_bias", BiasPart), QUIET.weight_modulator
    assert part.tap_power_w() == 0.0
    bench.scene.server_laser.set_power_w(10e-3)
    bench.scene.server_laser.set_emission(True)
    bench.clock.sleep(1.0)
    passed_w = 10e-3 * 10 ** (-modulator.insertion_loss_db / 10)
    leak = 10 ** (-modulator.extinction_db / 10)
    for turns, share in ((0.0, leak), (0.25, 0.5 * (1 + leak)), (0.5, 1.0)):
        part.voltage_v = modulator.null_v + 2 * turns * modulator.bias_half_wave_v
        assert part.tap_power_w() == pytest.approx(share * passed_w, rel=1e-4)


def test_generator_part_has_one_channel_until_an_instrument_needs_more() -> None:
    bench = quiet_bench()
    part = _part(bench, "server.weight_generator", GeneratorPart)
    assert (part.channel, part.unit.outputs) == (0, [False])
    with bench.waveform_generator("server", "weight_generator") as generator:
        generator.set_output(0, True)
        generator.set_output(1, True)
        generator.load(1, np.ones(64, dtype=np.float32))
    again = _part(bench, "server.weight_generator", GeneratorPart)
    assert again.unit is part.unit
    assert len(part.unit.waveforms) == len(part.unit.idle_v) == GENERATOR_LIMITS.channels
    bench.waveform_generator(
        "server", "weight_generator", limits=replace(GENERATOR_LIMITS, channels=1)
    )
    assert len(part.unit.outputs) == GENERATOR_LIMITS.channels


def test_parts_play_and_record_a_shot_without_any_instrument() -> None:
    bench = quiet_bench()
    generator = _part(bench, "server.weight_generator", GeneratorPart)
    digitiser = _part(bench, "client.tap_digitiser", DigitiserPart)
    generator.unit.waveforms[0] = np.ones(512, dtype=np.float32)
    generator.unit.outputs[0] = True
    digitiser.unit.settings = DigitiserSettings(sample_rate_hz=RATE_HZ, samples=512, range_v=1.0)
    digitiser.unit.armed = Trigger.EXTERNAL
    generator.line.fire(generator.unit)
    assert digitiser.unit.record is not None
    assert digitiser.unit.record.volts.shape == (512,)
    assert digitiser.unit.armed is None


@pytest.mark.parametrize("slip", [0.0, 5.0], ids=str)
def test_record_begins_before_the_trigger_when_it_is_told_to(slip: float) -> None:
    late = [Fault(kind=FaultKind.CLOCK_SLIP, target="tap_digitiser", size=slip)] if slip else []
    edges = []
    for before in (0, 1000):
        with lit_rig(*late) as ready:
            unit = _part(ready.bench, "client.tap_digitiser", DigitiserPart).unit
            assert unit.pre_trigger_s == 0.0
            unit.pre_trigger_s = before / RATE_HZ
            [trace] = ready.shoot(8000)
            volts = trace.volts[0].astype(np.float64)
            dark, bright = np.mean(volts[:2000]), np.mean(volts[6000:])
            edges.append(int(np.argmax(np.abs(volts - dark) > 0.5 * abs(bright - dark))))
    assert edges == [4000 - slip, 5000 - slip]


def test_panels_share_a_power_meter_when_one_has_zeroed_and_tuned_it() -> None:
    bench = quiet_bench()
    part = _part(bench, "server.launch_power_meter", PowerPart)
    before_s = bench.clock.now()
    offset_w = part.head.settings.offset_w
    assert part.read_w(100.0) == pytest.approx(offset_w, rel=0.1)
    part.zero(100.0)
    part.wavelength_m = 1310e-9
    assert bench.clock.now() == before_s  # whose time it is decides the panel
    with bench.power_meter("server", "launch_power_meter") as meter:
        assert meter.wavelength_m() == 1310e-9
        meter.set_averaging(100.0)
        assert abs(meter.power_w()) < 0.1 * offset_w
    # 10 mW are read too high by 1550/1310, as the sensor gives less current per watt there.
    bench.scene.server_laser.set_emission(True)
    bench.clock.sleep(1.0)
    true_w = bench.scene.idle_power_w("launch_monitor")
    wanted_w = true_w * (1 + part.head.settings.relative_error) * 1550 / 1310
    assert part.read_w(100.0) == pytest.approx(wanted_w, rel=1e-4, abs=1e-12)


def test_panels_share_an_amplifier_when_one_pumps_it() -> None:
    bench = quiet_bench()
    part = _part(bench, "client.amplifier", AmplifierPart)
    with bench.optical_amplifier("client", "amplifier") as amplifier:
        part.set_gain_db(10.0)
        part.pump_on = True
        # 2 n_sp (G-1) h nu B with n_sp = 1, B = 4 THz, in the dark.
        assert part.output_power_w() == pytest.approx(2 * 9 * 1.28161e-19 * 4e12, rel=1e-4)
        assert amplifier.pump()
        assert amplifier.gain_db() == 10.0
        assert amplifier.output_power_w() == part.output_power_w()
        amplifier.set_pump(False)
    assert not _part(bench, "client.amplifier", AmplifierPart).pump_on


def test_phase_part_sets_one_shifter_and_leaves_the_others() -> None:
    bench = quiet_bench()
    part = _part(bench, "client.mesh_driver", PhasePart)
    with bench.phase_driver("client", "mesh_driver") as driver:
        part.set(0, 1.0)
        part.set(part.channels - 1, 2.5)
        assert part.get(part.channels - 1) == 2.5
        wanted = np.zeros(part.channels)
        wanted[0], wanted[-1] = 1.0, 2.5
        np.testing.assert_array_equal(driver.voltages(), wanted)


@pytest.mark.parametrize("channel", [-1, 16], ids=str)
def test_phase_part_is_refused_a_channel_that_it_has_not(channel: int) -> None:
    part = _part(quiet_bench(), "client.mesh_driver", PhasePart)
    with pytest.raises(ConfigurationError, match=rf"no channel {channel}; choose 0 to 15"):
        part.set(channel, 1.0)
    with pytest.raises(ConfigurationError, match=rf"no channel {channel}"):
        part.get(channel)
    with pytest.raises(ConfigurationError, match="finite"):
        part.set(3, math.nan)


def test_channels_of_the_bench_with_an_amplifier_are_its_ports() -> None:
    bench = SimulatedAmplifierBench(AmplifierBenchSettings(mesh=MeshSettings(ports=4)))
    third = _as(bench.part("server", "weight_generator", 2), GeneratorPart)
    first = _as(bench.part("server", "weight_generator"), GeneratorPart)
    assert (first.channel, third.channel) == (0, 2)
    assert first.unit is third.unit
    third.unit.outputs[third.channel] = True
    third.unit.idle_v[third.channel] = 0.75
    third.unit.rest()
    assert bench.scene.idle_v == {"weight0": 0.0, "weight1": 0.0, "weight2": 0.75, "weight3": 0.0}

    _as(bench.part("server", "weight_bias", 3), BiasPart).voltage_v = 1.5
    assert [modulator.bias_v for modulator in bench.scene.weight_modulators] == [0, 0, 0, 1.5]
    unit = _as(bench.part("server", "return_digitiser", 1), DigitiserPart).unit
    assert unit is bench.line.digitisers["server1"]


def test_panels_share_the_loops_of_the_bench_with_an_amplifier() -> None:
    bench = SimulatedAmplifierBench()
    bench.scene.server_laser.set_emission(True)
    bench.clock.sleep(5.0)
    with bench.weight_bias() as controller:
        _as(bench.part("server", "weight_bias", 1), BiasPart).lock(BiasPoint.QUADRATURE)
        bench.clock.sleep(2.0)
        assert [controller.is_locked(channel) for channel in (0, 1)] == [False, True]
    meter = _as(bench.part("server", "launch_power_meter"), PowerPart)
    meter.wavelength_m = 1310e-9
    with bench.launch_power_meter() as panel:
        assert panel.wavelength_m() == 1310e-9
