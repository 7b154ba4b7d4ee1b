"""The driver of the PPCL550 against the published dialogue of the module."""

from collections.abc import Callable
from typing import Any

import pytest

from drivers.catalogue import DriverModel
from drivers.dialects.itla import ItlaError
from drivers.errors import (
    AnswerError,
    ConfigurationError,
    InstrumentError,
    LimitError,
    LinkError,
    LinkTimeoutError,
    ReadbackError,
)
from drivers.instruments import LaserLimits, Range
from drivers.lasers.pure_photonics_ppcl550 import (
    MODELS,
    ItlaSettings,
    NoiseMode,
    PurePhotonicsPPCL550,
)
from sim_backend.instruments import SimulatedBench
from sim_backend.wire.twins.pure_photonics_ppcl550 import PurePhotonicsPPCL550Twin
from tests.wire.built import from_bench_file
from tests.wire.pure_photonics_ppcl550 import sealed
from tests.wire.rigs import loopback_link
from tests.wire.scripted import Script, ScriptedLine

_LIGHT_M_S = 299792458.0
_LIMITS = LaserLimits(
    power_w=Range(lowest=5e-3, highest=25e-3),
    wavelength_m=Range(lowest=1520e-9, highest=1570e-9),
)
Pair = tuple[bytes, bytes]


def _ask(register: int, value: int, *, status: int = 0, mark: int = 4) -> Pair:
    return sealed(0, register, 0), sealed(mark | status, register, value & 0xFFFF)


def _put(register: int, value: int, *, status: int = 0) -> Pair:
    value &= 0xFFFF
    return sealed(1, register, value), sealed(4 | status, register, value)


def _echo(sent: str) -> bytes:
    """The same with status 0."""
    packet = bytes.fromhex(sent)
    return sealed(4, packet[1], int.from_bytes(packet[2:], "big"))


def _hex(*pairs: tuple[str, str]) -> list[Pair]:
    return [(bytes.fromhex(sent), bytes.fromhex(answer)) for sent, answer in pairs]


def _text(register: int, text: str) -> list[Pair]:
    data = text.encode() + b"\0"
    data += bytes(len(data) % 2)
    pieces = [int.from_bytes(data[at : at + 2], "big") for at in range(0, len(data), 2)]
    return [_ask(register, len(data), status=2), *(_ask(0x0B, piece) for piece in pieces)]


_ZEROS = [(b"\0", b"")] * 3 + [(b"\0", bytes.fromhex("54000010"))]
_NOP = _hex(("00 00 00 00", "54 00 00 10"))
_ALIGNED = [_ask(0x20, 0)]
_OFF = [(bytes.fromhex("01320000"), sealed(4, 0x32, 0)), _ask(0x32, 0)]
_DARK = [_ask(0x32, 0)]
_LIT = [_ask(0x32, 8)]


def _strings(kind: str = "CW ITLA", serial: str = "CRTN12") -> list[Pair]:
    found = _text(1, kind) + _text(2, "Pure Photonics") + _text(3, "PPCL550")
    return found + _text(4, serial) + _text(6, "1.30")


def _greeting(
    *, in_mhz: bool = True, kind: str = "CW ITLA", serial: str = "CRTN12", fine_mhz: int = 30000
) -> list[Pair]:
    strings = _strings(kind, serial)
    if kind != "CW ITLA":
        return [*_ZEROS, *_ALIGNED, *_NOP, *strings]
    refused = [_ask(0x67, 0, status=1), (bytes(4), sealed(4, 0, 0x0011))]
    own = [_ask(0x67, 0)] if in_mhz else refused
    own += [_ask(0x4F, fine_mhz), _ask(0x4F, fine_mhz), _ask(0x50, 700), _ask(0x51, 1350)]
    for first, last in (((0x52, 191), (0x53, 5000)), ((0x54, 196), (0x55, 2500))):
        own += [_ask(*first), _ask(*last)]
        own += [_ask(0x69 if first[0] == 0x52 else 0x6A, 0)] if in_mhz else []
    return [*_ZEROS, *_ALIGNED, *_NOP, *strings, *own]


def _laser(script: Script, **own: Any) -> PurePhotonicsPPCL550:
    return PurePhotonicsPPCL550(
        "laser", limits=_LIMITS, link=script.link(), clock=script.clock, **own
    )


