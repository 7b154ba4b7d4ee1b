"""Bench files of the amplifier's bench: one scene, channels that fit it, and what is refused."""

from collections.abc import Mapping
from typing import Any

import pytest

from drivers.bench import Bench, BenchFile, ModelRegistry, check_together, load_bench, parse_bench
from drivers.bench.safety import LightPlan
from drivers.errors import ConfigurationError, SafetyError
from drivers.instruments import (
    BiasController,
    Digitiser,
    Laser,
    OpticalAmplifier,
    PhaseDriver,
    SystemClock,
    WaveformGenerator,
)
from sim_backend.instruments import (
    FaultPlan,
    amplifier_scene_settings,
    register_amplifier_models,
)
from sim_backend.instruments.simulated_amplifier_bench import SimulatedAmplifierBench
from sim_backend.scene.clock import SimulatedClock
from tests.amplifier_files import EXAMPLES, example_table


def example(party: str, changes: Mapping[str, Mapping[str, Any]] | None = None) -> BenchFile:
    """The example file of a party, some of its sections changed."""
    table = example_table(party)
    for section, values in (changes or {}).items():
        table[section] = {**table[section], **values}
    return parse_bench(table, f"bench file {party}.toml")


def opened(*files: BenchFile) -> tuple[SimulatedAmplifierBench, list[Bench]]:
    registry = ModelRegistry(SimulatedClock())
    scene = register_amplifier_models(registry, files)
    benches = [Bench.build(file, registry) for file in files]
    for bench in benches:
        bench.open()
        bench.safety.rearm("tester")
    return scene, benches


def test_example_files_are_complete_and_fit_together() -> None:
    files = [load_bench(EXAMPLES / f"amplifier-{party}.toml") for party in ("server", "client")]
    check_together(files)
    assert amplifier_scene_settings(files).tap == pytest.approx(0.5)


def test_models_have_as_many_channels_as_the_scene_has_ports() -> None:
    scene = {"scene": {"parameters": {"mesh": {"ports": 4}}}}
    _, (server, client) = opened(example("server", scene), example("client", scene))
    assert server.get("weight_generator", WaveformGenerator).limits.channels == 4
    assert server.get("weight_bias", BiasController).limits.channels == 4
    assert server.get("return_digitiser", Digitiser).limits.channels == 4
    assert client.get("tap_digitiser", Digitiser).limits.channels == 1
    assert client.get("mesh_driver", PhaseDriver).limits.channels == 16
    assert client.get("amplifier", OpticalAmplifier).limits.gain_db.highest == 6.0
    server.close()
    client.close()


def test_scene_takes_the_tap_from_the_gain_unless_its_parameters_say_otherwise() -> None:
    files = [example("server", {"bench": {"receiver_setting": 4.0}})]
    assert amplifier_scene_settings(files).tap == pytest.approx(0.75)
    other: dict[str, dict[str, Any]] = {
        "bench": {"receiver_setting": 4.0},
        "scene": {"parameters": {"tap": 0.6}},
    }
    assert amplifier_scene_settings([example("server", other)]).tap == 0.6


