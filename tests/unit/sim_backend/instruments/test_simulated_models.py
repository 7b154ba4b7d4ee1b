"""Bench files with simulated instruments: one scene for both parties, and what is refused."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from drivers.bench import Bench, BenchFile, ModelRegistry, check_together, load_bench
from drivers.bench.files import parse_bench
from drivers.bench.safety import LightPlan
from drivers.errors import ConfigurationError
from drivers.instruments import (
    BiasController,
    Digitiser,
    PowerMeter,
    SystemClock,
    Trigger,
    WaveformGenerator,
)
from drivers.settings_tables import changed
from sim_backend.instruments import FaultKind, FaultPlan, register_models, scene_settings
from sim_backend.scene.clock import SimulatedClock
from sim_backend.scene.reference_settings import ReferenceSettings, wavelength_at_offset_m

EXAMPLES = Path(__file__).parents[4] / "examples" / "benches"


def _examples() -> tuple[BenchFile, BenchFile]:
    server, client = (load_bench(EXAMPLES / f"{party}.toml") for party in ("server", "client"))
    check_together([server, client])
    return server, client


def _file(parameters: Mapping[str, Any], **changes: Any) -> BenchFile:
    """An incomplete server's file with one instrument."""
    table = {
        "bench": {"name": "server", "party": "server", **changes.pop("bench", {})},
        "instruments": {
            "laser": {"model": "simulated laser", "backend": "sim", "address": "sim://laser"}
            | changes.pop("laser", {})
        },
        "scene": {"name": changes.pop("scene", "reference"), "parameters": dict(parameters)},
        "frame": changes.pop("frame", {}),
    }
    assert not changes
    return parse_bench(table, "bench file here", complete=False)


def test_examples_share_one_scene_when_registered_together() -> None:
    server_file, client_file = _examples()
    registry = ModelRegistry(SimulatedClock())
    bench = register_models(registry, [server_file, client_file])
    with Bench.build(server_file, registry) as server, Bench.build(client_file, registry) as client:
        assert server.simulated
        assert client.simulated
        for party in (server, client):
            party.safety.rearm("the test")
        server.safety.switch_on(
            LightPlan(
                power_w={"laser": 10e-3, "return_oscillator": 2e-3},
                attenuation_db={"attenuator": 30.0},
                switches={"return_switch": "light"},
            )
        )
        client.safety.switch_on(
            LightPlan(power_w={"oscillator": 5e-3}, switches={"signal_switch": "light"})
        )
        assert server.get("weight_bias", BiasController).is_locked(0)
        meter = server.get("oscillator_power_meter", PowerMeter)
        assert meter.power_w() == pytest.approx(2e-3, rel=0.03)
        traces = _shot(server, client)
    assert bench.scene.idle_power_w("launch") == 0
    for volts in traces:
        # The server's step of light comes to both, after one and two fibres of 5 us.
        assert np.std(volts[12_500:]) > 1.5 * np.std(volts[:3500])


def _shot(server: Bench, client: Bench) -> list[np.ndarray[Any, np.dtype[np.float32]]]:
    weights = np.zeros(16_000, dtype=np.float32)
    weights[4000:] = 3.5
    generators = [
        server.get("weight_generator", WaveformGenerator),
        client.get("data_generator", WaveformGenerator),
    ]
    for generator, volts in zip(generators, (weights, np.full_like(weights, 3.5)), strict=True):
        generator.set_sample_rate(800e6)
        generator.load(0, volts)
        generator.set_output(0, True)
    digitisers = [client.get("tap_digitiser", Digitiser), server.get("return_digitiser", Digitiser)]
    for digitiser in digitisers:
        digitiser.configure(800e6, 16_000, 1.0)
        digitiser.arm(Trigger.EXTERNAL)
    generators[1].arm(Trigger.EXTERNAL)
    generators[0].arm(Trigger.SOFTWARE)
    generators[0].trigger()
    return [digitiser.fetch().volts[0] for digitiser in digitisers]


def test_scene_follows_the_bench_file_when_it_says_nothing_itself() -> None:
    file = _file(
        {},
        bench={"receiver_setting": 0.3, "oscillator": "shared"},
        frame={"symbol_rate_hz": 50e6, "cycles_per_symbol": 3.0},
    )
    settings = scene_settings([file])
    assert settings.tap == 0.3
    assert settings.oscillators == "shared"
    for laser in (settings.client_oscillator_laser, settings.server_oscillator_laser):
        assert laser.wavelength_m == wavelength_at_offset_m(-150e6)
    for shifter in (settings.client_shifter, settings.server_shifter):
        assert shifter.shift_hz == -150e6


def test_scene_takes_its_parameters_when_the_bench_file_has_some() -> None:
    file = _file({"tap": 0.48, "forward_fibre": {"length_m": 25_000, "loss_db_per_km": 0.18}})
    settings = scene_settings([file])
    assert settings.tap == 0.48
    assert settings.forward_fibre.length_m == 25e3
    assert settings.forward_fibre.loss_db_per_km == 0.18
    assert settings.forward_fibre.group_index == ReferenceSettings().forward_fibre.group_index


def test_bench_takes_seed_and_faults_when_the_scene_has_them() -> None:
    fault = {"kind": "fibre-dirty", "target": "forward", "start_s": 60}
    file = _file({"seed": 7, "faults": [fault]})
    bench = register_models(ModelRegistry(SimulatedClock()), [file])
    assert bench.seed == 7
    assert [one.kind for one in bench.faults.faults] == [FaultKind.FIBRE_DIRTY]
    given = register_models(ModelRegistry(SimulatedClock()), [file], seed=8, faults=FaultPlan())
    assert given.seed == 8
    assert given.faults.faults == ()


