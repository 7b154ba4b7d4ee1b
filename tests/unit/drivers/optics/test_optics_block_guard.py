"""What happens when a block fails: lost, disarmed, safe, and the error still raised."""

import pytest

from drivers.backend import Block
from drivers.block_order import BlockOrder
from drivers.errors import InstrumentError, OpticsError, SafetyError, TraceError
from drivers.optics.block_guard import BlockGuard

BLOCK = Block(run=0, layer=0, tile=0, first_input=0, inputs=1, first_row=0, rows=1, modes=1)


def sent() -> BlockOrder:
    order = BlockOrder(4)
    order.loaded(BLOCK)
    order.sent(BLOCK)
    return order


def fail(guard: BlockGuard, error: BaseException) -> None:
    with guard.guarding(BLOCK):
        raise error


def test_guard_does_nothing_when_all_goes_well() -> None:
    order, calls = sent(), list[str]()
    guard = BlockGuard(order, calls.append)
    guard.on_disarm(lambda: calls.append("disarmed"))
    with guard.guarding(BLOCK):
        pass
    order.check_measure(BLOCK)
    assert calls == []


@pytest.mark.parametrize(
    "error",
    [TraceError("bad trace"), InstrumentError("bad trace"), KeyboardInterrupt("bad trace")],
    ids=["trace", "instrument", "interrupt"],
)
def test_guard_loses_disarms_and_makes_safe_in_this_order(error: BaseException) -> None:
    order, calls = sent(), list[str]()
    guard = BlockGuard(order, calls.append)
    guard.on_disarm(lambda: calls.append("client"))
    guard.on_disarm(lambda: calls.append("server"))
    with pytest.raises(type(error), match="bad trace"):
        fail(guard, error)
    assert calls == ["client", "server", f"{BLOCK.name}: bad trace"]
    with pytest.raises(OpticsError, match="nothing was sent"):
        order.check_measure(BLOCK)


def test_guard_goes_on_and_keeps_the_first_error_when_disarming_fails() -> None:
    calls: list[str] = []
    guard = BlockGuard(sent(), calls.append)

    def broken() -> None:
        raise InstrumentError("generator: no answer")

    guard.on_disarm(broken)
    guard.on_disarm(lambda: calls.append("server"))
    with pytest.raises(TraceError, match="first") as caught:
        fail(guard, TraceError("first"))
    assert caught.value.__notes__ == ["While disarming: generator: no answer"]
    assert calls == ["server", f"{BLOCK.name}: first"]


def test_guard_raises_the_safety_error_when_the_bench_is_not_safe() -> None:
    def unsafe(reason: str) -> None:
        raise SafetyError("attenuator is open")

    with pytest.raises(SafetyError, match="attenuator is open") as caught:
        fail(BlockGuard(sent(), unsafe), TraceError("first"))
    assert isinstance(caught.value.__cause__, TraceError)
