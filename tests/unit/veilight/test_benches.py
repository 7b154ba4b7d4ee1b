"""Putting bench files, models and time together."""

from pathlib import Path
from typing import Any

import pytest

import veilight
from drivers.bench import LightPlan, parse_bench
from drivers.errors import ConfigurationError, InstrumentError, SafetyError
from drivers.instruments import Attenuator, Laser, PowerMeter, SystemClock
from sim_backend.instruments import Fault, FaultKind, register_models
from sim_backend.scene.clock import SimulatedClock
from veilight.benches import build_benches, load_benches, registry_for

EXAMPLES = Path(veilight.__file__).resolve().parent.parent / "examples" / "benches"
PATHS = [EXAMPLES / "server.toml", EXAMPLES / "client.toml"]
PLAN = LightPlan(
    power_w={"laser": 10e-3, "return_oscillator": 2e-3},
    attenuation_db={"attenuator": 40.0},
    switches={"return_switch": "light"},
)


def _real() -> dict[str, Any]:
    return {
        "bench": {"name": "real", "party": "server"},
        "instruments": {"laser": {"model": "x", "backend": "visa", "address": "GPIB::1"}},
    }


def test_registry_for_has_simulated_time_when_a_file_is_simulated() -> None:
    files = load_benches(PATHS)
    assert isinstance(registry_for(files).clock, SimulatedClock)


def test_registry_for_has_real_time_and_no_simulated_model_when_no_file_is_simulated() -> None:
    file = parse_bench(_real(), "bench file real.toml", complete=False)
    registry = registry_for([file])
    assert isinstance(registry.clock, SystemClock)
    assert registry.models("sim") == ()
    with pytest.raises(ConfigurationError, match="'x', which backend 'visa' does not know; Laser"):
        build_benches([file])


def test_build_benches_gives_instruments_of_one_scene_that_switch_on_and_off() -> None:
    server, client = build_benches(load_benches(PATHS))
    assert server.clock is client.clock
    assert server.simulated
    with server, client:
        server.safety.rearm("test")
        before = server.get("oscillator_power_meter", PowerMeter).power_w()
        server.safety.switch_on(PLAN)
        assert server.get("laser", Laser).emission()
        assert server.get("attenuator", Attenuator).attenuation_db() == pytest.approx(40.0, abs=0.1)
        # The oscillator arrives whole at its monitor.
        seen = server.get("oscillator_power_meter", PowerMeter).power_w()
        assert seen == pytest.approx(2e-3, rel=0.1)
        assert before < 1e-6
        server.safety.switch_off()
        assert server.safety.is_safe()
        client.safety.rearm("test")
        client.safety.switch_on(
            LightPlan(power_w={"oscillator": 5e-3}, switches={"signal_switch": "light"})
        )
        client.safety.check()
    assert not server.get("laser", Laser).is_open


def test_simulated_bench_is_safe_and_latched_when_an_instrument_times_out_on_the_way() -> None:
    files = load_benches(PATHS)
    registry = registry_for([])
    registry.clock = SimulatedClock()
    simulated = register_models(registry, files)
    server, _ = build_benches(files, registry)
    with server:
        server.safety.rearm("test")
        server.safety.switch_on(PLAN)
        now = simulated.clock.now()
        simulated.faults.add(
            Fault(
                kind=FaultKind.TIME_OUT,
                target="oscillator_power_meter",
                start_s=now,
                duration_s=10.0,
            )
        )
        with pytest.raises(InstrumentError, match="oscillator_power_meter"):
            server.safety.check()
        assert server.safety.is_latched
        assert not server.get("laser", Laser).emission()
        assert not server.get("attenuator", Attenuator).shutter_open()
        with pytest.raises(SafetyError, match="latched in its safe state: look at the light faile"):
            server.safety.open_attenuator("attenuator", 40.0)


def test_load_benches_refuses_files_of_different_bursts(tmp_path: Path) -> None:
    other = tmp_path / "client.toml"
    text = PATHS[1].read_text(encoding="utf-8")
    other.write_text(f"{text}\n[frame]\npilot_spacing = 4\n", encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"frame\.pilot_spacing is 4, but 6 in bench file"):
        load_benches([PATHS[0], other])
