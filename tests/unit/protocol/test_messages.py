"""The text form of messages: roundtrip, and nothing but ProtocolError for what is not one."""

import json
from dataclasses import fields
from typing import Any, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.backend import Block
from drivers.errors import ProtocolError
from protocol.messages import (
    BlockMeasured,
    BlockReady,
    BlockSent,
    BlockVerdict,
    Farewell,
    Finish,
    Hello,
    Message,
    Offer,
    Query,
    QueryGranted,
    Refusal,
    decode_message,
    encode_message,
)

KINDS: tuple[type[Message], ...] = (
    Hello,
    Offer,
    Query,
    QueryGranted,
    BlockReady,
    BlockSent,
    BlockMeasured,
    BlockVerdict,
    Finish,
    Farewell,
    Refusal,
)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
# Lone surrogates are no text that a peer could send in UTF-8, but JSON escapes carry them.
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | NUMBERS | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)
VALUES: dict[object, st.SearchStrategy[Any]] = {
    int: st.integers(),
    float: NUMBERS,
    str: st.text(max_size=30),
    bool: st.booleans(),
}


def messages(kind: type[Message]) -> st.SearchStrategy[Message]:
    hints = get_type_hints(kind)
    objects = st.dictionaries(st.text(max_size=5), JSON, max_size=4)
    return st.builds(
        kind, **{field.name: VALUES.get(hints[field.name], objects) for field in fields(kind)}
    )


def sample(kind: type[Message]) -> dict[str, Any]:
    """The fields of one valid message of `kind`, as JSON would hold them."""
    hints = get_type_hints(kind)
    values: dict[object, Any] = {int: 3, float: 0.5, str: "text", bool: True}
    entries = {field.name: values.get(hints[field.name], {}) for field in fields(kind)}
    return {"kind": kind.kind, **entries}


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_decode_message_returns_the_same_message_when_it_was_encoded(
    kind: type[Message], data: st.DataObject
) -> None:
    message = data.draw(messages(kind))
    decoded = decode_message(encode_message(message))
    assert type(decoded) is kind
    assert decoded == message


def test_kinds_have_names_of_their_own_when_listed() -> None:
    assert len({kind.kind for kind in KINDS}) == len(KINDS)
    for kind in KINDS:
        assert decode_message(json.dumps(sample(kind)).encode()) == kind(
            **{k: v for k, v in sample(kind).items() if k != "kind"}
        )


@pytest.mark.parametrize("kind", KINDS)
def test_decode_message_refuses_when_a_field_is_missing_surplus_or_of_another_type(
    kind: type[Message],
) -> None:
    good = sample(kind)
    for name in fields(kind):
        missing = {key: value for key, value in good.items() if key != name.name}
        with pytest.raises(ProtocolError, match=name.name):
            decode_message(json.dumps(missing).encode())
        for wrong in (None, [1], "7" if not isinstance(good[name.name], str) else 7):
            with pytest.raises(ProtocolError, match=name.name):
                decode_message(json.dumps({**good, name.name: wrong}).encode())
    with pytest.raises(ProtocolError, match="weight"):
        decode_message(json.dumps({**good, "weight": 0.5}).encode())


@pytest.mark.parametrize("wrong", [True, 1.0, "1", None])
def test_decode_message_refuses_when_a_whole_number_is_something_like_it(wrong: object) -> None:
    text = json.dumps({"kind": "query", "session": "s", "samples": wrong}).encode()
    with pytest.raises(ProtocolError, match="samples"):
        decode_message(text)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\xff\xfe",
        b"null",
        b"[]",
        b"7",
        b'"hello"',
        b"{}",
        b'{"kind": "unknown"}',
        b'{"kind": 7}',
        b'{"kind": ["hello"]}',
        b'{"kind": {"hello": 1}}',
        b'{"kind": null}',
        b'{"kind": "query", "session": "s", "samples": 1, "samples": 2}',
        b'{"kind": "offer", "version": 1, "session": "s", "plan": {}, "graph": {"a": 1, "a": 1}}',
        b'{"kind": "query", "session": "s", "samples": 1',
        b'{"kind": "query", "session": "s", "samples": NaN}',
        b'{"kind": "hello", "version": 1, "receiver": "amplifier", "receiver_setting": NaN, '
        b'"modes_per_frame": 1}',
        b'{"kind": "hello", "version": 1, "receiver": "amplifier", "receiver_setting": Infinity, '
        b'"modes_per_frame": 1}',
        b'{"kind": "hello", "version": 1, "receiver": "amplifier", "receiver_setting": 1e999, '
        b'"modes_per_frame": 1}',
        b'{"kind": "query", "session": "s", "samples": ' + b"9" * 5000 + b"}",
        b"[" * 60_000,
        b'{"kind":' * 8_000,
        b'{"kind": "offer", "version": 1, "session": "s", "plan": {}, "graph": '
        + b'{"a":' * 10_000
        + b"1"
        + b"}" * 10_001,
        b" " * (64 * 1024 + 1),
    ],
)
def test_decode_message_refuses_when_the_text_is_not_a_message(text: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode_message(text)


@given(text=st.binary(max_size=300))
@settings(max_examples=300, deadline=None)
def test_decode_message_raises_nothing_else_when_bytes_are_random(text: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode_message(text)


@given(value=JSON)
@settings(max_examples=200, deadline=None)
def test_decode_message_raises_nothing_else_when_json_is_random(value: object) -> None:
    for data in (value, {"kind": "hello", "version": value}, {"kind": value}):
        with pytest.raises(ProtocolError):
            decode_message(json.dumps(data).encode())


@given(data=st.data(), kind=st.sampled_from(KINDS))
@settings(max_examples=200, deadline=None)
def test_decode_message_reads_or_refuses_when_a_byte_is_changed(
    data: st.DataObject, kind: type[Message]
) -> None:
    text = bytearray(json.dumps(sample(kind)).encode())
    position = data.draw(st.integers(0, len(text) - 1))
    text[position] = data.draw(st.integers(0, 255))
    try:
        message = decode_message(bytes(text))
    except ProtocolError:
        return
    assert isinstance(message, KINDS)


def test_encode_message_refuses_when_a_message_exceeds_the_cap() -> None:
    with pytest.raises(ProtocolError, match="65536"):
        encode_message(Refusal(error="ProtocolError", reason="x" * 70_000))


def test_block_messages_name_the_same_block_when_built_from_one() -> None:
    block = Block(run=1, layer=2, tile=3, first_input=4, inputs=5, first_row=6, rows=7, modes=8)
    for kind in (BlockReady, BlockSent, BlockMeasured):
        assert kind(session="s", **vars(block)).block() == block
    verdict = BlockVerdict(session="s", accepted=True, reason="", **vars(block))
    assert verdict.block() == block


def test_messages_have_room_for_a_float_in_agreed_settings_alone_when_listed() -> None:
    """Weights, data and outcomes are floats; the offer's objects are tested on real sessions."""
    found = {
        (kind.kind, field.name)
        for kind in KINDS
        for field in fields(kind)
        if get_type_hints(kind)[field.name] not in (int, str, bool)
    }
    assert found == {
        ("hello", "receiver_setting"),
        ("offer", "graph"),
        ("offer", "plan"),
        ("offer", "audit_share"),
        ("offer", "x_share"),
        ("offer", "dither_snu"),
    }
