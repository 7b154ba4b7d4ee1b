"""The plan: numbers of blocks and symbols, ranges, and its way through a message."""

import copy
import json
import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.errors import ConfigurationError, ProtocolError, VeilightError
from protocol.encoding import make_plan
from protocol.plan import Plan
from tests.unit.protocol.session_bench import convolutional, perceptron


def plan_of(**changes: int) -> Plan:
    return make_plan(convolutional(), (0.5, 2.0), encoding="complex", modes_per_frame=4, **changes)


def test_plan_counts_blocks_and_symbols_when_rows_tiles_and_batches_divide_unevenly() -> None:
    plan = plan_of(rows_per_block=2, samples_per_block=3)
    convolution, linear = plan.layers
    # 2 x 3 x 2 + 1 = 13 entries in 7 modes; (8 + 4 - 3)//2 + 1 = 5 by 7 + 2 - 3 + 1 = 7 positions.
    assert (convolution.rows, convolution.entries, convolution.tiles) == (3, 13, (4, 3))
    assert convolution.positions == 35
    assert (linear.rows, linear.entries, linear.tiles) == (4, 19, (4, 3, 3))
    assert list(plan.row_ranges(convolution)) == [(0, 2), (2, 1)]
    assert list(plan.row_ranges(linear)) == [(0, 2), (2, 2)]
    assert plan.blocks(7) == 3 * (2 * 2 + 2 * 3)
    assert plan.symbols(7) == 7 * (3 * 7 * 35 + 4 * 10)
    assert list(plan.input_ranges(convolution, range(3, 6))) == [(105, 105)]
    block = plan.block(0, convolution, 1, (2, 1), (105, 105))
    assert (block.first_input, block.inputs, block.modes, block.rows) == (105, 105, 3, 1)
    assert plan.of_layer(4) is linear
    with pytest.raises(ProtocolError, match="layer 3"):
        plan.of_layer(3)


def test_plan_cuts_a_batch_into_ranges_when_inputs_per_block_is_set() -> None:
    plan = plan_of(rows_per_block=2, samples_per_block=3, inputs_per_block=40)
    convolution, linear = plan.layers
    assert list(plan.input_ranges(convolution, range(3, 6))) == [(105, 40), (145, 40), (185, 25)]
    assert list(plan.input_ranges(convolution, range(6, 7))) == [(210, 35)]
    assert list(plan.input_ranges(linear, range(3, 6))) == [(3, 3)]
    assert [plan.input_range(convolution, range(3, 6), at) for at in (105, 144, 145, 209)] == [
        (105, 40),
        (105, 40),
        (145, 40),
        (185, 25),
    ]
    # Two full batches and one of a single sample; rows and tiles as without.
    assert plan.blocks_of_batch(3) == 3 * 2 * 2 + 1 * 2 * 3
    assert plan.blocks(7) == 2 * plan.blocks_of_batch(3) + plan.blocks_of_batch(1)
    assert plan.blocks_of_batch(1) == 1 * 2 * 2 + 1 * 2 * 3
    assert plan.symbols(7) == plan_of().symbols(7)
    assert [plan.largest_inputs(layer, 7) for layer in plan.layers] == [40, 3]
    assert [plan.largest_inputs(layer, 1) for layer in plan.layers] == [35, 1]
    assert [plan_of(samples_per_block=3).largest_inputs(layer, 7) for layer in plan.layers] == [
        105,
        3,
    ]


def test_batch_is_the_one_of_the_sample_when_a_block_begins_within_it() -> None:
    plan = plan_of(samples_per_block=3, inputs_per_block=40)
    convolution = plan.layers[0]
    assert plan.batch(convolution, 145, 7) == range(3, 6)
    assert plan.batch(convolution, 210, 7) == range(6, 7)
    assert not plan.batch(convolution, 315, 7)


@given(
    samples=st.integers(1, 9),
    per_block=st.integers(1, 5),
    inputs=st.integers(0, 150),
)
@settings(max_examples=60, deadline=None)
def test_ranges_cover_every_input_once_when_they_are_put_together(
    samples: int, per_block: int, inputs: int
) -> None:
    plan = plan_of(samples_per_block=per_block, inputs_per_block=inputs)
    blocks = 0
    for layer in plan.layers:
        seen: list[int] = []
        for start in range(0, samples, per_block):
            batch = range(start, min(start + per_block, samples))
            for first, count in plan.input_ranges(layer, batch):
                assert plan.batch(layer, first, samples) == batch
                assert count <= plan.largest_inputs(layer, samples)
                seen += range(first, first + count)
                blocks += len(layer.tiles)
        assert seen == list(range(samples * layer.positions))
    assert blocks == plan.blocks(samples)


