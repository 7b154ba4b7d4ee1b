"""A bench: from file and registry to instruments; opening, closing, and what goes wrong there."""

from typing import Any

import pytest

from drivers.bench import Bench, ModelRegistry, parse_bench
from drivers.errors import ConfigurationError, InstrumentError, SafetyError
from drivers.instruments import Attenuator, Laser, LaserLimits
from tests.unit.drivers.bench.paper_bench import (
    MODELS,
    Paper,
    client_table,
    paper_bench,
    paper_registry,
    server_table,
)
from tests.wire.scripted import ScriptedClock


def _build_error(table: dict[str, Any]) -> str:
    with pytest.raises(ConfigurationError) as caught:
        paper_bench(table, Paper())
    return str(caught.value)


def test_build_gives_narrowed_limits_and_the_clock_to_the_instruments() -> None:
    table = server_table()
    table["instruments"]["laser"]["limits"] = {"power_dbm_max": 10.0}
    clock = ScriptedClock()
    file = parse_bench(table, "bench file paper.toml")
    bench = Bench.build(file, paper_registry(Paper(), clock))
    limits = bench.get("laser", Laser).limits
    assert isinstance(limits, LaserLimits)
    assert limits.power_w.highest == pytest.approx(10e-3)
    assert bench.get("laser", Laser).name == "laser"
    assert (bench.clock, bench.file, bench.simulated) == (clock, file, file.simulated)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("lasr", "'lasr', which backend 'sim' does not know; did you mean laser?"),
        (
            "zzz",
            "'zzz', which backend 'sim' does not know; Laser models known there are laser",
        ),
        ("switch", "'switch', of kind Switch; this role needs kind Laser, known are laser"),
    ],
)
def test_build_names_the_known_models_when_one_is_unknown(model: str, message: str) -> None:
    table = server_table()
    table["instruments"]["laser"]["model"] = model
    start = "bench file paper.toml: instruments.laser.model is "
    assert _build_error(table) == start + message


def test_build_names_the_file_when_a_limit_is_impossible() -> None:
    table = server_table()
    table["instruments"]["laser"]["limits"] = {"power_dbm_max": 30.0}
    start = "bench file paper.toml: instruments.laser.limits.power_dbm_max is 30 dBm, outside"
    assert _build_error(table).startswith(start)


def test_build_names_the_role_when_a_factory_refuses_a_setting() -> None:
    registry = ModelRegistry(ScriptedClock())
    for name, (maker, limits) in MODELS.items():

        def refuse(entry: Any, context: Any) -> Any:
            raise ConfigurationError("unknown setting linewidth; known are linewidth_hz")

        registry.register("sim", name, maker.__mro__[2], refuse, limits=limits)
    with pytest.raises(ConfigurationError) as caught:
        Bench.build(parse_bench(server_table(), "bench file paper.toml"), registry)
    assert str(caught.value) == (
        "bench file paper.toml: instruments.laser: unknown setting linewidth; known are "
        "linewidth_hz"
    )


def test_register_refuses_a_model_that_is_known_already() -> None:
    registry = paper_registry(Paper())
    maker, limits = MODELS["laser"]
    with pytest.raises(ConfigurationError, match="model 'laser' of backend 'sim' is registered tw"):
        registry.register("sim", "laser", Laser, maker, limits=limits)


def test_get_says_what_there_is_when_a_role_is_empty_or_of_another_kind() -> None:
    bench = paper_bench(server_table(), Paper())
    with pytest.raises(ConfigurationError, match="role amplifier is empty, kind Laser is needed"):
        bench.get("amplifier", Laser)
    with pytest.raises(ConfigurationError, match="laser is filled by a laser, kind Attenuator is"):
        bench.get("laser", Attenuator)
    assert bench.has("laser")
    assert not bench.has("amplifier")


def test_open_makes_the_attenuator_safe_before_any_laser_is_touched() -> None:
    paper = Paper()
    bench = paper_bench(server_table(), paper)
    with bench:
        opened = [call.partition(".")[0] for call in paper.calls if call.endswith("._open")]
        assert opened[:4] == ["attenuator", "return_switch", "return_oscillator", "laser"]
        assert sorted(opened) == sorted(bench.instruments)
        assert bench.safety.is_safe()
        assert bench.safety.is_latched
    assert not any(instrument.is_open for instrument in bench.instruments.values())
    bench.close()


def test_open_closes_what_was_opened_when_one_instrument_does_not_answer() -> None:
    paper = Paper(fail={"weight_generator._open"})
    bench = paper_bench(server_table(), paper)
    with pytest.raises(InstrumentError, match="weight_generator: no answer to _open"):
        bench.open()
    assert not any(instrument.is_open for instrument in bench.instruments.values())
    assert "laser._close" in paper.calls


def test_open_shows_both_serial_numbers_when_another_instrument_answers() -> None:
    table = server_table()
    table["instruments"]["laser"]["serial"] = "42"
    bench = paper_bench(table, Paper())
    with pytest.raises(InstrumentError) as caught:
        bench.open()
    assert str(caught.value) == (
        "laser: at sim://laser answers 'paper PaperLaser 1 0', but instruments.laser.serial is "
        "'42'; two addresses may be exchanged"
    )
    assert not any(instrument.is_open for instrument in bench.instruments.values())


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt, SystemExit])
def test_bench_is_safe_and_closed_when_the_body_raises(error: type[BaseException]) -> None:
    paper = Paper()
    bench = paper_bench(server_table(), paper)

    def body() -> None:
        with bench:
            bench.safety.rearm("me")
            bench.safety.switch_on_laser("laser", 1e-3)
            assert paper.lit("laser") > 0
            raise error

    with pytest.raises(error):
        body()
    assert paper.lit("laser") == 0
    assert not any(instrument.is_open for instrument in bench.instruments.values())


def test_bench_raises_safety_error_with_the_cause_when_it_cannot_be_made_safe() -> None:
    paper = Paper()
    bench = paper_bench(client_table(), paper)

    def body() -> None:
        with bench:
            bench.safety.rearm("me")
            bench.safety.switch_on_laser("oscillator", 1e-3)
            paper.stuck = {"oscillator._set_emission", "signal_switch._select"}
            paper.state["signal_switch", "position"] = "signal"
            raise ZeroDivisionError

    with pytest.raises(SafetyError) as caught:
        body()
    text = str(caught.value)
    assert text.startswith("the bench is NOT safe, 2 instruments did not reach the safe state: ")
    assert "oscillator: its readback is not the safe state" in text
    assert "signal_switch: its readback is not the safe state" in text
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert not any(instrument.is_open for instrument in bench.instruments.values())


def test_close_reports_a_lost_link_when_the_bench_is_safe() -> None:
    paper = Paper()
    bench = paper_bench(server_table(), paper)
    bench.open()
    paper.fail = {"laser._close"}
    with pytest.raises(InstrumentError, match="laser: is safe, but disconnecting failed"):
        bench.close()
    assert not any(instrument.is_open for instrument in bench.instruments.values())
