"""What every instrument must do, whatever its kind; the suite of a kind derives from it.

The suites replace underscore methods on the object under test, to see what is sent and to let it
fail: these methods are the seam between the kinds and the drivers, so they exist everywhere.
"""

import logging
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any, ClassVar

import pytest
from hypothesis import strategies as st

from drivers.errors import InstrumentError, LimitError, ReadbackError, SafetyError
from drivers.instruments import Instrument, Range

__all__ = [
    "INSIDE",
    "OUTSIDE",
    "InstrumentContract",
    "Setting",
    "at",
    "fail_once_after",
    "over",
    "replace",
]

INSIDE = st.floats(min_value=0, max_value=1)
OUTSIDE = st.one_of(
    st.floats(max_value=-1e-6), st.floats(min_value=1 + 1e-6), st.just(float("nan"))
)
"""Fractions of a range, for `at`."""

LIFECYCLE: dict[str, Callable[[Instrument], object]] = {
    "identity": lambda i: i.identity,
    "is_safe": lambda i: i.is_safe(),
    "make_safe": lambda i: i.make_safe(),
}


def at(limits: Range, fraction: float) -> float:
    """The value at a fraction of a range: 0 its lowest, 1 its highest, beyond them outside."""
    value = limits.lowest * (1 - fraction) + limits.highest * fraction
    if 0 <= fraction <= 1:
        return min(max(value, limits.lowest), limits.highest)
    return value


def over(implementations: Mapping[str, Callable[[], Any]]) -> pytest.MarkDecorator:
    """Run a function over the makers: hypothesis does not take a suite's methods more than once."""
    names = sorted(implementations)
    return pytest.mark.parametrize("make", [implementations[name] for name in names], ids=names)


