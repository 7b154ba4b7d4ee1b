"""The driver of the Koheras BASIK against the published telegrams."""

from collections.abc import Callable
from typing import Any

import pytest

from drivers.catalogue import DriverModel
from drivers.errors import (
    AnswerError,
    ConfigurationError,
    InstrumentError,
    LimitError,
    LinkTimeoutError,
    ReadbackError,
    RefusedError,
)
from drivers.instruments import LaserLimits, Range
from drivers.lasers.nkt_koheras_basik import MODELS, BasikSettings, NktKoherasBasik
from sim_backend.instruments import SimulatedBench
from sim_backend.wire.dialects.interbus import frame
from sim_backend.wire.twins.nkt_koheras_basik import NktKoherasTwin
from tests.wire.built import from_bench_file
from tests.wire.rigs import loopback_link
from tests.wire.scripted import Script

_LIMITS = LaserLimits(
    power_w=Range(lowest=1e-3, highest=40e-3),
    wavelength_m=Range(lowest=1540e-9, highest=1560e-9),
)
Turn = tuple[int, bytes, int, int, bytes]
_PUBLISHED = {
    "type": ("0D 01 A1 04 61 4C 5B 0A", "0D A1 01 08 61 33 61 0B 0A"),
    "on": ("0D 01 A2 05 30 01 53 0B 0A", "0D A2 01 03 30 53 2E 0A"),
    "off": ("0D 01 A1 05 30 00 D8 F6 0A", ""),
}


def _read(register: int, answer: str, kind: int = 8, address: int = 1) -> Turn:
    return 4, b"", address, register, bytes((kind,)) + bytes.fromhex(answer)


def _write(register: int, data: str, kind: int = 3, address: int = 1) -> Turn:
    return 5, bytes.fromhex(data), address, register, bytes((kind,))


def _pairs(turns: list[Turn]) -> list[tuple[bytes, bytes]]:
    """The telegrams, the host's addresses 161 and 162 in turn towards each module."""
    counts: dict[int, int] = {}
    found = []
    for kind, data, address, register, answer in turns:
        host = 161 + counts.get(address, 0) % 2
        counts[address] = counts.get(address, 0) + 1
        sent = frame(address, host, kind, register, data)
        said = frame(host, address, answer[0], register, answer[1:]) if answer[0] < 99 else b""
        found.append((sent, said))
    return found


_SILENT = 99
_STANDARD = (15_501_200).to_bytes(4, "little").hex()
_GREETING = [
    _read(0x61, "33"),
    _read(0x65, b"K1234567\0".hex()),
    _read(0x31, "0000"),
    _read(0x32, _STANDARD),
]
_OFF = [_write(0x30, "00"), _read(0x30, "00"), _read(0x66, "0000")]


def _laser(script: Script, **own: Any) -> NktKoherasBasik:
    return NktKoherasBasik("laser", limits=_LIMITS, link=script.link(), clock=script.clock, **own)


def _run(
    turns: list[Turn],
    body: Callable[[NktKoherasBasik], object],
    *,
    greeting: list[Turn] | None = None,
    **own: Any,
) -> None:
    begin = _GREETING if greeting is None else greeting
    script = Script(_pairs([*begin, *_OFF, *turns, *_OFF]))
    with _laser(script, **own) as laser:
        body(laser)
    script.finish()


def test_basik_greets_and_is_dark_when_opened() -> None:
    def body(laser: NktKoherasBasik) -> None:
        assert laser.identity.text == "NKT Photonics Koheras BASIK K1x2 K1234567 unknown"
        assert not laser.simulated

    _run([], body)


def test_basik_sends_the_published_telegrams_when_switched_on_and_off() -> None:
    turns = [_write(0x30, "01"), _read(0x66, "0100"), _read(0x30, "01")]
    pairs = _pairs([*_GREETING, *_OFF, *turns, *_OFF])
    published = {
        name: tuple(bytes.fromhex(text) for text in both) for name, both in _PUBLISHED.items()
    }
    assert pairs[0] == published["type"]
    assert pairs[4][0] == published["off"][0]
    assert pairs[7] == published["on"]
    _run(turns, lambda laser: laser.set_emission(True))


@pytest.mark.parametrize("status", ["0200", "0280"])
def test_basik_is_dark_and_says_so_when_its_interlock_is_open(status: str) -> None:
    def body(laser: NktKoherasBasik) -> None:
        with pytest.raises(RefusedError, match=r"laser: set emission on.*interlock is open"):
            laser.set_emission(True)

    _run([_write(0x30, "01"), _read(0x66, status), *_OFF], body)


def test_basik_says_what_its_status_says_when_it_refuses() -> None:
    turns = [_write(0x30, "01", kind=0), _read(0x66, "0280"), _read(0x67, "02"), *_OFF]

    def body(laser: NktKoherasBasik) -> None:
        with pytest.raises(
            RefusedError, match=r"module 1 refused 1 for register 0x30: the interlock.*error 2"
        ):
            laser.set_emission(True)

    _run(turns, body)


