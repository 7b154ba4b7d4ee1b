"""The public order of the bursts of a homodyne block."""

import pytest

from drivers.backend import Block
from drivers.errors import OpticsError
from drivers.optics.homodyne_turns import HomodyneTurns, Step, Turn, turns_of

BLOCK = Block(run=0, layer=0, tile=0, first_input=0, inputs=2, first_row=0, rows=3, modes=2)


def test_every_burst_of_data_lies_between_two_probes() -> None:
    found = [(turn.step, turn.index) for turn in turns_of(BLOCK)]
    assert found == [
        *((Step.SEARCH, index) for index in range(4)),
        (Step.PROBE, 0),
        (Step.DATA, 0),
        (Step.PROBE, 0),
        (Step.DATA, 1),
        (Step.PROBE, 0),
        (Step.CONFIRM, 0),
    ]


def test_turns_call_the_client_before_and_after_a_burst() -> None:
    turns, seen = HomodyneTurns(), []
    turns.join(
        lambda turn: seen.append(("before", turn)), lambda turn: seen.append(("after", turn))
    )
    turn = Turn(block=BLOCK, step=Step.DATA, index=1)
    turns.ready(turn)
    turns.played(turn)
    assert seen == [("before", turn), ("after", turn)]


def test_turns_refuse_when_no_client_has_joined() -> None:
    with pytest.raises(OpticsError, match="no client has joined"):
        HomodyneTurns().ready(Turn(block=BLOCK, step=Step.PROBE))