def replace(instrument: Instrument, method: str, by: Callable[..., object]) -> None:
    """Replace a method of this one object."""
    assert hasattr(instrument, method), f"{instrument.name} has no {method}"
    vars(instrument)[method] = by


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One public method that sets, with valid arguments that change something.

    Attributes:
        call: Calls it.
        vendor: The underscore method that does it.
        reads_back: Whether the kind confirms it, so that a deaf instrument is found out.
        prepare: Brings the opened instrument to where the call is allowed.
    """

    call: Callable[[Any], object]
    vendor: str
    reads_back: bool = True
    prepare: Callable[[Any], object] = lambda _: None


class InstrumentContract:
    """The suite. A kind gives the class variables, `activate` and `state`.

    Attributes:
        kind: The abstract class.
        implementations: Names and makers of the instruments to test.
        sets: Every public method that sets, by its name.
        queries: Every other public method of the kind, by its name.
        refused: Calls that break a limit.
        rivals: Two calls that set the same thing differently.
        always_safe: Whether the kind has no unsafe state.
    """

    kind: ClassVar[type[Instrument]]
    implementations: ClassVar[Mapping[str, Callable[[], Any]]]
    sets: ClassVar[Mapping[str, Setting]]
    queries: ClassVar[Mapping[str, Callable[[Any], object]]]
    refused: ClassVar[Mapping[str, Callable[[Any], object]]]
    rivals: ClassVar[tuple[Callable[[Any], object], Callable[[Any], object]]]
    always_safe: ClassVar[bool] = False

    def activate(self, instrument: Any) -> None:
        """Take an open instrument out of its safe state, as far as the kind has another."""
        raise NotImplementedError

    def state(self, instrument: Any) -> object:
        """All that can be read back."""
        raise NotImplementedError

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Run each test over the implementations, sets and refused calls that it names."""
        for argument, table in (
            ("make", self.implementations),
            ("setting", self.sets),
            ("confirmed", {name: one for name, one in self.sets.items() if one.reads_back}),
            ("refused_call", self.refused),
        ):
            if argument in metafunc.fixturenames:
                names = sorted(table)
                metafunc.parametrize(argument, [table[name] for name in names], ids=names)

    @pytest.fixture
    def instrument(self, make: Callable[[], Any]) -> Iterator[Any]:
        with make() as instrument:
            yield instrument

    def test_suite_knows_every_public_method_when_the_kind_grows(self) -> None:
        public = {
            name
            for name, value in vars(self.kind).items()
            if not name.startswith("_") and callable(value)
        }
        assert public == set(self.sets) | set(self.queries)

    def test_instrument_is_safe_and_identified_when_opened(self, make: Callable[[], Any]) -> None:
        instrument = make()
        assert not instrument.is_open
        with instrument:
            assert instrument.is_open
            assert instrument.is_safe()
            assert instrument.identity.model
            assert instrument.identity.text.count(" ") >= 3

    def test_instrument_refuses_to_open_when_open(self, instrument: Any) -> None:
        with pytest.raises(InstrumentError, match="open already"):
            instrument.open()
        assert instrument.is_open

    @pytest.mark.parametrize("opened_before", [False, True])
    def test_instrument_refuses_everything_when_closed(
        self, make: Callable[[], Any], opened_before: bool
    ) -> None:
        instrument = make()
        if opened_before:
            with instrument:
                pass
        called = self.watch(instrument)
        calls = {name: setting.call for name, setting in self.sets.items()}
        for call in (calls | dict(self.queries) | LIFECYCLE).values():
            with pytest.raises(InstrumentError, match=r"closed; open\(\) it first"):
                call(instrument)
        assert called == []

    def test_instrument_leaves_and_reaches_the_safe_state_when_asked(self, instrument: Any) -> None:
        self.activate(instrument)
        assert instrument.is_safe() is self.always_safe
        instrument.make_safe()
        assert instrument.is_safe()

    def test_instrument_is_safe_before_it_is_released_when_closed(self, instrument: Any) -> None:
        released = self.watch_release(instrument)
        self.activate(instrument)
        instrument.close()
        instrument.close()
        assert released == [True]
        assert not instrument.is_open

    def test_instrument_is_safe_and_released_when_the_body_raises(
        self, make: Callable[[], Any]
    ) -> None:
        instrument = make()
        released = self.watch_release(instrument)
        error = RuntimeError("in the body")

        def body() -> None:
            with instrument:
                self.activate(instrument)
                raise error

        with pytest.raises(RuntimeError) as raised:
            body()
        assert raised.value is error
        assert released == [True]
        assert not instrument.is_open

    def test_instrument_opens_again_when_closed(self, make: Callable[[], Any]) -> None:
        instrument = make()
        with instrument:
            self.activate(instrument)
        with instrument:
            assert instrument.is_safe()

    def test_open_gives_the_link_back_when_the_safe_state_is_not_reached(
        self, make: Callable[[], Any]
    ) -> None:
        instrument = make()
        released = self.watch_release(instrument)
        replace(instrument, "_is_safe", lambda: False)
        with pytest.raises(SafetyError, match="not the safe state"):
            instrument.open()
        assert len(released) == 1
        assert not instrument.is_open

    def test_close_gives_the_link_back_when_the_safe_state_is_not_reached(
        self, make: Callable[[], Any]
    ) -> None:
        instrument = make()
        released = self.watch_release(instrument)
        instrument.open()
        replace(instrument, "_make_safe", raising(OSError("link lost")))
        with pytest.raises(SafetyError, match="link lost") as raised:
            instrument.close()
        assert isinstance(raised.value.__cause__, OSError)
        assert len(released) == 1
        assert not instrument.is_open

    def test_call_is_refused_and_nothing_sent_when_beyond_a_limit(
        self, instrument: Any, refused_call: Callable[[Any], object]
    ) -> None:
        before = self.state(instrument)
        called = self.watch(instrument)
        with pytest.raises(LimitError, match=instrument.name):
            refused_call(instrument)
        assert called == []
        assert self.state(instrument) == before

    def test_set_reaches_the_instrument_and_the_log_when_allowed(
        self, instrument: Any, setting: Setting, caplog: pytest.LogCaptureFixture
    ) -> None:
        setting.prepare(instrument)
        called = self.watch(instrument)
        with caplog.at_level(logging.INFO, "veilight.instruments"):
            setting.call(instrument)
        assert setting.vendor in called
        assert [r for r in caplog.records if r.getMessage().startswith(f"{instrument.name}: ")]
        assert {(r.name, r.levelno) for r in caplog.records} == {
            ("veilight.instruments", logging.INFO)
        }

    def test_set_makes_safe_when_it_fails_in_the_middle(
        self, instrument: Any, setting: Setting
    ) -> None:
        self.activate_for(instrument, setting)
        error = fail_once_after(instrument, setting.vendor)
        ordered = self.watch(instrument)
        with pytest.raises(TimeoutError) as raised:
            setting.call(instrument)
        assert raised.value is error
        assert "_make_safe" in ordered
        assert instrument.is_safe()

    def test_set_raises_its_own_error_with_a_note_when_making_safe_fails_too(
        self, instrument: Any, setting: Setting
    ) -> None:
        setting.prepare(instrument)
        error = fail_once_after(instrument, setting.vendor)
        original = instrument._make_safe
        replace(instrument, "_make_safe", raising(OSError("link lost")))
        with pytest.raises(TimeoutError) as raised:
            setting.call(instrument)
        replace(instrument, "_make_safe", original)
        assert raised.value is error
        assert any("could not be made safe: link lost" in note for note in error.__notes__)

    def test_set_is_found_out_and_made_safe_when_the_instrument_ignores_it(
        self, instrument: Any, confirmed: Setting
    ) -> None:
        confirmed.prepare(instrument)
        original = getattr(instrument, confirmed.vendor)
        replace(instrument, confirmed.vendor, lambda *_: None)
        called = self.watch(instrument)
        with pytest.raises(ReadbackError, match=r"was set to|were set with"):
            confirmed.call(instrument)
        assert "_make_safe" in called
        replace(instrument, confirmed.vendor, original)
        instrument.make_safe()

    def test_calls_never_interleave_when_two_threads_hammer(self, instrument: Any) -> None:
        journal, errors = hammer(instrument, self.kind.__abstractmethods__, self.rivals, 40)
        assert errors == []
        operations = [operation for operation, _ in groupby(journal)]
        assert len(operations) == 80
        assert len(set(operations)) == 80

    def watch(self, instrument: Any) -> list[str]:
        """A list that grows by the name of every underscore method that is called from now on."""
        called: list[str] = []

        def watched(method: str) -> Callable[..., object]:
            original = getattr(instrument, method)

            def record(*arguments: object) -> object:
                called.append(method)
                return original(*arguments)

            return record

        for method in sorted(self.kind.__abstractmethods__ | {"_make_safe", "_is_safe"}):
            replace(instrument, method, watched(method))
        return called

    def watch_release(self, instrument: Any) -> list[bool]:
        """A list that gets, at each `_close`, whether the readback was safe just before."""
        released: list[bool] = []
        original, is_safe = instrument._close, instrument._is_safe

        def record() -> None:
            released.append(is_safe())
            original()

        replace(instrument, "_close", record)
        return released

    def activate_for(self, instrument: Any, setting: Setting) -> None:
        """Bring the instrument to where the call is allowed, preferably out of the safe state."""
        setting.prepare(instrument)