def test_instrument_takes_its_settings_when_the_bench_file_has_some() -> None:
    file = _file({}, laser={"settings": {"transfer_s": 0.5}})
    registry = ModelRegistry(SimulatedClock())
    register_models(registry, [file])
    laser = Bench.build(file, registry).instruments["laser"]
    laser.open()
    before_s = registry.clock.now()
    laser.is_safe()
    assert registry.clock.now() - before_s == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("parameters", "changes", "message"),
    [
        ({"tapp": 0.5}, {}, r"unknown key scene.parameters.tapp; .*scene.parameters.tap"),
        ({"forward_fibre": {"lenght_m": 1.0}}, {}, "forward_fibre.lenght_m.*length_m"),
        ({"forward_fibre": 1.0}, {}, "must be a table"),
        ({"tap": "half"}, {}, "tap is 'half'.*float"),
        ({"tap": True}, {}, "tap is True"),
        ({"tap": 1.5}, {}, "tap"),
        ({"oscillators": "none"}, {}, "'own', 'shared'"),
        ({"seed": -1}, {}, "seed is -1"),
        ({"seed": True}, {}, "seed is True"),
        ({"faults": {"kind": "time-out"}}, {}, "array of tables"),
        ({"faults": [{"kind": "time-out", "target": "laser", "size": 1}]}, {}, "faults: .*none"),
        ({"faults": [{"kind": "time-out", "target": "lasser"}]}, {}, "faults: .*no 'lasser'"),
        ({}, {"scene": "other"}, "the scenes are 'reference' and 'amplifier'"),
        ({}, {"bench": {"receiver": "feed-forward-tap"}}, "passive-tap"),
    ],
    ids=[
        "key", "nested-key", "no-table", "text", "boolean", "range", "choice", "seed", "true-seed",
        "faults", "fault", "target", "scene", "receiver",
    ],
)  # fmt: skip
def test_scene_is_refused_when_the_bench_file_is_wrong(
    parameters: Mapping[str, Any], changes: Mapping[str, Any], message: str
) -> None:
    file = _file(parameters, **changes)
    with pytest.raises(ConfigurationError, match=message) as raised:
        register_models(ModelRegistry(SimulatedClock()), [file])
    assert str(raised.value).startswith("bench file here: ")


def test_files_are_refused_when_their_scenes_differ() -> None:
    files = [_file({"seed": 1}), _file({"seed": 2})]
    with pytest.raises(ConfigurationError, match="scene is not that of"):
        scene_settings(files)


def test_scene_is_refused_when_there_is_no_file() -> None:
    with pytest.raises(ConfigurationError, match="at least one bench file"):
        scene_settings([])


def test_models_are_refused_when_the_time_is_real() -> None:
    with pytest.raises(ConfigurationError, match="SystemClock; make it with a SimulatedClock"):
        register_models(ModelRegistry(SystemClock()), [_file({})])


@pytest.mark.parametrize(
    ("role", "kind", "settings", "message"),
    [
        ("laser", "laser", {"colour": 1}, "unknown key settings.colour"),
        ("laser", "laser", {"transfer_s": -1.0}, "transfer_s is -1.0"),
        ("laser", "laser", {"transfer_s": "slow"}, "transfer_s is 'slow'"),
        ("weight_bias", "bias controller", {"dither": 1.0}, "settings.dither"),
        ("weight_bias", "bias controller", {"dither_v": 0.0}, "dither_v must be above 0"),
        ("launch_power_meter", "power meter", {"relative_error": 20.0}, "relative_error"),
    ],
    ids=["laser", "negative", "text", "bias-key", "bias-value", "meter"],
)
def test_instrument_is_refused_when_its_settings_are_wrong(
    role: str, kind: str, settings: Mapping[str, object], message: str
) -> None:
    entry = {"model": f"simulated {kind}", "backend": "sim", "address": "x", "settings": settings}
    table = {
        "bench": {"name": "server", "party": "server"},
        "instruments": {role: entry},
        "scene": {"name": "reference"},
    }
    file = parse_bench(table, "bench file here", complete=False)
    registry = ModelRegistry(SimulatedClock())
    register_models(registry, [file])
    with pytest.raises(ConfigurationError, match=message) as raised:
        Bench.build(file, registry)
    assert str(raised.value).startswith(f"bench file here: instruments.{role}: ")


def test_switch_with_two_positions_is_what_the_registry_offers() -> None:
    registry = ModelRegistry(SimulatedClock())
    register_models(registry, [_file({})])
    assert registry.models("sim", PowerMeter) == ("simulated power meter",)
    assert len(registry.models("sim")) == 9


@dataclass(frozen=True, kw_only=True)
class _Inner:
    count: int = 1
    rate_hz: float | None = 2.0


@dataclass(frozen=True, kw_only=True)
class _Outer:
    name: str = "a"
    on: bool = False
    inner: _Inner = field(default_factory=_Inner)


def test_changed_settings_keep_what_the_table_leaves_out() -> None:
    settings = changed(_Outer(), {"on": True, "inner": {"rate_hz": 3}}, "here")
    assert settings == _Outer(on=True, inner=_Inner(rate_hz=3.0))
    assert isinstance(settings.inner.rate_hz, float)


@pytest.mark.parametrize(
    "table",
    [{"name": 1}, {"on": 1}, {"inner": {"count": 1.0}}, {"inner": {"count": True}}],
    ids=["text", "boolean", "float-count", "boolean-count"],
)
def test_changed_settings_refuse_a_value_when_it_is_of_another_type(
    table: Mapping[str, object],
) -> None:
    with pytest.raises(ConfigurationError, match=r"here\.\w+.* must be of type"):
        changed(_Outer(), table, "here")
