"""The driver of the CTL200 against the recorded dialogue of the controller."""

import logging
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from drivers.dialects.koheron_console import KoheronConsole
from drivers.errors import (
    AnswerError,
    ConfigurationError,
    InstrumentError,
    LimitError,
    LinkError,
    LinkTimeoutError,
    ReadbackError,
    RefusedError,
)
from drivers.instruments import LaserLimits, Range
from drivers.lasers.koheron_ctl200 import MODELS, Ctl200Settings, KoheronCTL200, diode_limits
from sim_backend.instruments import SimulatedBench
from sim_backend.wire.twins.koheron_ctl200 import Diode, KoheronCTL200Twin
from tests.wire.built import from_bench_file
from tests.wire.rigs import loopback_link
from tests.wire.scripted import Script

_LIMITS = LaserLimits(
    power_w=Range(lowest=1e-3, highest=0.1),
    wavelength_m=Range(lowest=1500e-9, highest=1600e-9),
)
_FIXED = Ctl200Settings(
    slope_w_per_a=0.2, threshold_a=0.01, max_current_a=0.3, wavelength_m=1550e-9
)
_TUNED = replace(_FIXED, thermistor_ohm=10e3, beta_k=3930.0, tuning_m_per_k=0.1e-9)
Pair = tuple[bytes, bytes]


def _says(command: str, answer: str) -> Pair:
    """A recorded exchange: the echo, the value, the prompt without an end mark."""
    sent = f"{command}\r\n".encode()
    return sent, sent + (f"{answer}\r\n" if answer else "").encode() + b">>"


def _sets(command: str, answer: str, *, errors: str = "0") -> list[Pair]:
    return [_says(command, answer), _says("err", errors)]


def _greeting(*, model: str = "CTL200-0-B-200", ilmax: str = "1000.000") -> list[Pair]:
    begin = [_says("errclr", "ffffffff"), _says("model", model), _says("serial", "A0123")]
    begin.append(_says("version", "V0.17"))
    if not model.startswith("CTL200"):
        return begin
    begin.append(_says("ilmax", ilmax))
    if ilmax == "1000.000":
        begin += [*_sets("ilmax 300.000", "300.000"), _says("ilmax", "300.000")]
    return [*begin, _says("rtmin", "5000.000"), _says("rtmax", "15000.000")]


_OFF = [*_sets("lason 0", "0"), _says("lason", "0")]
_WARM = [_says("tecon", "1"), _says("rtact", "10004.210"), _says("rtset", "10000.000")]
_ON = [*_WARM, _says("errclr", "ffffffff"), *_sets("lason 1", "1"), _says("lason", "1")]


def _laser(script: Script, settings: Ctl200Settings = _FIXED) -> KoheronCTL200:
    return KoheronCTL200(
        "laser", limits=_LIMITS, link=script.link(), clock=script.clock, settings=settings
    )


def _run(
    pairs: list[Pair],
    body: Callable[[KoheronCTL200], object],
    *,
    settings: Ctl200Settings = _FIXED,
    greeting: list[Pair] | None = None,
    closing: list[Pair] | None = None,
    step: int = 0,
) -> None:
    begin = _greeting() if greeting is None else greeting
    script = Script([*begin, *_OFF, *pairs, *_OFF, *(closing or [])], step=step)
    with _laser(script, settings) as laser:
        body(laser)
    script.finish()


@pytest.mark.parametrize("step", [0, 1, 7])
def test_ctl200_greets_and_is_dark_when_opened(step: int) -> None:
    def body(laser: KoheronCTL200) -> None:
        assert laser.identity.text == "Koheron CTL200-0-B-200 A0123 V0.17"
        assert not laser.simulated
        assert not laser.limits.power_w.highest > 0.2 * 0.29

    _run([], body, step=step)


def test_ctl200_leaves_a_lower_current_limit_when_it_is_set() -> None:
    def body(laser: KoheronCTL200) -> None:
        with pytest.raises(LimitError, match=r"laser: power 0\.04 W needs 210\.000 mA.*150\.000"):
            laser.set_power(40e-3)

    _run(_OFF, body, greeting=_greeting(ilmax="150.000"))


