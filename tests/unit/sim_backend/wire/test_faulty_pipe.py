"""One direction of a faulty connection: the exact bytes that come out, and when."""

from collections.abc import Sequence
from itertools import pairwise, product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.errors import ConfigurationError
from sim_backend.scene.clock import SimulatedClock
from sim_backend.wire.fault_pieces import Piece
from sim_backend.wire.faulty_pipe import ActiveFaults, FaultyPipe
from sim_backend.wire.wire_faults import WireDirection, WireFault, WireFaultKind, WireFaultPlan

TO_CLIENT = WireDirection.TO_CLIENT
TO_INSTRUMENT = WireDirection.TO_INSTRUMENT


def fault(kind: str, **values: Any) -> WireFault:
    values.setdefault("direction", TO_CLIENT)
    return WireFault(kind=WireFaultKind(kind), **values)


def pipe_of(
    *faults: WireFault, clock: SimulatedClock | None = None, seed: int = 1, end: bytes = b""
) -> FaultyPipe:
    plan = WireFaultPlan(faults=faults, seed=seed, message_end=end)
    return FaultyPipe(plan, TO_CLIENT, clock or SimulatedClock())


def is_closed(pipe: FaultyPipe) -> bool:
    return pipe.closed


def through(pipe: FaultyPipe, *messages: bytes) -> list[bytes]:
    """What comes out after each push."""
    out = []
    for message in messages:
        pipe.push(message)
        out.append(pipe.pull())
    return out


def chunks_of(data: bytes, cuts: Sequence[int]) -> list[bytes]:
    places = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[a:b] for a, b in pairwise(places)]


@given(
    st.binary(max_size=60),
    st.lists(st.integers(0, 100), max_size=6),
    st.sampled_from([b"", b"\n", b"\r\n", b"\0\0"]),
)
@settings(deadline=None)
def test_pipe_is_the_identity_when_nothing_is_wrong(
    data: bytes, cuts: list[int], end: bytes
) -> None:
    pipe = pipe_of(end=end)
    chunks = chunks_of(data, cuts)
    assert through(pipe, *chunks) == chunks
    assert pipe.next_at() is None
    assert not is_closed(pipe)
    pipe.finish()
    assert is_closed(pipe)
    assert not pipe.was_cut


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        (fault("swallow", at_message=1), [b"ab", b"", b"ef", b"gh"]),
        (fault("swallow"), [b"", b"", b"", b""]),
        (fault("swallow", count=2), [b"", b"", b"ef", b"gh"]),
        (fault("swallow", every=2), [b"", b"cd", b"", b"gh"]),
        (fault("swallow", at_message=1, every=2), [b"ab", b"", b"ef", b""]),
        (fault("duplicate", at_message=1), [b"ab", b"cdcd", b"ef", b"gh"]),
        (fault("duplicate"), [b"abab", b"cdcd", b"efef", b"ghgh"]),
        (fault("reorder", at_message=1), [b"ab", b"", b"efcd", b"gh"]),
        (fault("reorder"), [b"", b"cdab", b"", b"ghef"]),
        (fault("reorder", count=1), [b"", b"cdab", b"ef", b"gh"]),
        (fault("truncate", at_message=2, at_byte=1), [b"ab", b"cd", b"e", b"gh"]),
        (fault("truncate", at_byte=5), [b"ab", b"cd", b"e", b"gh"]),
        (fault("truncate", at_byte=4), [b"ab", b"cd", b"", b"gh"]),
        (fault("truncate", at_message=0, at_byte=2), [b"ab", b"cd", b"ef", b"gh"]),
        (fault("garbage", at_byte=3, data=b"?!"), [b"ab", b"c?!d", b"ef", b"gh"]),
        (fault("garbage", at_byte=3, every=2, data=b"?"), [b"ab", b"c?d", b"e?f", b"g?h"]),
        (fault("garbage", at_message=1, data=b"?"), [b"ab", b"?cd", b"ef", b"gh"]),
        (fault("garbage", at_message=1, at_byte=1, data=b"?"), [b"ab", b"c?d", b"ef", b"gh"]),
        (fault("corrupt", at_byte=3, data=b"\x01"), [b"ab", b"ce", b"ef", b"gh"]),
        (fault("corrupt", at_message=1, data=b"\x20\x20\x20"), [b"ab", b"CD", b"ef", b"gh"]),
        (fault("corrupt", at_byte=3, every=3, data=b"\x20"), [b"ab", b"cD", b"ef", b"Gh"]),
        (fault("swallow", direction=TO_INSTRUMENT), [b"ab", b"cd", b"ef", b"gh"]),
        (fault("swallow", direction=WireDirection.BOTH, count=1), [b"", b"cd", b"ef", b"gh"]),
        (fault("swallow", address="other"), [b"ab", b"cd", b"ef", b"gh"]),
    ],
    ids=lambda value: value.kind.value if isinstance(value, WireFault) else None,
)
def test_pipe_gives_exact_bytes_when_messages_are_damaged(
    what: WireFault, expected: list[bytes]
) -> None:
    assert through(pipe_of(what), b"ab", b"cd", b"ef", b"gh") == expected


