"""The stage switches light in the safe order, refuses what is unsafe, and records what it says."""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from calibration.access import BenchAccess, access_of
from calibration.result import Result, Setting
from calibration.routine import Context
from calibration.routines._roles import StagedRoutine
from calibration.routines._stage import (
    STAGE_SETTINGS,
    Stage,
    level_of_photons,
    photons_of_level,
)
from drivers.bench import Bench
from drivers.errors import CalibrationError, ConfigurationError, LimitError, SafetyError
from drivers.instruments import Attenuator, BiasController, Laser, Switch, WaveformGenerator
from drivers.optics.burst import BurstFormat, BurstLayout
from sim_backend.scene.reference_settings import ReferenceSettings
from tests.waveform_calibration import CalibrationBench, open_calibration_bench
from veilight.benches import build_benches, load_benches

EXAMPLES = Path(__file__).parents[4] / "examples" / "benches"
V_PI_V = 3.5


class Everything(StagedRoutine):
    """Declares every role and measures nothing."""

    name = "everything"
    validity_s = 1.0
    duration_s = 1.0
    roles: ClassVar[tuple[str, ...]] = (
        "server.laser",
        "server.return_oscillator",
        "client.oscillator",
        "server.weight_generator",
        "client.data_generator",
        "server.weight_bias",
        "client.data_bias",
        "server.attenuator",
        "client.signal_switch",
        "server.return_switch",
        "client.tap_digitiser",
        "server.return_digitiser",
        "server.launch_power_meter",
        "client.oscillator_power_meter",
        "server.oscillator_power_meter",
    )
    defaults: ClassVar[Mapping[str, Setting]] = {
        **STAGE_SETTINGS,
        "weight_v_pi_v": V_PI_V,
        "data_v_pi_v": V_PI_V,
    }

    def run(self, context: Context) -> Result:
        raise AssertionError(context)


class Blind(Everything):
    """Knows no V_pi."""

    name = "blind"
    defaults: ClassVar[Mapping[str, Setting]] = STAGE_SETTINGS


@pytest.fixture
def bench() -> CalibrationBench:
    return open_calibration_bench()


@pytest.fixture
def stage(bench: CalibrationBench) -> Stage:
    return Stage(bench.context(Everything()))


@pytest.fixture
def files_access() -> Iterator[BenchAccess]:
    benches = build_benches(load_benches([EXAMPLES / "server.toml", EXAMPLES / "client.toml"]))
    for one in benches:
        one.open()
        one.safety.rearm("test")
    yield access_of(benches, name="both", clock_id="test")
    close_all(benches)


def close_all(benches: tuple[Bench, ...]) -> None:
    for one in benches:
        one.close()


def lit_power_w(bench: CalibrationBench) -> float:
    return bench.scene.settings.client_oscillator_laser.power_w * 10 ** (
        -bench.scene.settings.data_modulator.insertion_loss_db / 10
    )


def test_lasers_on_closes_the_ways_to_the_detectors_when_they_stood_open(
    bench: CalibrationBench, stage: Stage
) -> None:
    attenuator = stage.get("server.attenuator", Attenuator)
    switch = stage.get("client.signal_switch", Switch)
    attenuator.set_attenuation_db(0.0)
    attenuator.set_shutter(True)
    switch.select("light")
    open_when_on = []
    laser = stage.get("server.laser", Laser)
    original = laser.set_emission

    def watched(on: bool) -> None:
        open_when_on.append((attenuator.shutter_open(), switch.selected()))
        original(on)

    laser.set_emission = watched  # type: ignore[method-assign, misc]
    stage.lasers_on()
    assert open_when_on == [(False, "blocked")]
    assert bench.scene.server_laser.is_settled()
    assert bench.scene.idle_power_w("server_laser") == pytest.approx(10e-3, rel=1e-3)


def test_lasers_on_gives_the_powers_of_the_settings_when_they_differ_from_the_lasers(
    bench: CalibrationBench,
) -> None:
    settings = {"client_oscillator_w": 3e-3, "server_oscillator_w": 1e-3, "server_laser_w": 7e-3}
    stage = Stage(bench.context(Everything(), settings))
    stage.lasers_on()
    assert bench.scene.server_laser.power_w() == pytest.approx(7e-3, rel=1e-3)
    assert bench.scene.client_oscillator_laser.power_w() == pytest.approx(3e-3, rel=1e-3)
    assert bench.scene.server_oscillator_laser.power_w() == pytest.approx(1e-3, rel=1e-3)


def test_lasers_on_leaves_the_others_dark_when_one_is_named(
    bench: CalibrationBench, stage: Stage
) -> None:
    stage.lasers_on(["client.oscillator"])
    assert bench.scene.client_oscillator_laser.emission()
    assert bench.scene.server_laser.emission()
    assert not bench.scene.server_oscillator_laser.emission()