def _run(
    pairs: list[Pair],
    body: Callable[[PurePhotonicsPPCL550], object],
    *,
    greeting: list[Pair] | None = None,
    closing: list[Pair] | None = None,
    **own: Any,
) -> None:
    begin = (_greeting() if greeting is None else greeting) + _OFF
    script = Script([*begin, *pairs, *(_OFF if closing is None else closing)])
    with _laser(script, **own) as laser:
        body(laser)
    script.finish()


def test_itla_greets_and_is_dark_when_opened() -> None:
    def body(laser: PurePhotonicsPPCL550) -> None:
        assert laser.identity.text == "Pure Photonics PPCL550 CRTN12 1.30"
        assert not laser.simulated

    _run([], body)


def test_itla_is_known_as_a_twin_when_its_serial_number_says_so() -> None:
    _run([], lambda laser: _true(laser.simulated), greeting=_greeting(serial="SIM550"))


def _true(value: bool) -> None:
    assert value


def test_itla_sets_the_published_power_when_asked() -> None:
    pairs = _hex(("61 31 03 E8", "34 31 03 E8"), ("20 31 00 00", "34 31 03 E8"))
    _run(pairs, lambda laser: laser.set_power(10e-3))


def test_itla_takes_both_forms_of_answers_when_bit_two_varies() -> None:
    pairs = _hex(("61 31 03 E8", "70 31 03 E8"), ("20 31 00 00", "70 31 03 E8"))
    _run(pairs, lambda laser: laser.set_power(10e-3))


def test_itla_sets_the_published_frequency_when_dark() -> None:
    pairs = [*_DARK, _ask(0x62, 0)]
    published = ("91 35 00 C2", "81 36 06 D7", "81 67 00 19", "31 30 00 01")
    pairs += [(bytes.fromhex(one), _echo(one)) for one in published]
    pairs += [_ask(0x35, 194), _ask(0x36, 1751), _ask(0x67, 25), _ask(0x30, 1), _ask(0x62, 0)]
    _run(pairs, lambda laser: laser.set_wavelength(_LIGHT_M_S / 194.175125e12))


def test_itla_clears_the_fine_tuning_when_it_takes_a_new_channel() -> None:
    pairs = [*_DARK, _ask(0x62, -500), _put(0x62, 0), _put(0x35, 194), _put(0x36, 0)]
    pairs += [_put(0x67, 0), _put(0x30, 1)]
    pairs += [_ask(0x35, 194), _ask(0x36, 0), _ask(0x67, 0), _ask(0x30, 1), _ask(0x62, 0)]
    _run(pairs, lambda laser: laser.set_wavelength(_LIGHT_M_S / 194e12))


def test_itla_rounds_to_tenths_of_gigahertz_when_it_has_no_register_for_less() -> None:
    pairs = [*_DARK, _ask(0x62, 0), _put(0x35, 194), _put(0x36, 1751), _put(0x30, 1)]
    pairs += [_ask(0x35, 194), _ask(0x36, 1751), _ask(0x30, 1), _ask(0x62, 0)]
    _run(
        pairs,
        lambda laser: laser.set_wavelength(_LIGHT_M_S / 194.175125e12),
        greeting=_greeting(in_mhz=False),
    )


def test_itla_reads_the_grid_when_another_program_has_chosen_a_channel() -> None:
    pairs = [_ask(0x35, 191), _ask(0x36, 5000), _ask(0x67, 0), _ask(0x30, 41), _ask(0x34, 500)]
    pairs += [_ask(0x62, -100)]

    def body(laser: PurePhotonicsPPCL550) -> None:
        frequency = _LIGHT_M_S / laser.wavelength_m()
        assert frequency == pytest.approx(191.5e12 + 40 * 50e9 - 100e6, abs=1.0)

    _run(pairs, body)


def test_itla_fine_tunes_when_lit() -> None:
    channel = [_ask(0x35, 194), _ask(0x36, 0), _ask(0x67, 0), _ask(0x30, 1)]
    pairs = [*_LIT, *channel, *_hex(("81 62 FE 0C", "D4 62 FE 0C")), *channel]
    pairs += _hex(("40 62 00 00", "D4 62 FE 0C"))
    _run(pairs, lambda laser: laser.set_wavelength(_LIGHT_M_S / 193.9995e12))


def test_itla_refuses_and_says_what_to_do_when_lit_and_the_target_is_far() -> None:
    channel = [_ask(0x35, 194), _ask(0x36, 0), _ask(0x67, 0), _ask(0x30, 1)]

    def body(laser: PurePhotonicsPPCL550) -> None:
        with pytest.raises(InstrumentError, match=r"at most 30 GHz.*not by 31 GHz.*off"):
            laser.set_wavelength(_LIGHT_M_S / 194.031e12)

    _run([*_LIT, *channel, *_OFF], body)