@pytest.mark.parametrize(
    "what",
    [
        fault("swallow", at_message=1),
        fault("duplicate", at_message=1),
        fault("reorder", at_message=1),
        fault("truncate", at_message=1, at_byte=1),
        fault("truncate", at_byte=5),
        fault("garbage", at_message=1, at_byte=2, data=b"\n?"),
        fault("garbage", size=2, every=2),
        fault("corrupt", at_message=1, data=b"\x01\x01"),
        fault("corrupt", bits=3),
        fault("cut", at_message=2),
        fault("cut", at_message=1, at_byte=4),
    ],
    ids=lambda what: f"{what.kind.value}-{what.at_message}-{what.at_byte}",
)
def test_pipe_gives_the_same_bytes_for_any_chunks_when_messages_have_an_end(
    what: WireFault,
) -> None:
    data = b"abc\r\ndef\r\nghi\r\njkl\r\n"
    whole = through(pipe_of(what, end=b"\r\n"), *data.splitlines(keepends=True))
    assert b"".join(whole) != data
    for size in (1, 2, 3, 4, 7, len(data)):
        pieces = [data[at : at + size] for at in range(0, len(data), size)]
        assert b"".join(through(pipe_of(what, end=b"\r\n"), *pieces)) == b"".join(whole)


def test_corrupt_flips_as_many_bits_as_it_says_when_it_takes_a_message() -> None:
    data = bytes(50)
    for bits in (1, 5, 400):
        (out,) = through(pipe_of(fault("corrupt", bits=bits)), data)
        assert sum(byte.bit_count() for byte in out) == bits
    (out,) = through(pipe_of(fault("corrupt", bits=400)), b"ab")
    assert out == bytes(255 - byte for byte in b"ab")


def test_corrupt_flips_bits_of_one_byte_when_it_has_a_place() -> None:
    (out,) = through(pipe_of(fault("corrupt", at_byte=7, bits=8)), bytes(20))
    assert out == bytes(7) + b"\xff" + bytes(12)
    (out,) = through(pipe_of(fault("corrupt", at_byte=7, bits=3)), bytes(20))
    assert out[7].bit_count() == 3
    assert out[:7] + out[8:] == bytes(19)


def test_garbage_is_of_the_plans_generator_when_it_is_random() -> None:
    (out,) = through(pipe_of(fault("garbage", size=6), seed=5), b"ab")
    assert out == np.random.default_rng([5, 0, 1]).bytes(6) + b"ab"


@pytest.mark.parametrize("place", range(8))
def test_cut_lets_just_its_bytes_through_when_it_is_at_any_byte(place: int) -> None:
    message = b"1.25E-3"
    pipe = pipe_of(fault("cut", at_byte=place))
    assert pipe.was_cut == (place == 0)
    pipe.push(message[:3])
    pipe.push(message[3:])
    pipe.push(b"next")
    assert pipe.pull() == message[:place]
    assert pipe.was_cut
    pipe.push(b"more")
    assert pipe.pull() == b""


@pytest.mark.parametrize("place", range(5))
def test_cut_is_counted_in_its_message_when_it_has_both_places(place: int) -> None:
    pipe = pipe_of(fault("cut", at_message=1, at_byte=place))
    assert through(pipe, b"abcd", b"efgh", b"ijkl") == [b"abcd", b"efgh"[:place], b""]
    assert pipe.was_cut


def test_cut_comes_at_once_when_it_has_no_place() -> None:
    active = ActiveFaults(WireFaultPlan())
    pipe = FaultyPipe(active, TO_CLIENT, SimulatedClock())
    assert through(pipe, b"ab") == [b"ab"]
    active.inject(fault("cut"))
    assert pipe.was_cut
    assert not FaultyPipe(active, TO_CLIENT, SimulatedClock()).closed