def test_lasers_on_leaves_generators_connected_at_zero_when_they_idled_elsewhere(
    bench: CalibrationBench, stage: Stage
) -> None:
    generator = stage.get("client.data_generator", WaveformGenerator)
    generator.set_idle(0, 2.0)
    stage.lasers_on()
    assert generator.output(0)
    assert generator.sample_rate_hz() == 800e6
    assert bench.scene.idle_v["data"] == 0.0


def test_set_laser_power_refuses_when_more_than_was_switched_on_is_asked_for(
    bench: CalibrationBench, stage: Stage
) -> None:
    stage.lasers_on()
    with pytest.raises(SafetyError, match=r"client\.oscillator: power 0\.006 W is above"):
        stage.set_laser_power("client.oscillator", 6e-3)
    assert bench.scene.client_oscillator_laser.power_setpoint_w() == pytest.approx(5e-3)
    stage.set_laser_power("client.oscillator", 1e-3)
    assert bench.scene.client_oscillator_laser.power_w() == pytest.approx(1e-3, rel=1e-3)


@pytest.mark.parametrize("level", [1.0, -0.5, 0.25])
def test_oscillator_passes_the_square_of_its_level_when_the_bias_is_at_the_null(
    bench: CalibrationBench, stage: Stage, level: float
) -> None:
    stage.lasers_on()
    stage.lock_biases()
    stage.oscillator(level)
    # The loop leaves 2e-3 rad, and 40 dB of extinction leak.
    assert bench.scene.idle_power_w("client_oscillator") == pytest.approx(
        level**2 * lit_power_w(bench), rel=0.03, abs=1e-3 * lit_power_w(bench)
    )


def test_oscillator_refuses_when_the_level_is_beyond_one(stage: Stage) -> None:
    stage.lasers_on()
    with pytest.raises(LimitError, match="beyond 1"):
        stage.oscillator(1.01)


def test_oscillator_refuses_when_nobody_knows_v_pi(bench: CalibrationBench) -> None:
    stage = Stage(bench.context(Blind()))
    with pytest.raises(CalibrationError, match="needs V_pi of the data modulator"):
        stage.oscillator(0.5)


def test_hold_biases_frees_the_voltage_when_the_loops_were_locked(stage: Stage) -> None:
    stage.lasers_on()
    stage.lock_biases()
    bias = stage.get("server.weight_bias", BiasController)
    assert bias.is_locked(0)
    stage.hold_biases()
    assert not bias.is_locked(0)
    # The fresh modulator's null, but for drift and the loop's 2e-3 rad.
    assert bias.voltage(0) == pytest.approx(0.8, abs=0.1)
    bias.set_voltage(0, 1.0)


def test_launch_opens_to_the_attenuation_and_closes_again_when_asked(
    bench: CalibrationBench, stage: Stage
) -> None:
    stage.lasers_on()
    stage.lock_biases()
    stage.rest("weight", 1.0)
    stage.launch(20.0)
    settings = bench.scene.settings
    loss_db = settings.weight_modulator.insertion_loss_db + 20.0 + 1.0
    expected_w = 10e-3 * (1 - settings.monitor_tap) * 10 ** (-loss_db / 10)
    assert bench.scene.idle_power_w("launch") == pytest.approx(expected_w, rel=0.01)
    stage.launch(None)
    assert bench.scene.idle_power_w("launch") < 1e-12 * expected_w


def test_signal_sets_each_switch_when_one_is_light_and_one_blocked(
    bench: CalibrationBench, stage: Stage
) -> None:
    stage.signal(client="light", server="blocked")
    assert bench.scene.client_switch.selected() == "light"
    assert bench.scene.server_switch.selected() == "blocked"
    stage.signal(client="blocked", server="light")
    assert bench.scene.client_switch.selected() == "blocked"
    assert bench.scene.server_switch.selected() == "light"


def test_record_refuses_when_the_light_is_beyond_the_range(stage: Stage) -> None:
    stage.lasers_on()
    stage.lock_biases()
    stage.oscillator(1.0)
    # The unbalance of the diodes alone gives 67 mV.
    with pytest.raises(CalibrationError, match=r"ends of the range of \+-0\.02 V; raise client"):
        stage.record("client", 1 << 12, range_v=0.02)
    assert stage.record("client", 1 << 12).volts.shape == (1, 1 << 12)


def test_burst_arrives_at_both_detectors_when_pilots_are_bright(stage: Stage) -> None:
    stage.lasers_on()
    stage.lock_biases()
    stage.oscillator(1.0)
    stage.signal()
    stage.launch(30.0)
    layout = BurstLayout(format=stage.format, data_symbols=500)
    traces = stage.burst(layout, longest_delay_s=20e-6)
    assert set(traces) == {"client", "server"}
    for trace in traces.values():
        volts = trace.volts[0]
        assert volts.size >= layout.total_samples + 16000
        # The light is on its way for about 5 us per fibre: nothing yet, then pilots.
        assert volts[8000:].std() > 4 * volts[:3000].std()


