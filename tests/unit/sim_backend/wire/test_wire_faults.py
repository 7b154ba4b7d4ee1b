"""Faults on a wire as data: what a fault and a plan refuse, and their text forms."""

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.errors import ConfigurationError
from sim_backend.wire.wire_faults import (
    WireDirection,
    WireFault,
    WireFaultKind,
    WireFaultPlan,
    plan_from_json,
    plan_from_toml,
    plan_to_json,
    plan_to_toml,
)

TO_CLIENT = WireDirection.TO_CLIENT
KINDS = {kind.value: kind for kind in WireFaultKind}
LEAST: dict[str, dict[str, Any]] = {
    "delay": {"delay_s": 0.5},
    "cut": {},
    "throttle": {"bytes_per_s": 100.0},
    "corrupt": {"bits": 3},
    "duplicate": {},
    "reorder": {},
    "partition": {},
    "garbage": {"size": 4},
    "truncate": {"at_byte": 2},
    "swallow": {},
}


def fault(kind: str, **values: Any) -> WireFault:
    return WireFault(kind=KINDS[kind], direction=TO_CLIENT, **values)


def test_every_kind_has_a_least_fault() -> None:
    assert set(LEAST) == set(KINDS)


@pytest.mark.parametrize("kind", LEAST)
def test_fault_is_taken_when_it_has_the_amounts_of_its_kind(kind: str) -> None:
    assert fault(kind, **LEAST[kind]).kind is KINDS[kind]


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        ("cut", {"at_byte": -1}, "at_byte is -1, it must be an integer from 0"),
        ("cut", {"at_byte": 1.5}, "at_byte is 1.5, it must be an integer"),
        ("cut", {"at_byte": True}, "at_byte is True, it must be an integer"),
        ("cut", {"at_message": -3}, "at_message is -3"),
        ("cut", {"every": 0}, "every is 0, it must be an integer from 1"),
        ("cut", {"count": 0}, "count is 0, it must be an integer from 1"),
        ("cut", {"probability": 0.0}, "probability is 0.0, it must be a finite number above 0"),
        ("cut", {"probability": 1.5}, "probability is 1.5.* at most 1"),
        ("cut", {"probability": math.nan}, "probability is nan"),
        ("cut", {"address": "a\nb"}, "address is 'a\\\\nb', it must be printable"),
        ("cut", {"address": 5}, "address is 5"),
        ("cut", {"per_connection": 1}, "per_connection is 1, it must be true or false"),
        ("cut", {"delay_s": 1.0}, "delay_s means nothing for a cut"),
        ("delay", {}, "delay_s is missing, a delay needs it"),
        ("delay", {"delay_s": -1.0}, "delay_s is -1.0, it must be a finite number at least 0"),
        ("delay", {"delay_s": math.inf}, "delay_s is inf"),
        ("delay", {"delay_s": math.nan}, "delay_s is nan"),
        ("delay", {"delay_s": "1"}, "delay_s is '1'"),
        ("delay", {"delay_s": 1.0, "jitter_s": 0.0}, "jitter_s is 0.0.* above 0"),
        ("throttle", {}, "bytes_per_s is missing"),
        ("throttle", {"bytes_per_s": 0.0}, "bytes_per_s is 0.0"),
        ("throttle", {"bytes_per_s": 1.0, "every": 2}, "without duration_s a throttle never ends"),
        ("partition", {"duration_s": -2.0}, "duration_s is -2.0"),
        ("partition", {"every": 2}, "without duration_s a partition never ends"),
        ("corrupt", {}, "a corrupt takes bits or data, one of them"),
        ("corrupt", {"bits": 1, "data": b"x"}, "one of them"),
        ("corrupt", {"bits": 0}, "bits is 0, it must be an integer from 1"),
        ("corrupt", {"bits": 9, "at_byte": 0}, "bits is 9, it must be an integer from 1 to 8"),
        ("garbage", {}, "a garbage takes size or data"),
        ("garbage", {"size": 1 << 21}, "size is 2097152"),
        ("garbage", {"data": "text"}, "data is a str, it must be bytes"),
        ("garbage", {"data": bytes((1 << 20) + 1)}, "data has 1048577 bytes, the limit"),
        ("truncate", {}, "at_byte is missing, a truncate needs it"),
        ("duplicate", {"at_byte": 2}, "at_byte is 2, but a duplicate takes whole messages"),
        ("reorder", {"at_byte": 2}, "a reorder takes whole messages"),
        ("swallow", {"at_byte": 2}, "a swallow takes whole messages"),
    ],
)
def test_fault_is_refused_when_a_value_is_wrong(
    kind: str, values: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        fault(kind, **values)


def test_fault_is_refused_when_kind_or_direction_are_text() -> None:
    values: Any = {"kind": "cut", "direction": TO_CLIENT}
    with pytest.raises(ConfigurationError, match="kind is 'cut', it must be a WireFaultKind"):
        WireFault(**values)
    values = {"kind": WireFaultKind.CUT, "direction": "both"}
    with pytest.raises(ConfigurationError, match="direction is 'both', it must be a WireDirection"):
        WireFault(**values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"seed": -1}, "seed is -1"),
        ({"seed": None}, "seed is None"),
        ({"message_end": "x"}, "message_end is a str"),
        ({"faults": []}, "faults is a list, it must be a tuple"),
        ({"faults": (3,)}, "faults.0 is 3, it must be a WireFault"),
    ],
)
def test_plan_is_refused_when_a_value_is_wrong(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        WireFaultPlan(**values)


def test_fault_acts_only_on_its_direction_and_address() -> None:
    one = fault("cut", address="laser")
    assert one.acts(TO_CLIENT, "laser")
    assert not one.acts(TO_CLIENT, "digitiser")
    assert not one.acts(WireDirection.TO_INSTRUMENT, "laser")
    both = WireFault(kind=WireFaultKind.CUT, direction=WireDirection.BOTH)
    assert both.acts(TO_CLIENT, "laser")
    assert both.acts(WireDirection.TO_INSTRUMENT, "")


def test_plan_reads_json_when_all_keys_are_known() -> None:
    plan = plan_from_json(
        '{"seed": 7, "message_end_hex": "0d0a", "faults": ['
        '{"kind": "garbage", "direction": "to instrument", "at_message": 2, "data_hex": "00ff"},'
        '{"kind": "delay", "direction": "both", "delay_s": 1, "address": "laser"}]}'
    )
    assert plan == WireFaultPlan(
        seed=7,
        message_end=b"\r\n",
        faults=(
            WireFault(
                kind=WireFaultKind.GARBAGE,
                direction=WireDirection.TO_INSTRUMENT,
                at_message=2,
                data=b"\x00\xff",
            ),
            WireFault(
                kind=WireFaultKind.DELAY,
                direction=WireDirection.BOTH,
                delay_s=1,
                address="laser",
            ),
        ),
    )


def test_plan_reads_toml_when_all_keys_are_known() -> None:
    plan = plan_from_toml(
        'seed = 3\n[[faults]]\nkind = "cut"\ndirection = "to client"\nat_byte = 12\n'
    )
    assert plan == WireFaultPlan(seed=3, faults=(fault("cut", at_byte=12),))


def test_plan_leaves_defaults_out_when_it_is_written() -> None:
    plan = WireFaultPlan(faults=(fault("cut", at_byte=0),))
    assert json.loads(plan_to_json(plan)) == {
        "seed": 0,
        "faults": [{"kind": "cut", "direction": "to client", "at_byte": 0}],
    }


@st.composite
def plans(draw: st.DrawFn) -> WireFaultPlan:
    faults = []
    for kind in draw(st.lists(st.sampled_from(sorted(LEAST)), max_size=4)):
        values = dict(LEAST[kind])
        values["address"] = draw(st.text(st.characters(min_codepoint=32), max_size=6))
        if not (values["address"] + "x").isprintable():
            values["address"] = "laser é \U0001f4a5 \"'\\"
        values["at_message"] = draw(st.none() | st.integers(0, 9))
        values["count"] = draw(st.none() | st.integers(1, 9))
        values["probability"] = draw(st.floats(1e-6, 1.0))
        values["per_connection"] = draw(st.booleans())
        if kind == "delay":
            values["delay_s"] = draw(st.floats(0, 1e9, allow_subnormal=False))
        if kind == "garbage":
            values.update(size=None, data=draw(st.binary(min_size=1, max_size=8)))
        faults.append(fault(kind, **values))
    return WireFaultPlan(
        faults=tuple(faults),
        seed=draw(st.integers(0, 1 << 62)),
        message_end=draw(st.binary(max_size=3)),
    )


@given(plans())
@settings(max_examples=60, deadline=None)
def test_plan_is_the_same_when_it_is_written_and_read(plan: WireFaultPlan) -> None:
    assert plan_from_json(plan_to_json(plan)) == plan
    assert plan_from_toml(plan_to_toml(plan)) == plan


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not valid JSON"),
        ("[1]", "is a list, it must be an object"),
        ('{"sed": 1}', "unknown key sed; did you mean seed\\?"),
        ('{"zzz": 1}', "unknown key zzz; known are faults, seed, message_end_hex"),
        ('{"seed": 1, "seed": 2}', "a key stands twice"),
        ('{"seed": NaN}', "NaN is no number"),
        ('{"seed": 1.0}', "seed is 1.0, it must be an integer"),
        ('{"seed": "1"}', "seed is '1'"),
        ('{"message_end_hex": "0"}', "message_end_hex is '0'.*pairs of hexadecimal digits"),
        ('{"message_end_hex": 10}', "message_end_hex is 10"),
        ('{"faults": {}}', "faults must be a list of tables"),
        ('{"faults": [1]}', "faults must be a list of tables"),
        ('{"faults": [{"direction": "both"}]}', "faults.0.kind is missing"),
        ('{"faults": [{"kind": "cut"}]}', "faults.0.direction is missing"),
        (
            '{"faults": [{"kind": "cutt", "direction": "both"}]}',
            "faults.0.kind is 'cutt'; did you mean cut\\?",
        ),
        (
            '{"faults": [{"kind": "cut", "direction": "x"}]}',
            "faults.0.direction is 'x'; choose from to instrument, to client, both",
        ),
        (
            '{"faults": [{"kind": "cut", "direction": "both"}, '
            '{"kind": "cut", "direction": "both", "at_bite": 1}]}',
            "unknown key faults.1.at_bite; did you mean faults.1.at_byte\\?",
        ),
        (
            '{"faults": [{"kind": "cut", "direction": "both", "at_byte": -2}]}',
            "wire fault plan: faults.0.at_byte is -2",
        ),
        (
            '{"faults": [{"kind": "cut", "direction": "both", "data": "00"}]}',
            "unknown key faults.0.data; did you mean faults.0.data_hex\\?",
        ),
        (
            '{"faults": [{"kind": "garbage", "direction": "both", "data_hex": "xy"}]}',
            "faults.0.data_hex is 'xy'",
        ),
    ],
)
def test_plan_names_the_path_when_json_is_wrong(text: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        plan_from_json(text)


def test_plan_is_refused_when_the_text_is_deep_or_long() -> None:
    with pytest.raises(ConfigurationError, match="not valid JSON"):
        plan_from_json("[" * 100_000)
    with pytest.raises(ConfigurationError, match="characters, the limit is"):
        plan_from_json(" " * (1 << 20) + "{}")
    with pytest.raises(ConfigurationError, match="not valid TOML"):
        plan_from_toml("seed = ")


@given(st.text(max_size=60) | st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["faults", "seed", "kind", "direction", "at_byte", "data_hex"]), inner
    ),
    max_leaves=8,
).map(json.dumps))  # fmt: skip
@settings(max_examples=200, deadline=None)
def test_plan_raises_nothing_else_when_the_text_is_arbitrary(text: str) -> None:
    try:
        plan = plan_from_json(text)
    except ConfigurationError:
        return
    assert isinstance(plan, WireFaultPlan)
