"""What every switch must do."""

from typing import ClassVar

import pytest

from drivers.errors import LimitError
from drivers.instruments import Switch
from tests.contract.instruments.common import InstrumentContract, Setting
from tests.contract.instruments.implementations import SWITCHES


def other(switch: Switch) -> str:
    """A position that is not the safe one."""
    return next(p for p in switch.limits.positions if p != switch.limits.safe_position)


class TestSwitchContract(InstrumentContract):
    kind = Switch
    implementations = SWITCHES
    sets: ClassVar = {"select": Setting(call=lambda i: i.select(other(i)), vendor="_select")}
    queries: ClassVar = {"selected": lambda i: i.selected()}
    refused: ClassVar = {
        "unknown": lambda i: i.select("nowhere"),
        "empty": lambda i: i.select(""),
    }
    rivals: ClassVar = (
        lambda i: i.select(other(i)),
        lambda i: i.select(i.limits.safe_position),
    )

    def activate(self, instrument: Switch) -> None:
        instrument.select(other(instrument))

    def state(self, instrument: Switch) -> object:
        return instrument.selected()

    def test_switch_is_in_its_safe_position_when_opened(self, instrument: Switch) -> None:
        assert instrument.selected() == instrument.limits.safe_position

    def test_switch_goes_to_each_position_when_selected(self, instrument: Switch) -> None:
        for position in instrument.limits.positions:
            instrument.select(position)
            assert instrument.selected() == position

    def test_refusal_names_the_positions_when_there_is_no_such(self, instrument: Switch) -> None:
        with pytest.raises(LimitError) as raised:
            instrument.select("nowhere")
        assert all(position in str(raised.value) for position in instrument.limits.positions)
