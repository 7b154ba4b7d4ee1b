"""Damaged answers, blocks and uploads on the wires of a laboratory bench: named, never believed.

Garbage (F03), partial blocks and wrong lengths (F04), uploads and records that are cut off (F05,
F06), through the whole stack of driver, dialogue and link. The parsers alone are fuzzed in
tests/unit/drivers/transports/test_scpi.py and beside every driver of a binary protocol.
"""

import re
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from numpy.typing import NDArray

from drivers.errors import (
    AnswerError,
    InstrumentError,
    LinkError,
    OpticsError,
    ReadbackError,
    RefusedError,
    VeilightError,
)
from drivers.instruments import Digitiser, PowerMeter, Trigger, WaveformGenerator
from sim_backend.wire.wire_faults import WireFault, WireFaultKind
from tests.wire.lit_lab import DEADLINE_S, LitLab, to_client, to_instrument

GENERATOR, SCOPE = "server.weight_generator", "server.return_digitiser"
DAMAGED = (AnswerError, LinkError, RefusedError, ReadbackError)
SAMPLES = 100


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LitLab:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    return LitLab(tmp_path)


def answers(lab: LitLab, place: str, step: object) -> int:
    """How many messages come from an instrument during a step."""
    assert callable(step)
    faults = lab.rig.faults[place]
    index = faults.inject(to_client(WireFaultKind.DELAY, at_message=0, every=1, delay_s=0.0))
    step()
    count = faults.strikes[index]
    faults.clear()
    return count


def volts(samples: int) -> NDArray[np.float32]:
    return np.linspace(-0.4, 0.4, samples, dtype=np.float32)


@pytest.mark.parametrize("share", [0.04, 0.2, 0.4, 0.55, 0.7, 0.85, 0.95, 0.999])
def test_cut_upload_leaves_output_off_and_waveform_invalid_until_it_is_loaded_again(
    lab: LitLab, share: float
) -> None:
    bench = lab.light("server")
    generator = cast("WaveformGenerator", lab.instrument(GENERATOR))
    generator.set_sample_rate(625e6)
    sent = lab.rig.sent[GENERATOR]
    begin = len(sent)
    generator.load(0, volts(3000))
    size = sum(map(len, sent[begin:]))
    assert max(map(len, sent[begin:])) > 6000  # the block in one piece, most of all bytes
    generator.set_output(0, True)
    cut = to_instrument(WireFaultKind.CUT, at_byte=int(share * size), count=1)
    failure = lab.go_wrong(GENERATOR, cut, LinkError, lambda: generator.load(0, volts(3000)))
    text = str(failure.error)
    assert text.startswith("weight_generator: load")
    assert "last good state: " in text
    assert failure.safe_s["weight_generator"] <= DEADLINE_S
    assert not generator.output(0)
    bench.safety.rearm("tester")
    with pytest.raises(InstrumentError, match="no waveform is loaded"):
        generator.arm(Trigger.SOFTWARE)
    generator.load(0, volts(3000))
    generator.arm(Trigger.SOFTWARE)
    generator.stop()
    lab.mend_and_restart("server")


def recorded(lab: LitLab) -> Digitiser:
    """The digitiser with a record in its memory."""
    digitiser = cast("Digitiser", lab.instrument(SCOPE))
    digitiser.configure(625e6, SAMPLES, 0.5)
    digitiser.arm(Trigger.IMMEDIATE)
    digitiser.wait(10.0)
    return digitiser


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("times", [1, None], ids=["once", "again and again"])
def test_cut_record_is_fetched_whole_or_not_at_all(
    lab: LitLab, share: float, times: int | None
) -> None:
    lab.light("server")
    digitiser = recorded(lab)
    reference = digitiser._fetch().volts
    last = answers(lab, SCOPE, digitiser._fetch) - 1
    places = [m for m in range(last + 1) if _reaches(lab, digitiser, m, SAMPLES)]
    size = 2 * SAMPLES + 6
    fault = WireFault(
        kind=WireFaultKind.CUT,
        direction=to_client(WireFaultKind.CUT).direction,
        at_message=places[0],
        at_byte=int(share * size),
        count=times,
        every=None if times else 1,
    )
    lab.rig.faults[SCOPE].inject(fault)
    if times:
        assert np.array_equal(digitiser.fetch().volts, reference)
    else:
        failure = lab.failing("server", LinkError, digitiser.fetch)
        assert str(failure.error).startswith("return_digitiser: fetch")
        late = {role for role, at_s in failure.safe_s.items() if at_s > DEADLINE_S}
        assert late <= {"return_digitiser"}
        with pytest.raises(VeilightError):
            digitiser.fetch()
    lab.mend_and_restart("server")


def _reaches(lab: LitLab, digitiser: Digitiser, message: int, at_byte: int) -> bool:
    """Whether a message of a fetch is so long."""
    faults = lab.rig.faults[SCOPE]
    fault = to_client(WireFaultKind.DELAY, at_message=message, at_byte=at_byte, delay_s=0.0)
    index = faults.inject(fault)
    digitiser._fetch()
    faults.clear()
    return faults.strikes[index] == 1