def test_itla_waits_for_pending_work_when_switched_on() -> None:
    pairs = _hex(
        ("81 32 00 08", "77 32 01 00"),
        ("10 32 00 00", sealed(4, 0x32, 8).hex()),
        ("00 00 00 00", "44 00 01 10"),
        ("00 00 00 00", "54 00 00 10"),
    )
    pairs += [*_LIT, _ask(0x21, 0)]
    pairs += [_hex(("60 42 00 00", "94 42 03 E6"))[0], _ask(0x31, 1000)]
    pairs += [_ask(0x35, 194), _ask(0x36, 1751), _ask(0x67, 0), _ask(0x30, 1), _ask(0x62, 0)]
    pairs += _hex(("40 40 00 00", "E4 40 00 C2"), ("50 41 00 00", "D4 41 06 D7"))
    pairs += [_ask(0x68, 0)]

    def body(laser: PurePhotonicsPPCL550) -> None:
        laser.set_emission(True)
        laser.wait_settled(10.0)

    _run(pairs, body)


@pytest.mark.parametrize(
    ("warning", "output", "settled"),
    [(0x0000, 950, True), (0x0000, 949, False), (0x0100, 1000, False), (0x0400, 1000, False)],
)
def test_itla_is_settled_when_power_and_frequency_are(
    warning: int, output: int, settled: bool
) -> None:
    pairs = [*_NOP, *_LIT, _ask(0x21, warning)]
    if not warning:
        pairs += [_ask(0x42, output), _ask(0x31, 1000)]
        pairs += [_ask(0x35, 194), _ask(0x36, 0), _ask(0x67, 0), _ask(0x30, 1), _ask(0x62, 0)]
        pairs += [_ask(0x40, 194), _ask(0x41, 0), _ask(0x68, 0)]
    _run(pairs, lambda laser: _true(laser.is_settled() is settled))


def test_itla_waits_and_sends_again_when_the_module_says_it_was_busy() -> None:
    pairs = [_put(0x31, 1000, status=1), (bytes(4), sealed(4, 0, 0x0114))]
    pairs += [(bytes(4), sealed(4, 0, 0x0114)), *_NOP, _put(0x31, 1000), _ask(0x31, 1000)]
    _run(pairs, lambda laser: laser.set_power(10e-3))


def test_itla_names_the_modules_error_when_a_value_is_refused() -> None:
    pairs = _hex(("41 31 05 46", "05 31 05 46"), ("00 00 00 00", "64 00 00 13"))

    def body(laser: PurePhotonicsPPCL550) -> None:
        with pytest.raises(ItlaError, match=r"laser: set power.*1350 to register 0x31: RVE"):
            laser.set_power(10**1.35 * 1e-3)

    _run([*pairs, *_OFF], body)


def test_itla_refuses_by_the_modules_own_limits_when_they_are_narrower() -> None:
    def body(laser: PurePhotonicsPPCL550) -> None:
        with pytest.raises(LimitError, match=r"laser: power .*13\.80 dBm.*7\.00 to 13\.50 dBm"):
            laser.set_power(24e-3)
        with pytest.raises(LimitError, match=r"wavelength 1\.57e-06 m.*191\.500000 to 196\.25"):
            laser.set_wavelength(1570e-9)

    _run([*_OFF, *_OFF], body)


def test_itla_finds_out_when_a_power_is_not_taken() -> None:
    pairs = [_put(0x31, 1000), _ask(0x31, 900), *_OFF]

    def body(laser: PurePhotonicsPPCL550) -> None:
        with pytest.raises(ReadbackError, match="power"):
            laser.set_power(10e-3)

    _run(pairs, body)


def test_itla_asks_for_the_last_answer_when_one_is_damaged() -> None:
    pairs = _hex(
        ("61 31 03 E8", "34 31 03 E9"),
        ("88 00 00 00", "34 31 03 E8"),
        ("20 31 00 00", "34 31 03 E8"),
    )
    _run(pairs, lambda laser: laser.set_power(10e-3))


def test_itla_sends_again_when_the_module_got_the_request_damaged() -> None:
    damaged = sealed(0x0D, 0x71, 0x03E8)
    pairs = [(bytes.fromhex("613103E8"), damaged), _put(0x31, 1000), _ask(0x31, 1000)]
    _run(pairs, lambda laser: laser.set_power(10e-3))