def raising(error: Exception) -> Callable[..., object]:
    """A function that raises `error`."""

    def raise_it(*_: object) -> object:
        raise error

    return raise_it


def fail_once_after(instrument: Instrument, method: str) -> TimeoutError:
    """Let a method do its work and then raise, the next time only; the error."""
    error = TimeoutError("no answer within 1 s")
    original = getattr(instrument, method)
    left = [error]

    def fail(*arguments: object) -> object:
        result = original(*arguments)
        if left:
            raise left.pop()
        return result

    replace(instrument, method, fail)
    return error


def hammer(
    instrument: Instrument,
    methods: Iterable[str],
    rivals: tuple[Callable[[Any], object], Callable[[Any], object]],
    times: int,
) -> tuple[list[int], list[Exception]]:
    """Two threads call `rivals` at once; the operation behind each entry and exit, and errors."""
    journal: list[int] = []
    errors: list[Exception] = []
    current = threading.local()
    barrier = threading.Barrier(2)

    def yielding(original: Callable[..., object]) -> Callable[..., object]:
        def enter(*arguments: object) -> object:
            journal.append(current.operation)
            time.sleep(0)  # lets the other thread in, if it can get in
            result = original(*arguments)
            journal.append(current.operation)
            return result

        return enter

    for method in methods:
        replace(instrument, method, yielding(getattr(instrument, method)))

    def run(thread: int) -> None:
        barrier.wait(timeout=10)
        for index in range(times):
            current.operation = thread * times + index
            try:
                rivals[thread](instrument)
            except Exception as error:
                errors.append(error)

    threads = [threading.Thread(target=run, args=(thread,)) for thread in (0, 1)]
    interval_s = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=60)
    finally:
        sys.setswitchinterval(interval_s)
    assert not any(thread.is_alive() for thread in threads)
    # What the suite does afterwards, to close the instrument, is an operation too.
    current.operation = -1
    return journal.copy(), errors
