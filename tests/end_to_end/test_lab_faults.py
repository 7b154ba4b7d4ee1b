"""Faults on the wires of a laboratory bench in full light: named, dark in time, nothing left.

All real drivers and links on their twins, on simulated time. For each fault: the error names the
instrument, the step and the last good state; every other instrument is safe by readback, and its
part of the scene dark, 0.1 s after the fault was found; no connection, thread or claim is left; new
benches work once the fault is mended; no order was sent twice. Slower by their nature are the
attenuator's filter (its shutter is not) and the signal switch, which tells its state every 0.1 s.

Where the faults of the catalogue are tested beyond this file:

* partial blocks, uploads and records that break off, fuzz (F03 to F06): test_lab_blocks.py;
* signal faults (F10 to F17): test_bench_faults.py, tests/unit/calibration; F12 on the converter:
  tests/unit/drivers/optics/test_optics_trace_checks.py, and here over the wire;
* pump without seed (F18): tests/unit/drivers/bench/test_bench_safety_property.py over all orders of
  calls, tests/unit/drivers/path for amplifiers on the wire;
* interlock (F19): test_lab_interlock.py;
* two processes on one instrument (F31): tests/unit/drivers/bench/test_ownership.py;
* a stop that raises (F32): test_ends_in_the_dark.py, tests/unit/drivers/bench/test_bench_safety.py;
* a dead watchdog (F33): test_watchdog_process.py, tests/unit/drivers/bench/test_watchdog.py;
* simulated instruments in a real run (F36): test_bench_files.py beside test_ownership.py, and here.
"""

from collections.abc import Callable
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from drivers.errors import (
    AnswerError,
    InstrumentError,
    LinkError,
    LinkTimeoutError,
    OwnershipError,
    ReadbackError,
    RefusedError,
    SafetyError,
    TraceError,
)
from drivers.instruments import (
    Attenuator,
    BiasController,
    Digitiser,
    Laser,
    PolarisationController,
    PowerMeter,
    Switch,
    Trigger,
    WaveformGenerator,
)
from drivers.optics.trace_checks import TraceChecker
from sim_backend.instruments import Fault, FaultKind
from sim_backend.instruments.simulated_bench import SimulatedBench
from sim_backend.wire.wire_faults import WireFaultKind
from tests.wire.lit_lab import DEADLINE_S, Failure, LitLab, dead, to_client, to_instrument

Step = Callable[[object], object]


def _turn(found: object) -> None:
    controller = cast("PolarisationController", found)
    controller.set_angles(np.zeros(controller.limits.channels))


STEPS: dict[str, tuple[str, Step]] = {
    "server.laser": ("set power 0.008 W", lambda i: cast("Laser", i).set_power(8e-3)),
    "server.return_oscillator": ("set power", lambda i: cast("Laser", i).set_power(2e-3)),
    "server.attenuator": (
        "set attenuation 22.0 dB",
        lambda i: cast("Attenuator", i).set_attenuation_db(22.0),
    ),
    "server.return_switch": ("select light", lambda i: cast("Switch", i).select("light")),
    "server.weight_generator": (
        "set output 0 on",
        lambda i: cast("WaveformGenerator", i).set_output(0, True),
    ),
    "server.weight_bias": ("unlock", lambda i: cast("BiasController", i).unlock(0)),
    "server.return_digitiser": (
        "configure",
        lambda i: cast("Digitiser", i).configure(625e6, 1000, 0.5),
    ),
    "server.launch_power_meter": ("power?", lambda i: cast("PowerMeter", i).power_w()),
    "server.oscillator_power_meter": ("power?", lambda i: cast("PowerMeter", i).power_w()),
    "server.return_polarisation": ("set 3 angles", _turn),
    "client.oscillator": ("set power", lambda i: cast("Laser", i).set_power(2e-3)),
    "client.signal_switch": ("select light", lambda i: cast("Switch", i).select("light")),
    "client.data_generator": (
        "set output 0 on",
        lambda i: cast("WaveformGenerator", i).set_output(0, True),
    ),
    "client.data_bias": ("unlock", lambda i: cast("BiasController", i).unlock(0)),
    "client.polarisation": ("set 4 angles", _turn),
    "client.tap_digitiser": (
        "configure",
        lambda i: cast("Digitiser", i).configure(625e6, 1000, 0.5),
    ),
    "client.oscillator_power_meter": ("power?", lambda i: cast("PowerMeter", i).power_w()),
}
SAME_BOX = {"server.launch_power_meter": "attenuator", "server.attenuator": "launch_power_meter"}


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LitLab:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    return LitLab(tmp_path)