def test_basik_sets_power_in_hundredths_of_milliwatts_when_asked() -> None:
    turns = [_write(0x22, "E803"), _read(0x22, "E803")]
    _run(turns, lambda laser: laser.set_power(10e-3))


def test_basik_blames_the_value_when_it_refuses_in_good_health() -> None:
    turns = [_write(0x22, "A00F", kind=0), _read(0x66, "0000"), _read(0x67, "00"), *_OFF]

    def body(laser: NktKoherasBasik) -> None:
        with pytest.raises(RefusedError, match="value is out of its range"):
            laser.set_power(40e-3)

    _run(turns, body)


def test_basik_sets_an_offset_from_its_standard_wavelength_when_tuned() -> None:
    def body(laser: NktKoherasBasik) -> None:
        laser.set_wavelength(1550.11e-9)
        assert laser.wavelength_m() == pytest.approx(1550.11e-9, abs=1e-16)

    _run([_write(0x2A, "9CFF"), _read(0x2A, "9CFF"), _read(0x2A, "9CFF")], body)


def test_basik_refuses_when_the_wavelength_is_beyond_its_tuning() -> None:
    def body(laser: NktKoherasBasik) -> None:
        with pytest.raises(LimitError, match=r"0\.3100 nm from .*1550\.1200 nm.*0\.3 nm"):
            laser.set_wavelength(1550.43e-9)

    _run(_OFF, body)


def test_basik_finds_out_when_an_offset_is_not_taken() -> None:
    def body(laser: NktKoherasBasik) -> None:
        with pytest.raises(ReadbackError, match="wavelength"):
            laser.set_wavelength(1550.11e-9)

    _run([_write(0x2A, "9CFF"), _read(0x2A, "0000"), *_OFF], body)


@pytest.mark.parametrize(
    ("status", "offset", "output", "settled"),
    [
        ("0100", "9CFFFFFF", "E703", True),
        ("0000", "", "", False),
        ("4100", "", "", False),
        ("0100", "A2FFFFFF", "E703", False),
        ("0100", "9CFFFFFF", "D303", False),
    ],
)
def test_basik_is_settled_when_wavelength_and_power_have_arrived(
    status: str, offset: str, output: str, settled: bool
) -> None:
    turns = [_read(0x66, status)]
    if offset:
        turns += [_read(0x2A, "9CFF"), _read(0x72, offset), _read(0x22, "E803")]
        turns += [_read(0x17, output)]

    def body(laser: NktKoherasBasik) -> None:
        assert laser.is_settled() is settled

    _run(turns, body)


def test_basik_is_taken_to_emit_when_its_status_says_so() -> None:
    def body(laser: NktKoherasBasik) -> None:
        assert laser.emission()

    _run([_read(0x30, "00"), _read(0x66, "0100")], body)


def test_basik_waits_when_it_is_busy_and_sends_again_when_a_telegram_was_damaged() -> None:
    turns = [_write(0x22, "E803", kind=2), _write(0x22, "E803", kind=1), _write(0x22, "E803")]
    _run([*turns, _read(0x22, "E803")], lambda laser: laser.set_power(10e-3))


def test_basik_gives_up_when_it_is_busy_for_long() -> None:
    def body(laser: NktKoherasBasik) -> None:
        with pytest.raises(InstrumentError, match="module 1 is busy for 2 s"):
            laser.set_power(10e-3)

    _run([*[_write(0x22, "E803", kind=2)] * 20, *_OFF], body)


def _at(hosts: str, turns: list[Turn]) -> list[tuple[bytes, bytes]]:
    """Telegrams to module 1 with the last digits of the host's addresses."""
    found = []
    for digit, (kind, data, _, register, answer) in zip(hosts, turns, strict=True):
        host = 160 + int(digit)
        said = frame(host, 1, answer[0], register, answer[1:]) if answer[0] != _SILENT else b""
        found.append((frame(1, host, kind, register, data), said))
    return found


def test_basik_is_asked_again_when_no_answer_comes() -> None:
    begin = _at("1212121", [*_GREETING, *_OFF])
    again = _at("2", [_read(0x22, "", kind=_SILENT)]) + _at("1212", _GREETING)
    rest = _at("2121", [_read(0x22, "E803"), *_OFF])
    script = Script([*begin, *again, *rest])
    with _laser(script) as laser:
        assert laser.power_w() == pytest.approx(10e-3)
    script.finish()


def test_basik_is_not_ordered_again_when_no_answer_comes() -> None:
    begin = _at("1212121", [*_GREETING, *_OFF])
    lost = _at("2", [_write(0x22, "E803", kind=_SILENT)]) + _at("2121", _GREETING)
    rest = _at("121", _OFF) + _at("212", _OFF)
    script = Script([*begin, *lost, *rest])
    with (
        pytest.raises(LinkTimeoutError, match=r"laser: set power.*no complete answer"),
        _laser(script) as laser,
    ):
        laser.set_power(10e-3)
    script.finish()