def test_block_is_read_whole_or_refused_when_it_is_truncated_anywhere(lab: LitLab) -> None:
    lab.light("server")
    digitiser = recorded(lab)
    reference = digitiser._fetch().volts
    count = answers(lab, SCOPE, digitiser._fetch)
    block = next(m for m in range(count) if _reaches(lab, digitiser, m, SAMPLES))
    faults = lab.rig.faults[SCOPE]
    size = 2 * SAMPLES + 6
    refused = []
    for at_byte in (*range(10), *range(10, size - 5, 5), *range(size - 5, size)):
        # From this answer on all are cut there, so that asking again does not help either.
        index = faults.inject(
            to_client(WireFaultKind.TRUNCATE, at_message=block, at_byte=at_byte, every=1)
        )
        try:
            assert np.array_equal(digitiser._fetch().volts, reference)
        except DAMAGED:
            refused.append(at_byte)
        assert faults.strikes[index] >= 1
        faults.clear()
    assert len(refused) == 10 + 39 + 5
    lab.mend_and_restart("server")


@pytest.mark.parametrize(
    ("offset", "byte", "says"),
    [
        (0, b"!", "expected a block that begins with # and a digit"),
        (1, b"0", "expected a block that begins with # and a digit"),
        (1, b"1", "behind a block of 2 bytes"),
        (1, b"9", "expected the byte count of a block"),
        (2, b"9", r"waiting for 900 bytes, \d+ came"),
        (2, b"1", "behind a block of 100 bytes"),
        (4, b"x", "expected the byte count of a block"),
    ],
    ids=["no-block", "indefinite", "one-digit", "nine-digits", "too-long", "too-short", "no-digit"],
)
def test_block_with_a_wrong_header_is_named_and_asked_for_again(
    lab: LitLab, caplog: pytest.LogCaptureFixture, offset: int, byte: bytes, says: str
) -> None:
    lab.light("server")
    digitiser = recorded(lab)
    reference = digitiser._fetch().volts
    count = answers(lab, SCOPE, digitiser._fetch)
    block = next(m for m in range(count) if _reaches(lab, digitiser, m, SAMPLES))
    damage = bytes([f"#3{2 * SAMPLES}".encode()[offset] ^ byte[0]])
    faults = lab.rig.faults[SCOPE]
    faults.inject(
        to_client(WireFaultKind.CORRUPT, at_message=block, at_byte=offset, data=damage, count=1)
    )
    caplog.clear()
    assert np.array_equal(digitiser.fetch().volts, reference)
    assert re.search(f"asked again after: .*{says}", caplog.text)
    lab.mend_and_restart("server")


def drawn(generator: np.random.Generator) -> WireFault:
    """Damage to one of the next answers, or to all of them."""
    often = None if generator.random() < 0.5 else 1
    message = int(generator.integers(0, 2))
    at_byte = int(generator.integers(0, 20))
    match int(generator.integers(0, 6)):
        case 0:  # anything, NUL and ends of lines included
            data = generator.bytes(int(generator.integers(1, 100)))
            return to_client(
                WireFaultKind.GARBAGE, at_message=message, at_byte=at_byte, data=data, count=often
            )
        case 1:
            return to_client(WireFaultKind.CORRUPT, bits=int(generator.integers(1, 9)), count=often)
        case 2:  # not ASCII
            return to_client(
                WireFaultKind.CORRUPT, at_message=message, at_byte=at_byte, data=b"\x80\xff" * 8
            )
        case 3:  # NUL for whatever it was
            return to_client(WireFaultKind.GARBAGE, at_message=message, data=b"\0" * 5, count=often)
        case 4:  # the end of the line is missing
            return to_client(
                WireFaultKind.TRUNCATE, at_message=message, at_byte=at_byte, every=1, count=often
            )
        case _:  # another end of the line
            return to_client(WireFaultKind.GARBAGE, at_message=message, data=b"\r\r\n", count=often)


@pytest.mark.parametrize("place", ["server.oscillator_power_meter", GENERATOR, "server.laser"])
def test_a_thousand_kinds_of_garbage_end_in_a_value_or_a_named_error(
    lab: LitLab, place: str
) -> None:
    bench = lab.benches["server"]
    bench.open()
    found = lab.instrument(place)
    generator = np.random.default_rng(36)
    faults = lab.rig.faults[place]
    failed: list[str] = []
    for _ in range(340):
        faults.inject(drawn(generator))
        try:
            if isinstance(found, PowerMeter):
                found.power_w()
            elif isinstance(found, WaveformGenerator):
                found.output(0)
            else:
                found.is_safe()
        except (InstrumentError, OpticsError) as error:
            failed.append(str(error))
        faults.clear()
        # And the link works again at once, or after one more refusal of what was left on it.
        found.make_safe()
    assert len(failed) > 20
    assert all(error.startswith(f"{found.name}: ") for error in failed)
    shown = re.findall(r"got ((?:[0-9a-f]{2} ?)+)", "\n".join(failed))
    assert 0 < max(len(one.split()) for one in shown) <= 64
    lab.mend_and_restart("server")