def check(lab: LitLab, place: str, failure: Failure, step: str) -> None:
    """What must hold after a fault of the link of one instrument."""
    party, _, role = place.partition(".")
    text = str(failure.error)
    assert text.startswith(f"{role}: {step}"), text
    assert "; last good state: " in text
    broken = {role, SAME_BOX.get(place, role)}
    others = set(lab.benches[party].instruments) - broken
    assert others <= set(failure.safe_s)
    late = {one: at_s for one, at_s in failure.safe_s.items() if at_s > DEADLINE_S}
    assert set(late) <= broken, late
    for part in lab.parts():
        if part.startswith(party) and part.split(".")[1] not in broken:
            assert failure.dark_s[part] <= DEADLINE_S, part


@pytest.mark.parametrize("place", STEPS)
def test_dead_link_does_not_hold_up_the_others_when_it_fails_in_the_light(
    lab: LitLab, place: str
) -> None:
    named, step = STEPS[place]
    party = place.partition(".")[0]
    lab.light(party)
    found = lab.instrument(place)
    failure = lab.go_wrong(place, dead(), LinkTimeoutError, lambda: step(found))
    check(lab, place, failure, named)
    lab.mend_and_restart(party)


ORDERS: dict[str, tuple[Step, bytes, int]] = {
    "server.laser": (
        lambda i: cast("Laser", i).set_emission(True),
        bytes.fromhex("81320008"),
        1,
    ),
    "server.return_oscillator": (
        lambda i: cast("Laser", i).set_emission(True),
        bytes.fromhex("0d01a2053001530b0a"),
        0,
    ),
    "server.attenuator": (lambda i: cast("Attenuator", i).set_shutter(True), b":OUTP1 ON", 0),
    "server.return_switch": (lambda i: cast("Switch", i).select("light"), b":ROUT1 A,1", 0),
    "server.weight_generator": (
        lambda i: cast("WaveformGenerator", i).set_output(0, True),
        b":OUTP1 ON",
        0,
    ),
    "client.oscillator": (lambda i: cast("Laser", i).set_emission(True), b":POW:STAT 1\r", 1),
    "client.signal_switch": (lambda i: cast("Switch", i).select("light"), b":ROUT1 A,1", 0),
}
"""A step, the order in it that lets light out, and the first of its answers that gets lost."""


@pytest.mark.parametrize("place", ORDERS)
def test_order_that_lets_light_out_is_sent_once_when_its_answer_is_lost(
    lab: LitLab, place: str
) -> None:
    step, order, message = ORDERS[place]
    party = place.partition(".")[0]
    lab.light(party)
    found = lab.instrument(place)
    fault = to_client(WireFaultKind.SWALLOW, at_message=message, every=1)
    failure = lab.go_wrong(place, fault, InstrumentError, lambda: step(found))
    assert b"".join(failure.sent[place]).count(order) == 1
    # It hears and is not heard: it is dark all the same, and counts as unsafe.
    assert failure.dark_s.get(place, 0.0) <= DEADLINE_S or place.endswith("_switch")
    assert any("did not reach the safe state" in note for note in failure.error.__notes__)
    begin = len(lab.rig.sent[place])
    for faults in lab.rig.faults.values():
        faults.clear()
    lab.benches[party].make_safe()
    assert order not in b"".join(lab.rig.sent[place][begin:])
    lab.mend_and_restart(party)


SWALLOWED = ["server.laser", "server.return_oscillator", "client.oscillator", "server.attenuator"]


@pytest.mark.parametrize("place", SWALLOWED)
def test_query_is_answered_when_one_answer_is_lost(lab: LitLab, place: str) -> None:
    party = place.partition(".")[0]
    lab.light(party)
    found = lab.instrument(place)
    ask = found.attenuation_db if isinstance(found, Attenuator) else cast("Laser", found).power_w
    wanted = ask()
    index = lab.rig.faults[place].inject(to_client(WireFaultKind.SWALLOW, count=1))
    assert ask() == wanted
    assert lab.rig.faults[place].strikes[index] == 1
    lab.mend_and_restart(party)