def test_basik_leaves_out_an_answer_when_it_is_late() -> None:
    pairs = _pairs([*_GREETING, *_OFF, _read(0x22, "E803"), *_OFF])
    at = len(_GREETING) + len(_OFF)
    sent, answer = pairs[at]
    pairs[at] = (sent, frame(161, 1, 8, 0x66, b"\1\0") + answer)
    script = Script(pairs)
    with _laser(script) as laser:
        assert laser.power_w() == pytest.approx(10e-3)
    script.finish()


def test_basik_shows_the_bytes_when_an_answer_is_garbage() -> None:
    garbage = b"\x0d\xa1\x01\x08\x22\x12\x34\x0a"
    asked = frame(1, 162, 4, 0x22)
    begin = [*_at("1212121", [*_GREETING, *_OFF]), (asked, garbage)]
    again = [*_at("1212", _GREETING), (asked, garbage)]
    # Its host address was taken before the link was cleaned.
    closing = [*_at("2121", _GREETING), *_at("121", _OFF)]
    script = Script([*begin, *again, *closing])
    with (
        pytest.raises(AnswerError, match=r"laser: power\?.*0d a1 01 08 22 12 34"),
        _laser(script) as laser,
    ):
        laser.power_w()
    script.finish()


@pytest.mark.parametrize(("kind", "found"), [("21", "0x21"), ("34", "0x34")])
def test_basik_refuses_when_another_module_answers(kind: str, found: str) -> None:
    script = Script(_pairs([_read(0x61, kind)]))
    with pytest.raises(InstrumentError, match=f"laser: a Koheras BASIK .*0x33.*type {found}"):
        _laser(script).open()
    script.finish()


def test_basik_refuses_when_it_regulates_its_current() -> None:
    script = Script(_pairs([*_GREETING[:2], _read(0x31, "0001")]))
    with pytest.raises(InstrumentError, match="constant-current mode"):
        _laser(script).open()
    script.finish()


def test_basik_refuses_when_the_mainframe_is_none() -> None:
    script = Script(_pairs([*_GREETING[:2], _read(0x61, "33", address=0x80)]))
    with pytest.raises(InstrumentError, match=r"mainframe .* type 0x33 answers"):
        _laser(script, settings=BasikSettings(mainframe=0x80)).open()
    script.finish()


def test_basik_is_dark_when_the_interlock_of_its_mainframe_is_open() -> None:
    greeting = [*_GREETING[:2], _read(0x61, "34", address=0x80), *_GREETING[2:]]
    turns = [_write(0x30, "01"), _read(0x66, "0100"), _read(0x66, "0800", address=0x80), *_OFF]

    def body(laser: NktKoherasBasik) -> None:
        with pytest.raises(RefusedError, match="interlock is open"):
            laser.set_emission(True)

    _run(turns, body, greeting=greeting, settings=BasikSettings(mainframe=0x80))


@pytest.mark.parametrize("settings", [{"tuning_m": 4e-9}, {"tuning_m": -1e-9}, {"mainframe": 161}])
def test_basik_settings_are_refused_when_out_of_range(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="it must be"):
        BasikSettings(**settings)


def test_basik_settles_and_is_known_as_a_twin_when_on_its_twin() -> None:
    bench = SimulatedBench()
    source = bench.scene.server_laser
    twin = NktKoherasTwin(clock=bench.clock, serial="SIM3", lasers={1: source})
    link = loopback_link(twin, bench.clock, line=True)
    with NktKoherasBasik("laser", limits=_LIMITS, link=link, clock=bench.clock) as laser:
        laser.set_power(20e-3)
        laser.set_wavelength(1550.2e-9)
        laser.set_emission(True)
        assert not laser.is_settled()
        laser.wait_settled(60.0)
        assert laser.simulated
        assert source.power_w() == pytest.approx(20e-3, rel=0.02)
        assert source.wavelength_m() == pytest.approx(1550.2e-9, abs=1e-12)
        twin.set_interlock(False)
        assert not laser.emission()


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.model)
def test_basik_is_made_from_a_bench_file_when_its_settings_are_good(model: DriverModel) -> None:
    assert isinstance(from_bench_file(model, settings={"tuning_m": 1e-9}), NktKoherasBasik)
    with pytest.raises(ConfigurationError, match=r"tuning_m is 1\.0"):
        from_bench_file(model, settings={"tuning_m": 1.0})


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.model)
def test_basik_is_found_when_it_is_probed(model: DriverModel) -> None:
    script = Script(_pairs(_GREETING[:2]))
    link = script.link(chatty=True)
    link.attach("probe", lambda: None)
    assert model.probe is not None
    assert model.probe(link).serial == "K1234567"
    script.finish()


def test_basik_refuses_when_its_serial_number_is_no_text() -> None:
    script = Script(_pairs([_read(0x61, "33"), _read(0x65, "4BFF33")]))
    with pytest.raises(AnswerError, match=r"laser: open: .*a serial number, got 4b ff 33"):
        _laser(script).open()
    script.finish()


def test_basik_shows_the_bytes_when_a_number_has_another_size() -> None:
    def body(laser: NktKoherasBasik) -> None:
        with pytest.raises(AnswerError, match="2 bytes in register 0x22, got e8"):
            laser.power_w()

    _run([_read(0x22, "E8")], body)
