"""The order of light: what is refused, what is watched, and how everything goes off."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from drivers.bench import Bench, LightPlan
from drivers.errors import InstrumentError, LimitError, SafetyError
from drivers.instruments import Attenuator, OpticalAmplifier, Switch, Trigger, WaveformGenerator
from tests.unit.drivers.bench.paper_bench import Paper, client_table, paper_bench, server_table

PLAN = LightPlan(
    power_w={"return_oscillator": 5e-3, "laser": 10e-3},
    attenuation_db={"attenuator": 30.0},
    switches={"return_switch": "signal"},
)


@pytest.fixture
def paper() -> Paper:
    paper = Paper()
    paper.seen_w["oscillator_power_meter"] = lambda: paper.lit("return_oscillator") / 100
    # The light that arrives at the client, 0.1 mW, seeds its amplifier through the switch.
    paper.seen_w["amplifier"] = lambda: (
        1e-4 if paper.state["signal_switch", "position"] == "signal" else 0.0
    )
    return paper


@pytest.fixture
def server(paper: Paper) -> Iterator[Bench]:
    with paper_bench(server_table(), paper) as bench:
        bench.safety.rearm("operator")
        paper.calls.clear()
        yield bench


@pytest.fixture
def client(paper: Paper) -> Iterator[Bench]:
    with paper_bench(client_table(), paper) as bench:
        bench.safety.rearm("operator")
        paper.calls.clear()
        yield bench


def _first(paper: Paper, *calls: str) -> list[int]:
    return [paper.calls.index(call) for call in calls]


def _assert_off(bench: Bench, paper: Paper) -> None:
    assert bench.safety.is_safe()
    assert bench.safety.is_latched
    assert all(paper.lit(role) == 0 for role in ("laser", "return_oscillator", "oscillator"))
    assert not paper.state.get(("amplifier", "pump"), False)


def test_switch_on_goes_from_shutter_to_seed_to_lock_to_oscillator_to_attenuator(
    server: Bench, paper: Paper
) -> None:
    server.safety.switch_on(PLAN)
    order = _first(
        paper,
        "attenuator._set_shutter",
        "return_switch._select",
        "weight_generator._set_output",
        "laser._set_emission",
        "weight_bias._lock_to",
        "return_oscillator._set_emission",
    )
    assert order == sorted(order)
    last_shutter = len(paper.calls) - 1 - paper.calls[::-1].index("attenuator._set_shutter")
    assert last_shutter > order[-1]
    assert paper.calls[-1] == "return_switch._select"
    assert paper.lit("laser") == 10e-3
    assert paper.lit("return_oscillator") == 5e-3
    assert server.get("attenuator", Attenuator).attenuation_db() == 30.0


def test_switch_on_raises_powers_and_opens_the_attenuator_in_steps(
    server: Bench, paper: Paper
) -> None:
    server.safety.switch_on(PLAN)
    # Lowest power, then five steps; 60 dB with the shutter, then 50, 40 and 30 dB.
    assert paper.calls.count("laser._set_power") == 6
    opened = paper.calls[paper.calls.index("return_oscillator._set_emission") :]
    assert opened.count("attenuator._set_attenuation_db") == 4


def test_make_safe_goes_from_shutter_to_oscillator_to_seed_to_drivers(
    server: Bench, paper: Paper
) -> None:
    server.safety.switch_on(PLAN)
    paper.calls.clear()
    server.make_safe("end of the test")
    order = _first(
        paper,
        "attenuator._set_shutter",
        "return_oscillator._set_emission",
        "laser._set_emission",
        "weight_generator._set_output",
    )
    assert order == sorted(order)
    _assert_off(server, paper)


def test_amplifier_is_pumped_after_its_seed_and_unpumped_before_it(
    client: Bench, paper: Paper
) -> None:
    plan = LightPlan(
        power_w={"oscillator": 5e-3},
        gain_db={"amplifier": 3.0},
        switches={"signal_switch": "signal"},
    )
    client.safety.switch_on(plan)
    last = len(paper.calls) - 1 - paper.calls[::-1].index("signal_switch._select")
    pump = len(paper.calls) - 1 - paper.calls[::-1].index("amplifier._set_pump")
    assert last < pump
    paper.calls.clear()
    client.safety.close("signal_switch")
    order = _first(paper, "amplifier._set_pump", "signal_switch._select")
    assert order == sorted(order)
    assert not client.get("amplifier", OpticalAmplifier).pump()
    assert not client.safety.is_latched


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (
            lambda safety: safety.switch_on_laser("return_oscillator", 1e-3),
            "return_oscillator: refused, laser is off; switch laser on before oscillators",
        ),
        (
            lambda safety: safety.switch_on_laser("laser", 30e-3),
            None,
        ),
        (
            lambda safety: safety.open_switch("return_switch", "dark"),
            "return_switch: 'dark' is its safe position; use close('return_switch')",
        ),
    ],
    ids=["oscillator first", "allowed", "safe position"],
)
def test_step_is_refused_with_a_remedy_and_nothing_sent_when_the_order_is_wrong(
    server: Bench, paper: Paper, step: Any, message: str | None
) -> None:
    if message is None:
        step(server.safety)
        assert paper.lit("laser") == 30e-3
        return
    with pytest.raises(SafetyError) as caught:
        step(server.safety)
    assert str(caught.value) == message
    assert paper.calls == []
    assert not server.safety.is_latched


def test_laser_is_refused_when_the_attenuator_is_open(server: Bench, paper: Paper) -> None:
    server.safety.open_attenuator("attenuator", 20.0)
    paper.calls.clear()
    with pytest.raises(SafetyError, match="detectors are not protected from it: attenuator not in"):
        server.safety.switch_on_laser("laser", 1e-3)
    assert paper.calls == []


def test_pump_is_refused_when_no_seed_arrives(client: Bench, paper: Paper) -> None:
    with pytest.raises(SafetyError) as caught:
        client.safety.switch_on_pump("amplifier", 3.0)
    assert str(caught.value) == (
        "amplifier: refused, the seed is 0 W; the pump needs 1e-05 W to 0.01 W first"
    )
    assert paper.calls == []


def test_open_attenuator_is_refused_when_a_detector_would_get_more_than_half_its_damage_level(
    server: Bench, paper: Paper
) -> None:
    # Behind 6 dB and 4 dB: 12.6 mW and 2.0 mW, in amplitude (3.54 + 1.41)^2 = 24.5 mW of 5 mW.
    server.safety.switch_on(
        LightPlan(
            power_w={"laser": 50e-3, "return_oscillator": 5e-3},
            switches={"return_switch": "signal"},
        )
    )
    paper.calls.clear()
    with pytest.raises(SafetyError) as caught:
        server.safety.open_attenuator("attenuator", 0.0)
    assert str(caught.value) == (
        "return_digitiser: attenuator at 0 dB could put 0.0245 W on this detector, above its "
        "ceiling of 0.005 W (0.5 of the damage level 0.01 W); lower the power or raise the "
        "attenuation first"
    )
    assert paper.calls == []
    assert paper.lit("laser") == 50e-3
    server.safety.open_attenuator("attenuator", 20.0)


def test_pump_is_refused_when_its_gain_would_overload_the_detector(client: Bench) -> None:
    client.safety.open_switch("signal_switch", "signal")
    # 0.1 mW - 3 dB + 20 dB = 5.01 mW of 5 mW.
    with pytest.raises(SafetyError, match=r"amplifier at 20 dB could put 0\.00501 W on this"):
        client.safety.switch_on_pump("amplifier", 20.0)
    client.safety.switch_on_pump("amplifier", 19.0)


@pytest.mark.parametrize(
    ("role", "value"),
    [("laser", 0.06), ("laser", float("nan")), ("attenuator", 61.0), ("attenuator", float("nan"))],
)
def test_step_raises_limit_error_and_sends_nothing_when_beyond_the_instrument(
    server: Bench, paper: Paper, role: str, value: float
) -> None:
    step = server.safety.switch_on_laser if role == "laser" else server.safety.open_attenuator
    with pytest.raises(LimitError, match=role):
        step(role, value)
    assert paper.calls == []
    assert not server.safety.is_latched


def test_every_step_is_refused_when_latched_until_an_operator_re_arms(
    server: Bench, paper: Paper
) -> None:
    server.make_safe("interlock open")
    paper.calls.clear()
    steps: tuple[Callable[[], None], ...] = (
        lambda: server.safety.switch_on_laser("laser", 1e-3),
        lambda: server.safety.open_attenuator("attenuator", 30.0),
        lambda: server.safety.open_switch("return_switch", "signal"),
        server.safety.lock_biases,
    )
    for step in steps:
        with pytest.raises(SafetyError, match="latched in its safe state: interlock open; look"):
            step()
    assert paper.calls == []
    with pytest.raises(SafetyError, match="can only be armed by an operator; give a name"):
        server.safety.rearm("  ")
    server.safety.rearm("operator")
    server.safety.switch_on_laser("laser", 1e-3)
    assert paper.lit("laser") == 1e-3


def test_rearm_names_the_instrument_when_one_is_not_safe(server: Bench, paper: Paper) -> None:
    server.make_safe()
    paper.state["attenuator", "shutter"] = True
    with pytest.raises(SafetyError, match="cannot be armed: attenuator closed or not in the safe"):
        server.safety.rearm("operator")


def test_safe_state_disarms_generators_and_digitisers(server: Bench, paper: Paper) -> None:
    paper.state["weight_generator", "armed"] = Trigger.EXTERNAL
    paper.state["return_digitiser", "armed"] = Trigger.EXTERNAL
    assert server.get("weight_generator", WaveformGenerator).is_armed()
    server.make_safe()
    assert paper.state["weight_generator", "armed"] is None
    assert paper.state["return_digitiser", "armed"] is None


@pytest.mark.parametrize(
    "call",
    [
        "laser._set_power",
        "laser._is_settled",
        "return_oscillator._get_power",
        "weight_bias._lock_to",
        "oscillator_power_meter._get_power",
        "launch_power_meter._get_power",
    ],
)
def test_everything_goes_off_when_an_instrument_fails(
    server: Bench, paper: Paper, call: str
) -> None:
    server.safety.switch_on_laser("laser", 1e-3)
    server.safety.close("laser")
    paper.fail_once = call
    with pytest.raises(InstrumentError, match=call.partition(".")[0]):
        server.safety.switch_on(PLAN)
    _assert_off(server, paper)


def test_everything_goes_off_when_the_attenuator_fails_half_way(
    server: Bench, paper: Paper
) -> None:
    server.safety.switch_on(PLAN)
    paper.fail_once = "attenuator._set_attenuation_db"
    with pytest.raises(InstrumentError, match="attenuator: no answer to _set_attenuation_db"):
        server.safety.open_attenuator("attenuator", 15.0)
    _assert_off(server, paper)


def test_everything_goes_off_when_a_setting_is_not_applied(server: Bench, paper: Paper) -> None:
    paper.stuck = {"return_oscillator._set_power"}
    with pytest.raises(InstrumentError, match="return_oscillator: power was set to"):
        server.safety.switch_on(PLAN)
    _assert_off(server, paper)


def test_everything_goes_off_when_the_monitor_sees_more_than_the_laser_says(
    server: Bench, paper: Paper
) -> None:
    paper.seen_w["oscillator_power_meter"] = lambda: paper.lit("return_oscillator") / 50
    with pytest.raises(SafetyError, match=r"oscillator_power_meter: sees light of 0\.0002 W from"):
        server.safety.switch_on(PLAN)
    _assert_off(server, paper)


def test_everything_goes_off_when_a_power_meter_reads_more_than_it_stands(
    server: Bench, paper: Paper
) -> None:
    paper.seen_w["launch_power_meter"] = lambda: paper.lit("laser")
    with pytest.raises(SafetyError, match=r"launch_power_meter: reads 0\.00604 W, above its ceili"):
        server.safety.switch_on(PLAN)
    _assert_off(server, paper)


@pytest.mark.parametrize("noise_w", [9e-10, -9e-10])
def test_noise_of_a_dark_monitor_is_no_light(server: Bench, paper: Paper, noise_w: float) -> None:
    paper.seen_w["oscillator_power_meter"] = lambda: paper.lit("return_oscillator") / 100 + noise_w
    server.safety.switch_on(PLAN)
    assert paper.lit("return_oscillator") == 5e-3


def test_everything_goes_off_when_a_monitor_sees_light_of_a_laser_that_is_off(
    server: Bench, paper: Paper
) -> None:
    paper.seen_w["oscillator_power_meter"] = lambda: 1.1e-9
    with pytest.raises(
        SafetyError, match=r"of 1\.1e-07 W from return_oscillator, which reads back"
    ):
        server.safety.check()
    _assert_off(server, paper)


def test_a_monitor_that_sees_a_little_more_counts_for_the_ceiling(
    server: Bench, paper: Paper
) -> None:
    # 12.4 mW - 4 dB is 4.94 mW of 5 mW; with what the monitor sees, 5 % more, it is too much.
    paper.seen_w["oscillator_power_meter"] = lambda: paper.lit("return_oscillator") * 0.0105
    server.safety.switch_on_laser("laser", 1e-3)
    with pytest.raises(
        SafetyError, match=r"return_digitiser: return_oscillator at 0\.0124 W could"
    ):
        server.safety.switch_on_laser("return_oscillator", 12.4e-3)
    _assert_off(server, paper)


def test_everything_goes_off_when_a_bias_does_not_lock(server: Bench, paper: Paper) -> None:
    paper.stuck = {"weight_bias._lock_to"}
    with pytest.raises(InstrumentError, match="channel 0 did not lock to its null within 10 s"):
        server.safety.switch_on(PLAN)
    _assert_off(server, paper)
    assert server.clock.now() == pytest.approx(10.0, abs=0.2)


def test_check_switches_everything_off_when_the_seed_is_lost(client: Bench, paper: Paper) -> None:
    client.safety.open_switch("signal_switch", "signal")
    client.safety.switch_on_pump("amplifier", 3.0)
    client.safety.check()
    paper.seen_w["amplifier"] = lambda: 0.0
    with pytest.raises(SafetyError, match="amplifier"):
        client.safety.check()
    _assert_off(client, paper)


def test_make_safe_tries_all_others_when_one_does_not_obey(server: Bench, paper: Paper) -> None:
    server.safety.switch_on(PLAN)
    paper.fail = {"attenuator._set_shutter", "laser._get_emission"}
    with pytest.raises(SafetyError) as caught:
        server.make_safe()
    text = str(caught.value)
    assert text.startswith("the bench is NOT safe, 2 instruments did not reach the safe state: ")
    assert "attenuator: could not be made safe: attenuator: no answer to _set_shutter" in text
    assert "laser: could not be made safe: laser: no answer to _get_emission" in text
    assert text.endswith("Use the key switch or the interlock, not the software")
    paper.fail = set()
    assert paper.lit("return_oscillator") == 0
    assert paper.lit("laser") == 0
    assert server.get("return_switch", Switch).is_safe()
    assert server.safety.is_latched


def test_make_safe_asks_once_more_when_an_instrument_fails_once(
    server: Bench, paper: Paper
) -> None:
    server.safety.switch_on(PLAN)
    paper.fail_once = "laser._set_emission"
    server.make_safe()
    _assert_off(server, paper)


def test_make_safe_finishes_before_an_interruption_goes_on(server: Bench, paper: Paper) -> None:
    server.safety.switch_on(PLAN)
    paper.error = KeyboardInterrupt
    paper.fail_once = "attenuator._set_shutter"
    with pytest.raises(KeyboardInterrupt):
        server.make_safe()
    _assert_off(server, paper)


def test_make_safe_from_elsewhere_ends_a_ramp(server: Bench, paper: Paper) -> None:
    def stop() -> None:
        if paper.calls.count("laser._set_power") == 3 and not server.safety.is_latched:
            server.make_safe("emergency stop")

    paper.after_call = stop
    with pytest.raises(SafetyError, match="latched in its safe state: emergency stop"):
        server.safety.switch_on(PLAN)
    paper.after_call = lambda: None
    _assert_off(server, paper)
    assert "return_oscillator._set_power" not in paper.calls
    assert paper.calls.count("laser._set_power") == 3
    with pytest.raises(
        SafetyError, match=r"^the bench is latched in its safe state: emergency sto"
    ):
        server.safety.lock_biases()


def test_make_safe_reads_all_back_at_the_end(server: Bench, paper: Paper) -> None:
    def spring_open() -> None:
        if paper.calls[-1] == "laser._set_emission":
            paper.state["attenuator", "shutter"] = True

    paper.after_call = spring_open
    with pytest.raises(SafetyError, match="attenuator: its readback is not the safe state"):
        server.make_safe()
    paper.after_call = lambda: None


def test_switch_off_leaves_the_bench_armed(server: Bench, paper: Paper) -> None:
    server.safety.switch_on(PLAN)
    server.safety.switch_off()
    assert server.safety.is_safe()
    assert not server.safety.is_latched
    assert paper.lit("laser") == 0
