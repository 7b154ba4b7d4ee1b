"""The watchdog's own process: brings the benches to the safe state when their program cannot.

Started by `drivers.bench.watchdog`, never by hand. Standard input: a line of orders, then a number
per heartbeat, then `done` (all is safe, go away) or `help` (I could not make it safe, try). Each
heartbeat is answered with its number on the standard output. The program has died when the input
ends without `done`; it hangs when no heartbeat comes in time. Then the program is ended, because
instruments belong to one process, and everything is made safe over connections of the watchdog's
own.

Signals that ask a program to end are ignored: a watchdog ends with the program that it watches,
and must outlive it by as long as the safe state takes.
"""

import importlib
import json
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import TypeAlias

from drivers.bench.ownership import runtime_folder
from drivers.bench.processes import is_running
from drivers.bench.watchdog_spec import WatchdogOrders
from drivers.errors import ConfigurationError, VeilightError
from drivers.files import replace_files

__all__ = ["Channel", "Reason", "Report", "attend", "drive", "end_program", "main"]

SafeAction: TypeAlias = Callable[[Sequence[tuple[str, str]]], Mapping[str, str]]
"""Makes the benches of files safe; what failed, by place."""

_POLL_S = 0.02
_RETRY_S = 0.5
_GONE_S = 0.2


class Reason(Enum):
    """Why a watchdog stops waiting."""

    DONE = "the program is done"
    HELP = "the program could not reach the safe state"
    DIED = "the program has died"
    HUNG = "the program hangs"


@dataclass(frozen=True, kw_only=True)
class Report:
    """What a watchdog did.

    Args:
        reason: why it acted.
        pid: of the program.
        ended: how the program was ended; empty where it was not.
        safe: whether every instrument is safe, by readback.
        failures: what failed, by place.
        attempts: how often it was tried.
        began: in UTC.
        finished: in UTC.
    """

    reason: str
    pid: int
    ended: str
    safe: bool
    failures: Mapping[str, str]
    attempts: int
    began: str
    finished: str


class Channel:
    """Lines in, lines out, on two file descriptors.

    Args:
        source: where the program writes to.
        sink: where the program reads from.
    """

    def __init__(self, source: int, sink: int) -> None:
        self._source, self._sink = source, sink
        self._rest = b""
        self._lines: list[str] = []
        self._ended = False
        self._poll = select.poll()
        self._poll.register(source, select.POLLIN)

    def line(self, timeout_s: float | None) -> str | None:
        """The next line; None when none has come in time. What has arrived is never late.

        Args:
            timeout_s: longest wait in s; None for ever.

        Raises:
            EOFError: the other end is closed and everything is read.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while not self._lines:
            if self._ended:
                raise EOFError
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            if not self._poll.poll(None if left is None else left * 1e3):
                return None
            self._read()
        return self._lines.pop(0)

    def say(self, text: str) -> None:
        """Send a line; nobody may be left to read it."""
        with suppress(OSError):
            os.write(self._sink, f"{text}\n".encode())

    def _read(self) -> None:
        data = os.read(self._source, 1 << 16)
        self._ended = not data
        *lines, self._rest = (self._rest + data).split(b"\n")
        self._lines += [line.decode("utf-8", "replace") for line in lines]


def attend(channel: Channel, timeout_s: float) -> Reason:
    """Answer heartbeats until something happens.

    Args:
        channel: to the program.
        timeout_s: longest time between two heartbeats.
    """
    while True:
        try:
            line = channel.line(timeout_s)
        except EOFError:
            return Reason.DIED
        if line is None:
            return Reason.HUNG
        if line in ("done", "help"):
            return Reason.DONE if line == "done" else Reason.HELP
        channel.say(line)


def end_program(channel: Channel, orders: WatchdogOrders) -> str:
    """End the program that is watched, first in order, then at once.

    Nothing is sent to a process that only has the same number.

    Args:
        channel: to the program.
        orders: say which it is and how long it may take.

    Returns:
        How it ended: empty where it had, `done` where it reached the safe state by itself.
    """
    # One that has died closes its pipes some moments before the system counts it as ended.
    last_word = _has_gone(channel, orders, _GONE_S)
    if last_word is not None:
        return last_word
    ended = ""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if not _kill(orders, number):
            return ended
        ended = number.name
        last_word = _has_gone(channel, orders, orders.spec.grace_s)
        if last_word is not None:
            return last_word or ended
    return ended


def drive(action: SafeAction, orders: WatchdogOrders, reason: Reason, ended: str) -> Report:
    """Make everything safe, more than once where it fails, and say what came of it.

    Args:
        action: makes the benches of files safe.
        orders: say which.
        reason: why.
        ended: how the program was ended.
    """
    began = _now()
    failures: Mapping[str, str] = {}
    attempt = 0
    for attempt in range(1, orders.spec.attempts + 1):
        if attempt > 1:
            time.sleep(_RETRY_S)
        try:
            failures = dict(action(orders.spec.files))
        except Exception as error:
            failures = {orders.spec.safe: f"{type(error).__name__}: {error}"}
        if not failures:
            break
    return Report(
        reason=reason.value,
        pid=orders.pid,
        ended=ended,
        safe=not failures,
        failures=failures,
        attempts=attempt,
        began=began,
        finished=_now(),
    )


def main() -> int:
    """Watch until the program is done, or make its benches safe.

    Returns:
        The exit status: 0 all is safe, 1 something is not, 2 the orders cannot be carried out.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    channel = _own_channel()
    try:
        orders = WatchdogOrders.from_json(channel.line(None) or "")
        action = _resolved(orders.spec.safe)
    except (EOFError, VeilightError) as error:
        channel.say(f"failed: {error}")
        return 2
    channel.say("ready")
    reason = attend(channel, orders.timeout_s)
    if reason is Reason.DONE:
        return 0
    ended = ""
    if reason is not Reason.HELP and orders.spec.end_hung:
        ended = end_program(channel, orders)
    if ended == "done":
        _tell(f"{reason.value} (process {orders.pid}); after SIGTERM it reached the safe state")
        return 0
    report = drive(action, orders, reason, ended)
    _publish(report, orders)
    return 0 if report.safe else 1