def test_cut_waits_for_the_bytes_before_it_when_they_are_late() -> None:
    clock = SimulatedClock()
    pipe = pipe_of(fault("delay", delay_s=2.0), fault("cut", at_byte=1), clock=clock)
    assert through(pipe, b"abc") == [b""]
    assert not is_closed(pipe)
    assert pipe.next_at() == 2.0
    clock.advance(2.0)
    assert pipe.pull() == b"a"
    assert pipe.was_cut


def test_delay_holds_what_follows_when_one_message_is_late() -> None:
    clock = SimulatedClock()
    pipe = pipe_of(fault("delay", at_message=1, delay_s=0.5), clock=clock)
    assert through(pipe, b"ab", b"cd", b"ef") == [b"ab", b"", b""]
    assert pipe.waiting == 4
    assert pipe.next_at() == 0.5
    clock.advance(0.25)
    assert pipe.pull() == b""
    clock.advance(0.25)
    assert pipe.pull() == b"cdef"
    assert pipe.waiting == 0
    assert pipe.next_at() is None


def test_delay_splits_a_message_when_it_is_at_a_byte() -> None:
    clock = SimulatedClock()
    pipe = pipe_of(fault("delay", at_byte=3, delay_s=0.5), clock=clock)
    assert through(pipe, b"abcdef") == [b"abc"]
    clock.advance(0.5)
    assert pipe.pull() == b"def"


def test_delay_draws_from_its_range_when_it_has_jitter() -> None:
    clock = SimulatedClock()
    pipe = pipe_of(fault("delay", delay_s=1.0, jitter_s=0.5), clock=clock, seed=9)
    pipe.push(b"ab")
    assert pipe.next_at() == 1.0 + np.random.default_rng([9, 0, 1]).uniform(0.0, 0.5)


@pytest.mark.parametrize("rate", [1.0, 3.0, 7.7, 1e3, 9600 / 10])
def test_throttle_gives_each_byte_at_its_time_when_the_clock_follows(rate: float) -> None:
    clock = SimulatedClock(now=123.456)
    pipe = pipe_of(fault("throttle", bytes_per_s=rate), clock=clock)
    pipe.push(b"0123456789")
    pipe.push(b"abcdefghij")
    got = b""
    while (time := pipe.next_at()) is not None:
        clock.advance(time - clock.now())
        if clock.now() < time:  # the sum was rounded down
            clock.advance(np.nextafter(time, np.inf) - clock.now())
        new = pipe.pull()
        assert len(new) == 1
        got += new
        assert clock.now() - 123.456 == pytest.approx(len(got) / rate, abs=1e-9)
    assert got == b"0123456789abcdefghij"


def test_throttle_keeps_its_rate_when_it_is_looked_at_now_and_then() -> None:
    clock = SimulatedClock()
    pipe = pipe_of(fault("throttle", bytes_per_s=100.0), clock=clock)
    pipe.push(bytes(1000))
    for step in range(1, 101):
        clock.advance(0.05)
        pipe.pull()
        assert abs(1000 - pipe.waiting - 5 * step) <= 1


def test_throttle_ends_when_its_duration_is_over() -> None:
    clock = SimulatedClock()
    pipe = pipe_of(fault("throttle", at_byte=2, bytes_per_s=1.0, duration_s=5.0), clock=clock)
    assert through(pipe, b"abcd") == [b"ab"]
    clock.advance(2.0)
    assert pipe.pull() == b"cd"
    clock.advance(3.0)
    assert through(pipe, b"efgh") == [b"efgh"]


def test_partition_holds_everything_and_the_end_when_it_lasts() -> None:
    clock = SimulatedClock()
    pipe = pipe_of(fault("partition", at_byte=3, duration_s=2.0), clock=clock)
    assert through(pipe, b"ab", b"cd", b"ef") == [b"ab", b"c", b""]
    pipe.finish()
    assert not is_closed(pipe)
    clock.advance(2.0)
    assert pipe.pull() == b"def"
    assert is_closed(pipe)


def test_partition_hides_the_end_when_nothing_comes_before_it() -> None:
    clock = SimulatedClock()
    pipe = pipe_of(fault("partition", duration_s=2.0), clock=clock)
    clock.advance(0.5)
    pipe.finish()
    assert not is_closed(pipe)
    assert pipe.next_at() == 2.0
    clock.advance(1.5)
    assert is_closed(pipe)