def test_ctl200_sends_the_recorded_current_when_a_power_is_set() -> None:
    # 28 mW / (0.2 W/A) above 10 mA.
    pairs = [*_sets("ilaser 150.000", "150.000"), _says("ilaser", "150.000")]
    _run([*pairs, _says("ilaser", "150.000")], lambda laser: _sets_power(laser, 28e-3))


def _sets_power(laser: KoheronCTL200, power_w: float) -> None:
    laser.set_power(power_w)
    assert laser.power_w() == pytest.approx(power_w)


def test_ctl200_takes_sets_without_a_value_when_its_firmware_gives_none() -> None:
    pairs = [*_sets("ilaser 150.000", ""), _says("ilaser", "150.000"), _says("ilaser", "150.000")]
    _run(pairs, lambda laser: _sets_power(laser, 28e-3))


def test_ctl200_reads_no_power_when_the_current_is_below_the_threshold() -> None:
    def body(laser: KoheronCTL200) -> None:
        assert laser.power_w() == 0.0

    _run([_says("ilaser", "9.000")], body)


def test_ctl200_strips_nulls_when_they_come() -> None:
    sent, _ = _says("ilaser", "")

    def body(laser: KoheronCTL200) -> None:
        assert laser.power_w() == pytest.approx(38e-3)

    _run([(sent, b"\x00ilaser\r\n\x00200.000\r\n\x00>>")], body)


def test_ctl200_starts_the_temperature_control_when_switched_on() -> None:
    pairs = [_says("tecon", "0"), *_sets("tecon 1", "1")]
    pairs += [_says("rtact", "9000.000"), _says("rtset", "10000.000")]
    pairs += [_says("rtact", "9950.000"), _says("rtset", "10000.000")]
    closing = _sets("tecon 0", "0")
    _run([*pairs, *_ON[3:]], lambda laser: laser.set_emission(True), closing=closing)


def test_ctl200_leaves_the_temperature_control_when_it_was_on() -> None:
    _run(_ON, lambda laser: laser.set_emission(True))


def test_ctl200_stays_dark_when_the_temperature_is_not_reached() -> None:
    settings = replace(_FIXED, tec_timeout_s=0.3)
    cold = [_says("rtact", "9000.000"), _says("rtset", "10000.000")]

    def body(laser: KoheronCTL200) -> None:
        with pytest.raises(InstrumentError, match=r"within 1% of its set point in 0\.3 s"):
            laser.set_emission(True)

    _run([_says("tecon", "1"), *cold * 3, *_OFF], body, settings=settings)


def test_ctl200_says_why_when_the_interlock_is_open() -> None:
    pairs = [*_WARM, _says("errclr", "ffffffff"), *_sets("lason 1", "0", errors="40")]
    pairs += [_says("errclr", "ffffffff"), *_OFF]

    def body(laser: KoheronCTL200) -> None:
        with pytest.raises(RefusedError, match=r"laser: set emission on: .*because of the interlo"):
            laser.set_emission(True)

    _run(pairs, body)


def test_ctl200_can_be_made_safe_when_its_interlock_was_triggered() -> None:
    off = [*_sets("lason 0", "0", errors="80"), _says("lason", "0")]
    _run(off, lambda laser: laser.make_safe())


def test_ctl200_says_what_was_wrong_when_a_value_is_refused() -> None:
    pairs = [*_sets("ilaser 150.000", "0.000", errors="20"), _says("errclr", "ffffffff"), *_OFF]

    def body(laser: KoheronCTL200) -> None:
        with pytest.raises(RefusedError, match=r"'ilaser 150\.000' was refused: invalid argument"):
            laser.set_power(28e-3)

    _run(pairs, body)


def test_ctl200_finds_out_when_a_current_is_not_taken() -> None:
    pairs = [*_sets("ilaser 150.000", "0.000"), _says("ilaser", "0.000"), *_OFF]

    def body(laser: KoheronCTL200) -> None:
        with pytest.raises(ReadbackError, match="power"):
            laser.set_power(28e-3)

    _run(pairs, body)