def test_itla_gives_up_when_requests_arrive_damaged_twice() -> None:
    damaged = sealed(0x0D, 0x31, 0x03E8)
    pair = (bytes.fromhex("613103E8"), damaged)

    def body(laser: PurePhotonicsPPCL550) -> None:
        with pytest.raises(LinkError, match="damaged, twice"):
            laser.set_power(10e-3)

    _run([pair, pair, *_OFF], body)


def test_itla_shows_the_bytes_and_cleans_the_link_when_answers_make_no_sense() -> None:
    garbage = bytes.fromhex("DEADBEEE")
    pairs = [(bytes.fromhex("613103E8"), garbage), (bytes.fromhex("88000000"), garbage)]

    def body(laser: PurePhotonicsPPCL550) -> None:
        with pytest.raises(AnswerError, match=r"laser: set power.*de ad be ee.*last good state"):
            laser.set_power(10e-3)

    _run([*pairs, *_greeting(), *_OFF], body)


def test_itla_does_not_send_an_order_again_when_no_answer_comes() -> None:
    pairs = [(bytes.fromhex("613103E8"), b""), *_greeting(), *_OFF]

    def body(laser: PurePhotonicsPPCL550) -> None:
        with pytest.raises(LinkTimeoutError, match="no complete answer"):
            laser.set_power(10e-3)

    _run(pairs, body)


def test_itla_refuses_when_another_kind_of_device_answers() -> None:
    script = Script(_greeting(kind="CW OTHER"))
    with pytest.raises(InstrumentError, match=r"laser: .*'CW ITLA'.*'CW OTHER' of Pure Photonics"):
        _laser(script).open()
    script.finish()


def test_itla_says_what_to_look_at_when_nothing_answers() -> None:
    script = Script([(b"\0", b"")] * 16)
    with pytest.raises(LinkError, match=r"zeros; check .*baud"):
        _laser(script).open()
    script.finish()


def test_itla_finds_the_boundary_when_the_module_holds_bytes_of_another_program() -> None:
    shifted = sealed(0x0D, 0xAD, 0)
    begin = [(b"\0", b""), (b"\0", shifted), *_ALIGNED]
    script = ScriptedLine([*begin, *_greeting()[5:], *_OFF, *_OFF])
    with _laser(script):
        pass
    script.finish()


def test_itla_looks_again_when_the_boundary_was_not_found_at_once() -> None:
    ask, _ = _ALIGNED[0]
    wrong = [*_ZEROS, (ask, sealed(0x0D, 0x20, 0))]
    script = Script([*wrong, *_greeting(), *_OFF, *_OFF])
    with _laser(script):
        pass
    script.finish()


def test_itla_goes_to_whisper_and_back_when_asked() -> None:
    whisper, dither = (bytes.fromhex(one) for one in ("A1 90 00 02", "81 90 00 00"))
    pairs = [(whisper, sealed(4, 0x90, 2)), _ask(0x90, 2), *_OFF]
    pairs += [_ask(0x90, 2), (dither, sealed(7, 0x90, 0x0100)), *_NOP, _put(0x32, 8), *_LIT]

    def body(laser: PurePhotonicsPPCL550) -> None:
        laser.set_noise_mode(NoiseMode.WHISPER)
        laser.make_safe()
        laser.set_emission(True)

    _run(pairs, body, noise_modes=True)


def test_itla_refuses_a_noise_mode_when_it_is_of_another_maker() -> None:
    def body(laser: PurePhotonicsPPCL550) -> None:
        with pytest.raises(InstrumentError, match="only modules of Pure Photonics"):
            laser.set_noise_mode(NoiseMode.WHISPER)

    _run([], body)


def _on_twin(**own: Any) -> tuple[PurePhotonicsPPCL550, SimulatedBench, PurePhotonicsPPCL550Twin]:
    bench = SimulatedBench()
    source = bench.scene.server_laser
    twin = PurePhotonicsPPCL550Twin(clock=bench.clock, serial="SIM1", laser=source, **own)
    link = loopback_link(twin, bench.clock, line=True)
    laser = PurePhotonicsPPCL550(
        "laser", limits=_LIMITS, link=link, clock=bench.clock, noise_modes=True
    )
    return laser, bench, twin