def test_blocks_counts_exactly_when_the_number_of_samples_is_beyond_a_float() -> None:
    plan = plan_of(samples_per_block=10)
    assert plan.blocks(10**400 + 1) == (10**399 + 1) * 5


def test_plan_returns_the_same_when_it_crosses_as_text() -> None:
    plan = plan_of(rows_per_block=2, samples_per_block=3, inputs_per_block=7)
    assert Plan.from_dict(json.loads(json.dumps(plan.to_dict()))) == plan


def edited(plan: Plan, path: tuple[Any, ...], value: object) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(json.dumps(plan.to_dict()))
    target: Any = data
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = value
    return data


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("layers",), None),
        (("layers",), {}),
        (("layers", 0), 7),
        (("layers", 0, "weights"), [0.5]),
        (("layers", 0, "tiles"), 5),
        (("layers", 0, "tiles"), ["a"]),
        (("layers", 0, "tiles"), [0, 7]),
        (("layers", 0, "tiles"), [-1, 8]),
        (("layers", 0, "tiles"), [3.5, 3.5]),
        (("layers", 0, "rows"), "3"),
        (("layers", 0, "rows"), 3.0),
        (("layers", 0, "positions"), True),
        (("layers", 0, "photons_per_symbol"), "x"),
        (("layers", 0, "scale_snu"), None),
        (("layers", 0, "scale_snu"), 10**400),
        (("rows_per_block",), -1),
        (("rows_per_block",), "2"),
        (("inputs_per_block",), -1),
        (("inputs_per_block",), 2.0),
        (("samples_per_block",), 0),
        (("samples_per_block",), 1.5),
        (("weights",), [1.0]),
    ],
)
def test_from_dict_refuses_when_a_field_is_of_the_wrong_kind(
    path: tuple[Any, ...], value: object
) -> None:
    with pytest.raises(ProtocolError, match="plan cannot be read"):
        Plan.from_dict(edited(plan_of(), path, value))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("photons_per_symbol", 0.0),
        ("photons_per_symbol", math.nan),
        ("photons_per_symbol", -1.0),
        ("scale_snu", math.inf),
        ("scale_snu", 0.0),
        ("encoding", "amplitude"),
        ("encoding", ["real"]),
    ],
)
def test_from_dict_refuses_when_a_number_is_out_of_range(name: str, value: object) -> None:
    with pytest.raises(ConfigurationError, match="layer 0"):
        Plan.from_dict(edited(plan_of(), ("layers", 0, name), value))


@pytest.mark.parametrize(
    "name", ["rows_per_block", "samples_per_block", "inputs_per_block", "layers"]
)
def test_from_dict_refuses_when_a_field_is_missing(name: str) -> None:
    data = plan_of().to_dict()
    del data[name]
    with pytest.raises(ProtocolError, match=name):
        Plan.from_dict(data)


@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_from_dict_and_check_graph_refuse_by_name_when_any_field_is_replaced(
    data: st.DataObject,
) -> None:
    plan, graph = plan_of(), convolutional().graph
    text: dict[str, Any] = json.loads(json.dumps(plan.to_dict()))
    paths: list[tuple[Any, ...]] = [(name,) for name in text]
    paths += [("layers", i, name) for i in (0, 1) for name in text["layers"][i]]
    junk = st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-5, 5),
        st.floats(),
        st.text(max_size=3),
        st.lists(st.integers(-2, 20), max_size=3),
        st.dictionaries(st.text(max_size=2), st.integers(), max_size=2),
    )
    changed = edited(plan, data.draw(st.sampled_from(paths)), data.draw(junk))
    try:
        found = Plan.from_dict(copy.deepcopy(changed))
        found.check_graph(graph)
    except VeilightError:
        return
    assert json.loads(json.dumps(found.to_dict())) == changed


def test_check_graph_refuses_when_the_plan_is_of_another_network() -> None:
    plan, graph = plan_of(), convolutional().graph
    plan.check_graph(graph)
    with pytest.raises(ProtocolError, match="optical layers"):
        plan.check_graph(perceptron().graph)
    first, second = plan.layers
    for wrong in ({"rows": 4}, {"entries": 14}, {"positions": 36}):
        with pytest.raises(ProtocolError, match="layer 0"):
            replace(plan, layers=(replace(first, **wrong), second)).check_graph(graph)  # type: ignore[arg-type]
    with pytest.raises(ProtocolError, match="tiles"):
        replace(plan, layers=(replace(first, tiles=(4, 4)), second)).check_graph(graph)


@pytest.mark.parametrize(
    ("name", "value"), [("rows_per_block", -1), ("samples_per_block", 0), ("inputs_per_block", -1)]
)
def test_plan_refuses_when_a_block_size_is_out_of_range(name: str, value: int) -> None:
    with pytest.raises(ConfigurationError, match=name):
        plan_of(**{name: value})