def _own_channel() -> Channel:
    """The pipes, out of reach of whatever is imported later and writes to the standard output."""
    sink = os.dup(1)
    os.dup2(2, 1)
    return Channel(0, sink)


def _resolved(path: str) -> SafeAction:
    """What a dotted path names, imported now: later there may be no time or memory."""
    module, _, name = path.partition(":")
    try:
        found = getattr(importlib.import_module(module), name)
    except Exception as error:
        raise ConfigurationError(f"{path} cannot be imported: {error}") from error
    if not callable(found):
        raise ConfigurationError(f"{path} is no function")
    action: SafeAction = found
    return action


def _has_gone(channel: Channel, orders: WatchdogOrders, timeout_s: float) -> str | None:
    """`done` when the program says so, nothing when it has ended, None when it does neither."""
    deadline = time.monotonic() + timeout_s
    while is_running(orders.pid, orders.start):
        left = deadline - time.monotonic()
        if left <= 0:
            return None
        try:
            if channel.line(min(left, _POLL_S)) == "done":
                return "done"
        except EOFError:
            time.sleep(min(left, _POLL_S))
    return ""


def _kill(orders: WatchdogOrders, number: signal.Signals) -> bool:
    """Send a signal to the program, which was there a moment ago; False where it has ended."""
    try:
        os.kill(orders.pid, number)
    except ProcessLookupError:
        return False
    return True


def _publish(report: Report, orders: WatchdogOrders) -> None:
    """To the report file and, in one line, to whoever looks at the terminal."""
    where = "no report could be written"
    try:
        path = Path(orders.spec.report or runtime_folder() / f"watchdog-{orders.pid}.json")
        replace_files([(path, json.dumps(asdict(report), indent=2).encode())])
        where = f"see {path}"
    except (OSError, ValueError, VeilightError) as error:
        where = f"{where}: {error}"
    state = "all is in the safe state, read back"
    if not report.safe:
        failed = "; ".join(f"{place}: {text}" for place, text in report.failures.items())
        state = f"NOT SAFE: {failed}. Use the key switch or the interlock"
    _tell(f"{report.reason} (process {report.pid}); {state}; {where}")


def _tell(text: str) -> None:
    with suppress(OSError):  # the terminal may be gone
        sys.stderr.write(f"veilight watchdog: {text}\n")
        sys.stderr.flush()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


if __name__ == "__main__":
    sys.exit(main())