def test_both_meshes_are_different_specimens() -> None:
    scene, benches = opened(example("server"), example("client"))
    forward, back = scene.scene.forward_mesh, scene.scene.return_mesh
    assert abs(forward.phases() - back.phases()).max() > 0.1
    for bench in benches:
        bench.close()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bench": {"oscillator": "shared"}}, "both parties have their 'own'"),
        ({"bench": {"receiver_setting": 1.0}}, "power gain must be above 1"),
        ({"scene": {"name": "reference"}}, "the scene 'reference' has a 'passive-tap'"),
        ({"scene": {"name": "moon"}}, "the scenes are 'reference' and 'amplifier'"),
        ({"scene": {"parameters": {"seed": -1}}}, "parameters.seed is -1"),
        ({"scene": {"parameters": {"tab": 0.5}}}, "unknown key scene.parameters.tab"),
        (
            {
                "scene": {
                    "parameters": {
                        "faults": [{"kind": "fibre_unplugged", "target": "forward", "start_s": 0.0}]
                    }
                }
            },
            "scene.parameters.faults",
        ),
    ],
    ids=["shared", "gain", "reference", "moon", "seed", "unknown", "fault"],
)
def test_scene_is_refused_when_the_file_is_wrong(
    changes: dict[str, dict[str, Any]], message: str
) -> None:
    table = {**changes}
    if changes.get("bench", {}).get("oscillator") == "shared":
        # Such a file has no oscillator of its own, so that only the scene can refuse it.
        whole = example_table("client")
        whole["bench"]["oscillator"] = "shared"
        del whole["instruments"]["oscillator"]
        del whole["safety"]["detectors"]["tap_digitiser"]["light"][2]
        file = parse_bench(whole, "bench file client.toml")
    else:
        file = example("client", table)
    with pytest.raises(ConfigurationError, match=message):
        register_amplifier_models(ModelRegistry(SimulatedClock()), [file])


def test_registering_is_refused_without_simulated_time() -> None:
    with pytest.raises(ConfigurationError, match="need simulated time"):
        register_amplifier_models(ModelRegistry(SystemClock()), [example("client")])


def test_given_seed_and_faults_stand_before_those_of_the_file() -> None:
    registry = ModelRegistry(SimulatedClock())
    bench = register_amplifier_models(registry, [example("client")], seed=7, faults=FaultPlan())
    assert bench.seed == 7


def test_messages_take_the_time_of_the_instruments_settings() -> None:
    table = example_table("client")
    table["instruments"]["amplifier"]["settings"] = {"transfer_s": 0.25}
    scene, (client,) = opened(parse_bench(table, "bench file client.toml"))
    before = scene.clock.now()
    client.get("amplifier", OpticalAmplifier).gain_db()
    assert scene.clock.now() - before == pytest.approx(0.25)
    client.close()


def test_unknown_setting_of_an_instrument_is_refused() -> None:
    table = example_table("client")
    table["instruments"]["mesh_driver"]["settings"] = {"speed": 1}
    with pytest.raises(ConfigurationError, match=r"unknown key settings\.speed"):
        opened(parse_bench(table, "bench file client.toml"))


def test_pump_is_refused_without_the_seed_laser() -> None:
    scene, (client,) = opened(example("client"))
    client.safety.protect()
    with pytest.raises(SafetyError, match="seed_laser off"):
        client.safety.switch_on_pump("amplifier", 3.0)
    assert not scene.scene.amplifier.pump
    client.close()


def test_pump_goes_off_before_its_seed_when_the_seed_laser_is_closed() -> None:
    scene, (client,) = opened(example("client"))
    plan = LightPlan(power_w={"seed_laser": 1e-5}, gain_db={"amplifier": 3.0})
    client.safety.switch_on(plan)
    assert client.get("amplifier", OpticalAmplifier).pump()
    seed = client.get("seed_laser", Laser)
    pumped_without_seed = []
    scene.clock.on_advance(
        lambda _: pumped_without_seed.append(
            scene.scene.amplifier.pump and scene.scene.idle_power_w("seed") < 1e-9
        )
    )
    client.safety.close("seed_laser")
    assert not seed.emission()
    assert client.get("amplifier", OpticalAmplifier).is_safe()
    assert pumped_without_seed
    assert not any(pumped_without_seed)
    client.close()


def test_gain_is_refused_when_the_detector_could_get_too_much() -> None:
    table = example_table("client")
    table["safety"]["detectors"]["tap_digitiser"]["damage_w"] = 2e-4
    _, (client,) = opened(parse_bench(table, "bench file client.toml"))
    client.safety.switch_on(LightPlan(power_w={"seed_laser": 1e-5}, gain_db={"amplifier": 3.0}))
    with pytest.raises(SafetyError, match="above its ceiling"):
        client.safety.switch_on_pump("amplifier", 6.0)
    client.close()