def test_burst_follows_the_means_when_data_slots_are_bright(stage: Stage) -> None:
    stage.lasers_on()
    stage.lock_biases()
    stage.oscillator(1.0)
    stage.signal()
    stage.launch(30.0)
    layout = BurstLayout(format=stage.format, data_symbols=4000)
    dark = stage.burst(layout, pilot_level=0.0)["client"].volts.var()
    half = stage.burst(layout, pilot_level=0.0, means=np.full(4000, 0.4))["client"].volts.var()
    full = stage.burst(layout, pilot_level=0.0, means=np.full(4000, 0.8))["client"].volts.var()
    # Power goes with the square; the leak of the modulator adds a little in all slots.
    assert (full - dark) / (half - dark) == pytest.approx(4.0, rel=0.15)


def test_burst_steps_the_oscillator_when_levels_are_given(stage: Stage) -> None:
    stage.lasers_on()
    stage.lock_biases()
    stage.oscillator(1.0)
    layout = BurstLayout(format=stage.format, data_symbols=4000)
    constant = stage.burst(layout, parties=["client"], pilot_level=0.0)["client"]
    off = stage.burst(layout, parties=["client"], pilot_level=0.0, levels=np.zeros(4000))["client"]
    # Without light on the signal port the unbalance shows the level: 67 mV, or 0 in data slots.
    first = layout.data[0] * 8
    last = layout.data[-1] * 8
    assert constant.volts[0, first:last].mean() == pytest.approx(0.067, rel=0.02)
    data_share = layout.data.size / (layout.data[-1] - layout.data[0])
    assert off.volts[0, first:last].mean() == pytest.approx(0.067 * (1 - data_share), rel=0.1)


def test_get_refuses_when_the_routine_did_not_declare_the_role(bench: CalibrationBench) -> None:
    class Narrow(Everything):
        name = "narrow"
        roles: ClassVar[tuple[str, ...]] = ("server.laser",)

    with pytest.raises(ConfigurationError, match="without declaring it"):
        Stage(bench.context(Narrow())).launch(10.0)


def test_staged_routine_drops_the_oscillators_when_they_are_shared() -> None:
    own, shared = Everything(), Everything(shared_oscillators=True)
    assert set(own.roles) - set(shared.roles) == {"client.oscillator", "server.return_oscillator"}
    assert Everything().roles == own.roles


def test_stage_feeds_the_oscillators_from_the_server_when_they_are_shared() -> None:
    bench = open_calibration_bench(ReferenceSettings(oscillators="shared"))
    stage = Stage(bench.context(Everything(shared_oscillators=True)))
    assert stage.shared_oscillators
    assert stage.oscillator_laser("client") == "server.laser"
    stage.lasers_on()
    assert bench.scene.idle_power_w("server_oscillator") > 1e-4


def test_stage_goes_through_the_safety_of_each_party_when_the_bench_has_files(
    files_access: BenchAccess,
) -> None:
    context = open_calibration_bench().context(Everything())
    stage = Stage(
        Context(
            routine=context.routine,
            bench=files_access,
            results={},
            rng=context.rng,
            seed=1,
            progress=context.progress,
            settings=context.settings,
        )
    )
    stage.lasers_on()
    stage.lock_biases()
    stage.signal()
    # The file's limit is 10 dB; nobody asked the scene for it, so the order came through.
    stage.launch(30.0)
    attenuator = stage.get("server.attenuator", Attenuator)
    assert attenuator.shutter_open()
    assert attenuator.attenuation_db() == pytest.approx(30.0)
    with pytest.raises(LimitError):
        stage.launch(5.0)
    files_access.safety["server"].make_safe("test")
    with pytest.raises(SafetyError):
        stage.launch(30.0)
    files_access.safety["server"].rearm("test")


def test_photons_and_level_are_inverse_when_within_the_open_modulator() -> None:
    burst = BurstFormat()
    # A Hann pulse of 8 samples has 3/8 of the energy of a full slot at its peak amplitude:
    # sum sin^4 = 3, and the peak sample lies half a sample beside the top, at cos^4(pi/16).
    full = photons_of_level(1.0, 8000.0, burst)
    assert full == pytest.approx(8000.0 * 3 / 8 / math.cos(math.pi / 16) ** 4)
    assert level_of_photons(full / 4, 8000.0, burst) == pytest.approx(0.5)
    with pytest.raises(LimitError, match="lower the attenuation"):
        level_of_photons(full * 1.01, 8000.0, burst)
