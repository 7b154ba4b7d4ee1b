"""Interbus: published telegrams, and whatever noise may come."""

import logging
from typing import Any

import numpy as np
import pytest

from drivers.dialects.interbus import Interbus, Kind, Telegram, decode, encode
from drivers.errors import AnswerError, LinkError, RefusedError
from sim_backend.wire.dialects.interbus import frame
from tests.wire.scripted import Script

_PUBLISHED = [
    ("0D 01 A1 04 61 4C 5B 0A", (1, 161, 4, 0x61, "")),
    ("0D A1 01 08 61 33 61 0B 0A", (161, 1, 8, 0x61, "33")),
    ("0D 01 A2 04 66 65 EC 0A", (1, 162, 4, 0x66, "")),
    ("0D A2 01 08 66 01 00 5F 00 0A", (162, 1, 8, 0x66, "0100")),
    ("0D 01 A2 05 30 01 53 0B 0A", (1, 162, 5, 0x30, "01")),
    ("0D A2 01 03 30 53 2E 0A", (162, 1, 3, 0x30, "")),
    ("0D 01 A1 05 30 00 D8 F6 0A", (1, 161, 5, 0x30, "00")),
    ("0D 01 A1 05 22 E8 03 38 0E 0A", (1, 161, 5, 0x22, "E803")),
    ("0D 01 A1 05 2A 9C FF 7B A1 0A", (1, 161, 5, 0x2A, "9CFF")),
    ("0D 01 A1 04 17 52 5E 4A 0A", (1, 161, 4, 0x17, "")),
    ("0D A1 01 08 17 E7 03 F4 AF 0A", (161, 1, 8, 0x17, "E703")),
    ("0D 5E 4A A1 04 61 52 44 0A", (10, 161, 4, 0x61, "")),
    ("0D A1 01 00 30 9D A1 0A", (161, 1, 0, 0x30, "")),
]


@pytest.mark.parametrize(("text", "fields"), _PUBLISHED)
def test_telegram_has_the_published_bytes_when_encoded_and_decoded(
    text: str, fields: tuple[int, int, int, int, str]
) -> None:
    destination, source, kind, register, data = fields
    telegram = Telegram(
        destination=destination,
        source=source,
        kind=kind,
        register=register,
        data=bytes.fromhex(data),
    )
    assert encode(telegram) == bytes.fromhex(text)
    assert decode(bytes.fromhex(text)[:-1]) == telegram


def test_telegrams_are_decoded_or_refused_when_random_or_mutated() -> None:
    rng = np.random.default_rng(4)
    published = [bytes.fromhex(text)[:-1] for text, _ in _PUBLISHED]
    good = 0
    for index in range(10_000):
        data = bytearray(published[index % len(published)])
        if index % 3 == 0:
            data = bytearray(rng.bytes(int(rng.integers(0, 24))))
        elif index % 3 == 1:
            data[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))
        try:
            assert isinstance(decode(bytes(data)), Telegram)
            good += 1
        except AnswerError:
            continue
    # Every single flipped bit is found; two random bytes in 65536 are not, in 3300 trials.
    assert 3333 <= good < 3340


class _Noise(Script):
    """Answers every message with bytes of its own making."""

    def __init__(self, rng: np.random.Generator) -> None:
        super().__init__([])
        self._rng = rng

    def send(self, data: Any, timeout_s: float) -> None:
        asked = decode(bytes(data)[:-1])
        style = int(self._rng.integers(8))
        if style < 2:
            self._answer += self._rng.bytes(int(self._rng.integers(0, 30))) + b"\n" * (style % 2)
            return
        kind = int(self._rng.integers(10)) if style < 5 else (8 if asked.kind == Kind.READ else 3)
        body = self._rng.bytes(int(self._rng.integers(0, 5)))
        answer = bytearray(frame(asked.source, asked.destination, kind, asked.register, body))
        if style == 5:
            answer[int(self._rng.integers(len(answer)))] ^= 1 << int(self._rng.integers(8))
        self._answer += answer


def test_dialogue_raises_nothing_but_errors_of_the_link_when_telegrams_are_noise(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.CRITICAL, "veilight.links")
    noise = _Noise(np.random.default_rng(5))
    link = noise.link(timeout_s=0.1)
    module = Interbus("laser", link, noise.clock, 1)
    link.attach("laser", lambda: None)
    kinds: dict[str, int] = {}
    for index in range(5000):
        name = "good"
        try:
            module.number(0x22, 2) if index % 2 else module.write(0x22, 1000, 2)
        except (AnswerError, LinkError, RefusedError) as error:
            name = type(error).__name__
        kinds[name] = kinds.get(name, 0) + 1
    assert set(kinds) >= {"good", "AnswerError", "LinkTimeoutError", "InterbusRefusalError"}


def test_dialogue_gives_up_when_only_late_answers_come() -> None:
    late = frame(162, 1, 8, 0x22, b"\1\0") * 3
    script = Script([(frame(1, 161, 4, 0x22), late)] * 2)
    link = script.link()
    link.attach("laser", lambda: None)
    with pytest.raises(AnswerError, match="only late answers"):
        Interbus("laser", link, script.clock, 1).read(0x22)
    script.finish()