@given(st.floats(0, 1e4), st.floats(0.1, 1e7), st.integers(1, 40), st.integers(0, 50))
@settings(deadline=None)
def test_piece_is_ready_by_the_times_of_its_bytes(
    at_s: float, rate: float, size: int, count: int
) -> None:
    piece = Piece(data=bytes(size), at_s=at_s, bytes_per_s=rate)
    for now_s in (at_s + count / rate, np.nextafter(at_s + count / rate, 0.0)):
        slow = sum(at_s + n / rate <= now_s for n in range(1, size + 1))
        assert piece.ready(float(now_s)) == slow


def test_partition_lasts_until_it_is_cleared_when_it_has_no_duration() -> None:
    clock = SimulatedClock()
    active = ActiveFaults(WireFaultPlan())
    pipe = FaultyPipe(active, TO_CLIENT, clock)
    active.inject(fault("partition"))
    pipe.push(b"ab")
    pipe.finish()
    clock.advance(1e6)
    assert pipe.pull() == b""
    assert pipe.next_at() is None
    assert not is_closed(pipe)
    active.clear()
    assert pipe.pull() == b"ab"
    assert is_closed(pipe)
    assert not pipe.was_cut


def test_pipe_gives_all_bytes_in_order_when_it_is_cleared() -> None:
    active = ActiveFaults(
        WireFaultPlan(
            faults=(
                fault("reorder", at_message=2),
                fault("delay", at_message=1, delay_s=9.0),
            )
        )
    )
    pipe = FaultyPipe(active, TO_CLIENT, SimulatedClock())
    assert through(pipe, b"ab", b"cd", b"ef") == [b"ab", b"", b""]
    active.clear()
    assert pipe.pull() == b"cdef"
    assert through(pipe, b"gh", b"ij") == [b"gh", b"ij"]


def test_pipe_keeps_the_order_when_several_faults_hold_bytes_back() -> None:
    plan = WireFaultPlan(faults=(fault("reorder", at_message=1), fault("reorder", at_message=0)))
    active = ActiveFaults(plan)
    pipe = FaultyPipe(active, TO_CLIENT, SimulatedClock())
    assert through(pipe, b"ab", b"cd") == [b"", b""]
    active.clear()
    assert pipe.pull() == b"abcd"


def test_pipe_gives_up_what_it_holds_when_the_sender_ends() -> None:
    pipe = pipe_of(fault("reorder"))
    assert through(pipe, b"ab") == [b""]
    pipe.finish()
    assert pipe.pull() == b"ab"
    assert is_closed(pipe)


def test_faults_act_one_after_the_other_when_there_are_several() -> None:
    pipe = pipe_of(
        fault("garbage", at_byte=0, data=b"xy"),
        fault("corrupt", at_byte=1, data=b"\x20"),
        fault("duplicate", at_message=0),
    )
    assert through(pipe, b"ab", b"cd") == [b"xYabxYab", b"cd"]


def test_message_still_ends_for_the_next_fault_when_one_truncates_it() -> None:
    pipe = pipe_of(
        fault("truncate", at_message=0, at_byte=1),
        fault("garbage", at_message=1, data=b"?"),
        end=b"\n",
    )
    assert through(pipe, b"ab", b"c\n", b"de\n") == [b"a", b"", b"?de\n"]
    pipe = pipe_of(fault("truncate", at_message=0, at_byte=1), fault("duplicate"), end=b"\n")
    assert through(pipe, b"ab", b"c\n") == [b"a", b"a"]
    pipe = pipe_of(fault("garbage", data=b"?"), fault("swallow", at_message=1))
    assert through(pipe, b"ab", b"cd", b"ef") == [b"?ab", b"", b"?ef"]


def test_strikes_tell_how_often_each_fault_struck() -> None:
    plan = WireFaultPlan(faults=(fault("swallow", at_message=9), fault("duplicate", count=2)))
    active = ActiveFaults(plan)
    pipe = FaultyPipe(active, TO_CLIENT, SimulatedClock())
    assert active.inject(fault("garbage", data=b"?")) == 2
    through(pipe, b"a", b"b", b"c")
    assert active.strikes == (0, 2, 5)


def test_fault_strikes_once_over_all_connections_when_it_counts_over_the_life() -> None:
    active = ActiveFaults(WireFaultPlan(faults=(fault("cut", at_byte=3),)))
    outs = []
    for _ in range(3):
        pipe = FaultyPipe(active, TO_CLIENT, SimulatedClock())
        outs.append((through(pipe, b"ab", b"cd"), pipe.was_cut))
    assert outs == [([b"ab", b"c"], True), ([b"ab", b"cd"], False), ([b"ab", b"cd"], False)]