def test_ctl200_has_one_wavelength_when_it_knows_no_thermistor() -> None:
    def body(laser: KoheronCTL200) -> None:
        assert laser.limits.wavelength_m == Range(lowest=1550e-9, highest=1550e-9)
        laser.set_wavelength(1550e-9)
        assert laser.wavelength_m() == 1550e-9
        with pytest.raises(LimitError, match="wavelength"):
            laser.set_wavelength(1550.001e-9)

    _run([], body)


def test_ctl200_moves_the_temperature_when_it_knows_the_thermistor() -> None:
    # 5 K above 25 degrees Celsius: 10 kohm exp(3930 (1/303.15 - 1/298.15)).
    wanted_ohm = 10e3 * math.exp(3930.0 * (1 / 303.15 - 1 / 298.15))
    assert wanted_ohm == pytest.approx(8046.04, abs=0.01)
    text = f"{wanted_ohm:.3f}"
    pairs = [*_sets(f"rtset {text}", text), _says("rtset", text), _says("rtset", text)]

    def body(laser: KoheronCTL200) -> None:
        laser.set_wavelength(1550.5e-9)
        assert laser.wavelength_m() == pytest.approx(1550.5e-9, abs=1e-15)

    _run(pairs, body, settings=_TUNED)


def test_ctl200_refuses_when_the_temperature_would_leave_the_controllers_window() -> None:
    def body(laser: KoheronCTL200) -> None:
        with pytest.raises(LimitError, match=r"thermistor of 25799\.8 ohm.*5000\.0 to 15000\.0"):
            laser.set_wavelength(1548e-9)

    _run(_OFF, body, settings=_TUNED)


def test_ctl200_shows_the_answer_when_the_temperature_is_no_resistance() -> None:
    def body(laser: KoheronCTL200) -> None:
        with pytest.raises(AnswerError, match="resistance above 0"):
            laser.wavelength_m()

    _run([_says("rtset", "-1.000")], body, settings=_TUNED)


@pytest.mark.parametrize(
    ("lason", "rtact", "settled"),
    [("1", "10004.000", True), ("0", "10004.000", False), ("1", "9990.000", False)],
)
def test_ctl200_is_settled_when_lit_at_its_temperature(
    lason: str, rtact: str, settled: bool
) -> None:
    pairs = [_says("status", f"{lason} 1.2 0.05 0.1 {rtact} 0.5 0.001 0.002")]
    pairs += [_says("rtset", "10000.000")] if lason == "1" else []

    def body(laser: KoheronCTL200) -> None:
        assert laser.is_settled() is settled

    _run(pairs, body)


def test_ctl200_refuses_when_another_controller_answers() -> None:
    script = Script(_greeting(model="CTL300"))
    with pytest.raises(InstrumentError, match=r"laser: Koheron CTL200 was.*'Koheron,CTL300'"):
        _laser(script).open()
    script.finish()


def test_ctl200_asks_a_query_again_and_shows_the_bytes_when_answers_are_garbage() -> None:
    sent = b"ilaser\r\n"
    bad = (sent, b"ilaser\r\n12.3.4\r\n>>")

    def body(laser: KoheronCTL200) -> None:
        with pytest.raises(AnswerError, match=r"laser: power\?.*numbers, got 31 32 2e 33 2e 34"):
            laser.power_w()

    again = _greeting(ilmax="300.000")
    _run([bad, *again, bad, *again], body)