@pytest.mark.parametrize("place", SWALLOWED)
def test_late_answer_is_never_taken_for_a_new_one(lab: LitLab, place: str) -> None:
    party = place.partition(".")[0]
    lab.light(party)
    found = lab.instrument(place)
    put: Callable[[float], None]
    if isinstance(found, Attenuator):
        put, get, values = found.set_attenuation_db, found.attenuation_db, (21.0, 22.0)
    else:
        laser = cast("Laser", found)
        put, get = laser.set_power, laser.power_w
        values = (9e-3, 7e-3) if place == "server.laser" else (2e-3, 1.5e-3)
    timeout_s = found._link.timeout_s  # type: ignore[attr-defined]
    for delay_s in timeout_s + np.array([0.001, 0.03, 0.055, 0.08, 0.13, 0.3, 0.7]):
        put(values[0])
        index = lab.rig.faults[place].inject(
            to_client(WireFaultKind.DELAY, at_message=0, delay_s=float(delay_s), count=1)
        )
        try:
            assert get() == pytest.approx(values[0], rel=0.02)
            put(values[1])
            assert get() == pytest.approx(values[1], rel=0.02)
        except (LinkError, AnswerError):
            pass  # nothing was read, which is right too
        assert lab.rig.faults[place].strikes[index] == 1
    lab.mend_and_restart(party)


def test_two_exchanged_addresses_are_refused_with_both_strings(lab: LitLab) -> None:
    one, two = "TCPIP::192.168.10.11::5025::SOCKET", "TCPIP::192.168.10.13::5025::SOCKET"
    lab.rig.exchange(("visa", one), ("visa", two))
    with pytest.raises(InstrumentError) as caught:
        lab.rig.bench("server").open()
    text = str(caught.value)
    assert text.startswith("return_switch: Keysight N773[1-4]A was expected, ")
    assert "'Agilent Technologies,33622A' answers; two addresses may be exchanged" in text
    lab.rig.exchange(("visa", one), ("visa", two))
    lab.mend_and_restart("server")


def test_another_instrument_of_the_same_model_is_refused_after_a_reconnection(lab: LitLab) -> None:
    lab.light("server")
    generator = lab.instrument("server.weight_generator")
    serial = generator.identity.serial.encode()
    other = bytes(a ^ b for a, b in zip(serial, b"SIM00000", strict=False))
    rig = lab.rig.faults["server.weight_generator"]
    rig.inject(to_client(WireFaultKind.SWALLOW, count=1))
    text = f"{generator.identity.maker},{generator.identity.model},".encode()
    rig.inject(
        to_client(
            WireFaultKind.CORRUPT,
            at_message=0,
            at_byte=len(text) + 4,
            data=bytes(value & 1 for value in other[4:]) or b"\x01",
        )
    )
    failure = lab.failing(
        "server",
        InstrumentError,
        lambda: cast("WaveformGenerator", generator).output(0),
    )
    assert "answers now; look at the cables" in str(failure.error)
    assert serial.decode() in str(failure.error)
    lab.mend_and_restart("server")


@pytest.mark.parametrize("endless", [False, True], ids=["once", "endless"])
def test_order_counts_as_not_carried_out_when_the_error_queue_is_not_empty(
    lab: LitLab, endless: bool
) -> None:
    lab.light("server")
    place = "server.attenuator"
    # The end of '+0,"No error"' becomes -2: the sign and the number of an error.
    fault = to_client(
        WireFaultKind.CORRUPT,
        at_message=0,
        at_byte=0,
        data=bytes(a ^ b for a, b in zip(b"+0", b"-2", strict=True)),
        every=1,
        count=None if endless else 3,
    )
    attenuator = cast("Attenuator", lab.instrument(place))
    failure = lab.go_wrong(place, fault, RefusedError, lambda: attenuator.set_shutter(True))
    check(lab, place, failure, "set shutter open")
    assert "take it as not carried out" in str(failure.error)
    assert ("the queue has no end" in str(failure.error)) is endless
    assert str(failure.error).count("-2") == (32 if endless else 3)
    lab.mend_and_restart("server")


