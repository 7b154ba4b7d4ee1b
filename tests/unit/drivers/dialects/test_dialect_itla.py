"""The dialect of tunable laser modules: published packets, and whatever noise may come."""

import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from drivers.dialects.itla import Itla, ItlaError
from drivers.dialects.itla_packets import Answer, parse, request
from drivers.errors import AnswerError, InstrumentError, LinkError
from tests.wire.pure_photonics_ppcl550 import sealed
from tests.wire.scripted import Script

_PUBLISHED = [
    "00000000", "54000010", "10000010", "F603000A", "B203000A", "B00B0000", "340B434F", "700B434F",
    "613103E8", "343103E8", "703103E8", "913500C2", "813606D7", "81670019", "31300001", "81320008",
    "77320100", "33320100", "44000110", "00000110", "60420000", "944203E6", "D04203E6", "40400000",
    "50410000", "E44000C2", "D44106D7", "8162FE0C", "D462FE0C", "A1900002", "81900000", "41310546",
    "05310546", "41310546", "64000013", "20000013", "01320000", "20200000", "312000FF", "88000000",
]  # fmt: skip


@pytest.mark.parametrize("text", _PUBLISHED)
def test_packet_has_the_published_checksum_whensealed(text: str) -> None:
    packet = bytes.fromhex(text)
    assert sealed(packet[0] & 0x0F, packet[1], int.from_bytes(packet[2:], "big")) == packet
    if packet[0] & 0x0F in (0, 1):
        value = int.from_bytes(packet[2:], "big")
        writes = bool(packet[0] & 1)
        if writes or not value:
            assert request(packet[1], value if writes else None) == packet


def test_packets_are_answers_or_refused_when_random_or_mutated() -> None:
    rng = np.random.default_rng(1)
    published = [bytes.fromhex(text) for text in _PUBLISHED]
    good = 0
    for index in range(10_000):
        packet = bytearray(published[index % len(published)])
        if index % 3 == 0:
            packet = bytearray(rng.bytes(int(rng.integers(0, 9))))
        elif index % 3 == 1:
            packet[int(rng.integers(4))] ^= 1 << int(rng.integers(8))
        try:
            assert isinstance(parse(bytes(packet), packet[1] if len(packet) > 1 else 0), Answer)
            good += 1
        except AnswerError:
            continue
    assert 3000 < good < 5000


class _Noise(Script):
    """Answers every four bytes with bytes of its own making."""

    def __init__(self, rng: np.random.Generator) -> None:
        super().__init__([])
        self._rng = rng

    def send(self, data: Any, timeout_s: float) -> None:
        self._sent += bytes(data)
        while len(self._sent) >= 4:
            packet = bytearray(self._sent[:4])
            del self._sent[:4]
            style = int(self._rng.integers(6))
            if style == 0:
                self._answer += self._rng.bytes(int(self._rng.integers(0, 12)))
            elif style == 1:
                status = int(self._rng.integers(16))
                self._answer += sealed(status, packet[1], int(self._rng.integers(1 << 16)))
            elif style == 2:
                packet[int(self._rng.integers(4))] ^= 1 << int(self._rng.integers(8))
                self._answer += packet
            else:
                self._answer += sealed(4, packet[1], int(self._rng.integers(1 << 16)))


def test_dialogue_raises_nothing_but_errors_of_the_link_when_answers_are_noise(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.CRITICAL, "veilight.links")
    noise = _Noise(np.random.default_rng(2))
    link = noise.link(timeout_s=0.1)
    itla = Itla("laser", link, noise.clock)
    link.attach("laser", lambda: None)
    kinds: dict[str, int] = {}
    calls: tuple[Callable[[], object], ...] = (
        lambda: itla.read(0x31),
        lambda: itla.text(0x03),
        lambda: itla.write(0x31, 1000, wait_s=0.2),
        itla.resynchronise,
    )
    for _ in range(10_000 // len(calls)):
        for call in calls:
            name = "good"
            try:
                call()
            except (AnswerError, LinkError, ItlaError) as error:
                name = type(error).__name__
            except InstrumentError:
                name = "waited"
            kinds[name] = kinds.get(name, 0) + 1
    assert set(kinds) >= {"good", "waited", "AnswerError", "LinkTimeoutError", "ItlaError"}, kinds


def _dialogue(*pairs: tuple[bytes, bytes]) -> tuple[Script, Itla]:
    script = Script(pairs)
    link = script.link()
    link.attach("laser", lambda: None)
    return script, Itla("laser", link, script.clock)


def test_register_is_not_taken_as_missing_when_the_module_initialises() -> None:
    refused = (sealed(0, 0x67, 0), sealed(5, 0x67, 0))
    script, itla = _dialogue(refused, (bytes(4), sealed(4, 0, 0x0005)))
    with pytest.raises(ItlaError, match="CII"):
        itla.has(0x67)
    script.finish()


def test_order_is_given_up_when_the_module_is_idle_and_says_that_it_is_busy() -> None:
    refused = (sealed(1, 0x31, 1000), sealed(5, 0x31, 1000))
    reason, idle = (bytes(4), sealed(4, 0, 0x0014)), (bytes(4), sealed(4, 0, 0x0010))
    script, itla = _dialogue(*[refused, reason, idle] * 2, refused, reason)
    with pytest.raises(ItlaError, match="CIP"):
        itla.write(0x31, 1000, wait_s=0.1)
    script.finish()
