"""What an instrument remembers of its settings, and what its errors say of them."""

from collections.abc import Callable

import pytest

from drivers.errors import AnswerError, LinkError, ReadbackError
from drivers.instruments.last_good import LastGood


class Knob:
    """Can be set, and may forget it."""

    def __init__(self) -> None:
        self.value = 0
        self.asked = 0

    def apply(self, value: int) -> Callable[[], None]:
        def apply() -> None:
            self.value = value

        return apply

    def confirm(self, value: int) -> Callable[[], None]:
        def confirm() -> None:
            self.asked += 1
            if self.value != value:
                raise ReadbackError(f"{self.value}, not {value}")

        return confirm


def kept(*names: str) -> tuple[LastGood, dict[str, Knob]]:
    """A memory with knobs that stand at 7."""
    memory, knobs = LastGood(), {name: Knob() for name in names}
    for name, knob in knobs.items():
        knob.value = 7
        memory.keep(name, "7 V", knob.apply(7), knob.confirm(7))
    return memory, knobs


def none(_: str) -> bool:
    return False


def test_lost_names_only_what_reads_back_otherwise_when_asked() -> None:
    memory, knobs = kept("power", "bias of channel 0", "emission")
    knobs["bias of channel 0"].value = 0
    assert memory.lost(spared=none) == ["bias of channel 0"]


def test_lost_does_not_ask_what_is_spared() -> None:
    memory, knobs = kept("power", "emission")
    knobs["emission"].value = 0
    assert memory.lost(spared=lambda name: name.startswith("emission")) == []
    assert (knobs["power"].asked, knobs["emission"].asked) == (1, 0)


def test_forget_takes_all_that_begin_with_the_words_when_channels_are_many() -> None:
    memory, knobs = kept("bias of channel 0", "bias of channel 1", "power")
    for knob in knobs.values():
        knob.value = 0
    memory.forget("bias")
    assert memory.lost(spared=none) == ["power"]
    memory.forget_all()
    assert memory.lost(spared=none) == []


def test_apply_sets_what_is_still_known_when_some_was_forgotten() -> None:
    memory, knobs = kept("power", "emission")
    for knob in knobs.values():
        knob.value = 0
    memory.forget("emission")
    memory.apply(["power", "emission"])
    assert (knobs["power"].value, knobs["emission"].value) == (7, 0)


def test_apply_raises_when_a_setting_is_not_taken() -> None:
    memory, knob = LastGood(), Knob()
    memory.keep("power", "7 W", lambda: None, knob.confirm(7))
    with pytest.raises(ReadbackError, match="0, not 7"):
        memory.apply(["power"])


def test_named_error_tells_device_action_and_state_when_the_link_fails() -> None:
    memory, _ = kept("power", "emission")
    error = LinkError("no answer")
    error.add_note("look at the cable")
    named = memory.named(error, "laser", "power?")
    assert isinstance(named, LinkError)
    assert str(named) == "laser: power?: no answer; last good state: power 7 V, emission 7 V"
    assert named.__cause__ is error
    assert named.__notes__ == ["look at the cable"]
    assert memory.named(named, "laser", "open") is named


def test_named_error_says_so_when_nothing_was_set() -> None:
    named = LastGood().named(AnswerError("rubbish"), "laser", "open")
    assert str(named).endswith("last good state: nothing set yet")