def test_everything_is_dark_when_a_setting_is_accepted_but_not_applied(lab: LitLab) -> None:
    lab.light("server")
    place = "server.attenuator"
    attenuator, sent = cast("Attenuator", lab.instrument(place)), lab.rig.sent[place]
    begin = len(sent)
    attenuator.set_attenuation_db(22.0)
    digit = sent[begin].index(b":ATT 22") + len(b":ATT 2")
    attenuator.set_attenuation_db(20.0)
    # One digit is another on its way: the box takes 27 dB and finds nothing wrong with it.
    fault = to_instrument(
        WireFaultKind.CORRUPT, at_message=0, at_byte=digit, data=bytes([0x32 ^ 0x37]), count=1
    )
    failure = lab.go_wrong(place, fault, ReadbackError, lambda: attenuator.set_attenuation_db(22.0))
    text = str(failure.error)
    assert text.startswith("attenuator: attenuation was set to 22.0 dB but reads back as 27.0 dB")
    assert max(failure.safe_s.values()) <= DEADLINE_S
    assert failure.dark_s[place] <= DEADLINE_S
    lab.mend_and_restart("server")


@pytest.mark.parametrize("role", ["laser", "return_oscillator", "attenuator"])
def test_cut_link_makes_everything_dark_and_itself_once_it_is_plugged_in(
    lab: LitLab, role: str
) -> None:
    place = f"server.{role}"
    lab.light("server")
    named, step = STEPS[place]
    found = lab.instrument(place)
    cut = to_client(WireFaultKind.CUT, at_byte=0, count=1)
    failure = lab.go_wrong(place, cut, LinkError, lambda: step(found))
    check(lab, place, failure, named)
    # The plug is in again at once: the instrument itself gets safe too.
    assert role in failure.safe_s
    assert failure.dark_s[place] <= DEADLINE_S or role == "laser"
    assert failure.dark_s[place] < 1.0
    lab.mend_and_restart("server")


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        (FaultKind.TRACE_CLIPPED, "noise must move"),
        (FaultKind.TRACE_STUCK_BIT, "bit 6 of the converter is stuck"),
        (FaultKind.TRACE_OFFSET_RAMP, "the offset moves by"),
    ],
    ids=["clipped", "stuck-bit", "offset-ramp"],
)
def test_record_is_refused_when_its_converter_fails(
    lab: LitLab, kind: FaultKind, says: str
) -> None:
    lab.light("server")
    digitiser = cast("Digitiser", lab.instrument("server.return_digitiser"))
    checker = TraceChecker("return_digitiser")

    def record() -> None:
        digitiser.configure(625e6, 1 << 17, 0.2)
        digitiser.arm(Trigger.IMMEDIATE)
        digitiser.wait(10.0)
        trace = digitiser.fetch()
        checker.check(trace.volts[0], range_v=trace.range_v, step_v=trace.step_v, samples=1 << 17)

    record()
    bench = lab.rig.twins.scene
    assert isinstance(bench, SimulatedBench)
    bench.inject(Fault(kind=kind, target="return_digitiser", start_s=lab.rig.clock.now()))
    failure = lab.failing("server", TraceError, record)
    assert says in str(failure.error)
    assert max(failure.safe_s.values()) <= DEADLINE_S
    bench.faults.clear()
    lab.mend_and_restart("server")


def test_both_parties_share_no_instrument_and_a_second_bench_is_refused(lab: LitLab) -> None:
    lab.light("server")
    with pytest.raises(OwnershipError, match="belongs to"):
        lab.rig.bench("server").open()
    assert lab.benches["server"].simulated
    lab.mend_and_restart("server")


def test_closing_goes_on_when_one_link_is_dead_and_says_that_it_is_unsafe(lab: LitLab) -> None:
    lab.light("server")
    lab.rig.faults["server.laser"].inject(dead())
    with pytest.raises(SafetyError, match=r"1 instrument did not reach the safe state: laser:"):
        lab.benches["server"].close()
    assert lab.rig.open_streams == 0
    assert {part for part, lit in lab.parts().items() if part.startswith("server") and lit()} == {
        "server.laser"
    }
    lab.mend_and_restart("server")