def test_fault_strikes_on_each_connection_when_it_counts_per_connection() -> None:
    active = ActiveFaults(WireFaultPlan(faults=(fault("cut", at_byte=3, per_connection=True),)))
    for _ in range(3):
        pipe = FaultyPipe(active, TO_CLIENT, SimulatedClock())
        assert through(pipe, b"ab", b"cd") == [b"ab", b"c"]
        assert pipe.was_cut


def test_message_counts_as_over_when_its_connection_ended_within_it() -> None:
    active = ActiveFaults(
        WireFaultPlan(faults=(fault("swallow", at_message=1),), message_end=b"\n")
    )
    first = FaultyPipe(active, TO_CLIENT, SimulatedClock())
    assert through(first, b"ab") == [b"ab"]
    second = FaultyPipe(active, TO_CLIENT, SimulatedClock())
    assert through(second, b"cd\n", b"ef\n") == [b"", b"ef\n"]


def test_fault_acts_on_its_link_only_when_it_has_an_address() -> None:
    plan = WireFaultPlan(faults=(fault("swallow", address="laser"),))
    for address, out in (("laser", b""), ("digitiser", b"ab")):
        pipe = FaultyPipe(ActiveFaults(plan, address), TO_CLIENT, SimulatedClock())
        assert through(pipe, b"ab") == [out]


def test_pipe_is_refused_when_it_goes_both_ways() -> None:
    with pytest.raises(ConfigurationError, match="one direction"):
        FaultyPipe(WireFaultPlan(), WireDirection.BOTH, SimulatedClock())


RANDOM = (
    fault("swallow", probability=0.2, direction=WireDirection.BOTH),
    fault("corrupt", bits=2, probability=0.5, direction=WireDirection.BOTH),
    fault("corrupt", at_byte=0, every=5, bits=1, direction=WireDirection.BOTH),
    fault("garbage", size=3, probability=0.4, direction=WireDirection.BOTH),
    fault("delay", delay_s=0.01, jitter_s=0.1, direction=WireDirection.BOTH),
    fault("reorder", probability=0.3, direction=WireDirection.BOTH),
    fault("throttle", bytes_per_s=300.0, direction=WireDirection.BOTH),
)


def timeline(seed: int, direction: WireDirection) -> list[tuple[float, bytes]]:
    clock = SimulatedClock()
    plan = WireFaultPlan(faults=RANDOM, seed=seed)
    pipe = FaultyPipe(plan, direction, clock)
    out = []
    for number in range(40):
        pipe.push(b"message %d" % number)
        clock.advance(0.02)
        out.append((clock.now(), pipe.pull()))
    pipe.finish()
    clock.advance(60.0)
    out.append((clock.now(), pipe.pull()))
    return out


def test_pipe_gives_the_same_bytes_at_the_same_times_when_it_is_replayed() -> None:
    seen = {}
    for seed, way in product((1, 2), (TO_CLIENT, TO_INSTRUMENT)):
        seen[seed, way] = timeline(seed, way)
        assert seen[seed, way] == timeline(seed, way)
    assert len({repr(out) for out in seen.values()}) == 4


def test_fault_strikes_as_often_as_its_probability_says() -> None:
    # 4000 draws at 0.25: a deviation of 300 is 11 standard deviations, below 1e-26.
    active = ActiveFaults(WireFaultPlan(faults=(fault("swallow", probability=0.25),), seed=4))
    pipe = FaultyPipe(active, TO_CLIENT, SimulatedClock())
    through(pipe, *[b"a"] * 4000)
    assert abs(active.strikes[0] - 1000) < 300


@given(
    st.lists(st.sampled_from(RANDOM), max_size=4),
    st.lists(st.binary(max_size=12), max_size=12),
    st.integers(0, 99),
    st.sampled_from([b"", b"\n"]),
)
@settings(max_examples=60, deadline=None)
def test_pipe_ends_and_counts_right_when_faults_are_mixed(
    faults: list[WireFault], messages: list[bytes], seed: int, end: bytes
) -> None:
    clock = SimulatedClock()
    pipe = pipe_of(*faults, clock=clock, seed=seed, end=end)
    for message in messages:
        pipe.push(message)
        clock.advance(0.001)
        pipe.pull()
    pipe.finish()
    for _ in range(10_000):
        time = pipe.next_at()
        if time is None:
            break
        clock.advance(max(time - clock.now(), 1e-3))
        pipe.pull()
    assert is_closed(pipe)
    assert pipe.waiting == 0