def test_ctl200_does_not_send_an_order_again_when_no_prompt_comes() -> None:
    lost = (b"ilaser 150.000\r\n", b"ilaser 150.000\r\n")

    def body(laser: KoheronCTL200) -> None:
        with pytest.raises(LinkTimeoutError, match="last good state: nothing set yet"):
            laser.set_power(28e-3)

    _run([lost, *_greeting(ilmax="300.000"), *_OFF], body)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"slope_w_per_a": 0.0}, "settings.slope_w_per_a is 0.0; copy it"),
        ({"max_current_a": math.nan}, "settings.max_current_a is nan"),
        ({"wavelength_m": 0.0}, "settings.wavelength_m"),
        ({"threshold_a": 0.3}, "settings.threshold_a is 0.3 A"),
        ({"beta_k": 3930.0}, "belong together"),
        ({"max_current_a": 0.012}, "at most 0.0004 W"),
        ({"wavelength_m": 1310e-9}, "1.31e-06 m; the limits"),
    ],
)
def test_diode_is_refused_when_its_numbers_are_wrong(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        diode_limits(replace(_FIXED, **changes), _LIMITS)


def test_ctl200_is_made_from_a_bench_file_when_the_diode_is_given() -> None:
    model = MODELS[0]
    laser = from_bench_file(
        model, settings={"slope_w_per_a": 0.2, "max_current_a": 0.3, "wavelength_m": 1550e-9}
    )
    assert isinstance(laser, KoheronCTL200)
    assert laser.limits.power_w.highest == pytest.approx(0.06)
    with pytest.raises(ConfigurationError, match="copy it from the diode's data sheet"):
        from_bench_file(model)


@pytest.mark.parametrize("model", ["CTL200-0", "CTL300"])
def test_ctl200_is_found_when_it_is_probed(model: str) -> None:
    script = Script(_greeting(model=model)[1:4])
    link = script.link(chatty=True)
    link.attach("probe", lambda: None)
    assert MODELS[0].probe is not None
    if model == "CTL300":
        with pytest.raises(InstrumentError, match="CTL300"):
            MODELS[0].probe(link)
    else:
        assert MODELS[0].probe(link).serial == "A0123"
    script.finish()


def test_ctl200_settles_and_is_known_as_a_twin_when_on_its_twin() -> None:
    bench = SimulatedBench()
    source = bench.scene.server_laser
    diode = Diode(thermistor_ohm=10e3, beta_k=3930.0, tuning_m_per_k=0.1e-9)
    twin = KoheronCTL200Twin(clock=bench.clock, serial="SIM4", laser=source, diode=diode)
    link = loopback_link(twin, bench.clock, line=True)
    laser = KoheronCTL200("laser", limits=_LIMITS, link=link, clock=bench.clock, settings=_TUNED)
    with laser:
        laser.set_power(20e-3)
        laser.set_wavelength(1550.3e-9)
        laser.set_emission(True)
        laser.wait_settled(60.0)
        assert laser.simulated
        assert source.power_w() == pytest.approx(20e-3, rel=1e-3)
        assert source.wavelength_m() == pytest.approx(1550.3e-9, abs=1e-12)
        twin.interlock_closed = False
        assert laser.emission()  # the interlock is not enabled on this controller
    assert not source.emission()


class _Noise(Script):
    """Answers every line with bytes of its own making."""

    def __init__(self, rng: np.random.Generator) -> None:
        super().__init__([])
        self._rng = rng

    def send(self, data: Any, timeout_s: float) -> None:
        style = int(self._rng.integers(6))
        answer = bytearray(bytes(data) + b"12.5\r\n>>")
        if style == 0:
            answer = bytearray(self._rng.bytes(int(self._rng.integers(0, 40))) + b">>")
        elif style < 3:
            answer[int(self._rng.integers(len(answer)))] ^= 1 << int(self._rng.integers(8))
        elif style == 3:
            del answer[int(self._rng.integers(len(answer))) :]
        self._answer += answer


def test_console_raises_nothing_but_errors_of_the_link_when_answers_are_noise(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.CRITICAL, "veilight.links")
    noise = _Noise(np.random.default_rng(7))
    link = noise.link(timeout_s=0.1)
    console = KoheronConsole("laser", link)
    link.attach("laser", lambda: None)
    kinds: dict[str, int] = {}
    calls: tuple[Callable[[], object], ...] = (
        lambda: console.number("ilaser"),
        lambda: console.query("serial"),
        lambda: console.numbers("status", 8),
        lambda: console.order("ilaser", "1.000"),
        console.clear,
    )
    for _ in range(10_000 // len(calls)):
        for call in calls:
            name = "good"
            try:
                call()
            except (AnswerError, LinkError, RefusedError) as error:
                name = type(error).__name__
            kinds[name] = kinds.get(name, 0) + 1
    assert set(kinds) >= {"good", "AnswerError", "LinkTimeoutError"}