def test_itla_moves_the_light_by_megahertz_when_lit_on_its_twin() -> None:
    laser, bench, _ = _on_twin()
    with laser:
        laser.set_wavelength(1535e-9)
        laser.set_power(10e-3)
        laser.set_emission(True)
        laser.wait_settled(120.0)
        source = bench.scene.server_laser
        before_m = source.wavelength_m()
        assert before_m == pytest.approx(1535e-9, abs=1e-12)
        assert source.power_w() == pytest.approx(10e-3, rel=0.02)
        step_m = 1535e-9**2 / _LIGHT_M_S * 20e6
        laser.set_wavelength(laser.wavelength_m() - step_m)
        assert not laser.is_settled()
        laser.wait_settled(60.0)
        laser.set_noise_mode(NoiseMode.WHISPER)
        bench.clock.sleep(60.0)
        moved_m = source.wavelength_setpoint_m() - _LIGHT_M_S / (1e6 * round(299.792458e6 / 1.535))
        assert moved_m == pytest.approx(-step_m, rel=1e-3)
        assert laser.simulated


def test_itla_tunes_over_the_earlier_grid_when_on_a_twin_of_that_agreement() -> None:
    laser, bench, _ = _on_twin(in_mhz=False)
    with laser:
        laser.set_wavelength(1535.0123456e-9)
        assert bench.scene.server_laser.wavelength_setpoint_m() == pytest.approx(
            1535.0123456e-9, abs=laser.wavelength_tolerance_m
        )


def test_itla_is_made_dark_and_set_again_when_its_module_lost_its_settings() -> None:
    laser, bench, twin = _on_twin()
    with laser:
        laser.set_power(12e-3)
        laser.set_emission(True)
        laser.wait_settled(60.0)
        bench.scene.server_laser.set_power_w(10e-3)  # what the module has stored
        twin.session().feed(sealed(1, 0x32, 1) + b"\0")
        with pytest.raises(ReadbackError, match="had forgotten power, emission"):
            laser.power_w()
        assert not laser.emission()
        assert laser.power_w() == pytest.approx(12e-3, rel=0.02)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.model)
def test_itla_is_made_from_a_bench_file_when_its_settings_are_good(model: DriverModel) -> None:
    assert isinstance(
        from_bench_file(model, settings={"tune_timeout_s": 30.0}), PurePhotonicsPPCL550
    )
    with pytest.raises(ConfigurationError, match=r"tune_timeout_s is 0\.5; it must be 1 to 600"):
        from_bench_file(model, settings={"tune_timeout_s": 0.5})


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.model)
def test_itla_is_found_when_it_is_probed(model: DriverModel) -> None:
    script = Script([*_ZEROS, *_ALIGNED, *_strings()])
    link = script.link(chatty=True)
    link.attach("probe", lambda: None)
    assert model.probe is not None
    assert model.probe(link).serial == "CRTN12"
    script.finish()


def test_itla_is_not_opened_when_it_does_not_start() -> None:
    starting = [(bytes(4), sealed(4, 0, 0))] * 22
    script = Script([*_ZEROS, *_ALIGNED, *starting])
    laser = _laser(script, settings=ItlaSettings(tune_timeout_s=1.0))
    with pytest.raises(InstrumentError, match="laser: the module has not started after 1 s"):
        laser.open()


def test_itla_gives_up_when_the_module_stays_busy() -> None:
    busy = (bytes(4), sealed(4, 0, 0x0114))
    script = Script([*_greeting(), *_OFF, _put(0x31, 1000, status=1), *[busy] * 40])
    laser = _laser(script, settings=ItlaSettings(tune_timeout_s=1.0))
    laser.open()
    _leave_out_safety(laser)
    with pytest.raises(InstrumentError, match="still works on the last order after 1 s"):
        laser.set_power(10e-3)


def _leave_out_safety(laser: PurePhotonicsPPCL550) -> None:
    """Let the way to the safe state out: the script is about what comes before it."""
    vars(laser)["_make_safe"] = lambda: None
    vars(laser)["_is_safe"] = lambda: True


def test_itla_names_the_mode_when_it_is_not_taken() -> None:
    whisper = bytes.fromhex("A1900002")
    pairs = [(whisper, sealed(4, 0x90, 2)), _ask(0x90, 7), *_OFF]

    def body(laser: PurePhotonicsPPCL550) -> None:
        with pytest.raises(ReadbackError, match=r"noise mode was set to WHISPER .* as 7"):
            laser.set_noise_mode(NoiseMode.WHISPER)

    _run(pairs, body, noise_modes=True)
