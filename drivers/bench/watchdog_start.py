"""Starting the watchdog's process, and being rid of it."""

import os
import select
import subprocess
import sys
from pathlib import Path

from drivers.bench.watchdog_spec import WatchdogOrders
from drivers.errors import WatchdogError
from drivers.instruments import Clock

__all__ = ["end_watchdog", "start_watchdog"]


def start_watchdog(
    orders: WatchdogOrders, timeout_s: float, clock: Clock
) -> "subprocess.Popen[bytes]":
    """Start a watchdog and wait until it has understood its orders.

    Args:
        orders: what it does, and for whom.
        timeout_s: longest wait in s.
        clock: monotonic.

    Returns:
        The process, with unbuffered pipes to its standard input, which does not block, and from
        its standard output.

    Raises:
        WatchdogError: it did not start, or cannot do what it is told.
    """
    if not sys.executable:
        raise WatchdogError("there is no Python program to start a watchdog with")
    process = subprocess.Popen(
        # -P: a folder of the user's that is called drivers must not be taken for ours.
        [sys.executable, "-P", "-m", "drivers.bench.watchdog_process"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        bufsize=0,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(_search_path())},
        # Ctrl-C and a closed terminal are for the program alone.
        start_new_session=True,
    )
    try:
        answer = _answer(process, orders, clock.now() + timeout_s, clock)
        if answer != b"ready\n":
            said = answer.decode("utf-8", "replace").strip() or "nothing"
            raise WatchdogError(
                f"the watchdog (process {process.pid}) did not start: it said {said}; look at "
                "what it wrote to the standard error"
            )
    except BaseException:
        end_watchdog(process)
        raise
    return process


def end_watchdog(process: "subprocess.Popen[bytes]") -> None:
    """Whatever the process does: it is gone, and nothing of it is left."""
    if process.poll() is None:
        process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            stream.close()


def _answer(
    process: "subprocess.Popen[bytes]", orders: WatchdogOrders, deadline: float, clock: Clock
) -> bytes:
    """Its first line; less when it ends or takes too long."""
    assert process.stdin is not None
    assert process.stdout is not None
    to_it, from_it = process.stdin.fileno(), process.stdout.fileno()
    os.set_blocking(to_it, False)
    unsent, answer = f"{orders.to_json()}\n".encode(), b""
    poll = select.poll()
    poll.register(from_it, select.POLLIN)
    poll.register(to_it, select.POLLOUT)
    while not answer.endswith(b"\n") and (left := deadline - clock.now()) > 0:
        found = dict(poll.poll(left * 1e3))
        if from_it in found:
            data = os.read(from_it, 1 << 16)
            if not data:
                break
            answer += data
        elif to_it in found:
            try:
                unsent = unsent[os.write(to_it, unsent) :]
            except BrokenPipeError:
                unsent = b""  # it reads no more; why is what it says last
            if not unsent:
                poll.unregister(to_it)
    return answer


def _search_path() -> list[str]:
    """Where this program finds modules: the watchdog must find the same ones."""
    return [str(Path(entry).absolute()) for entry in sys.path]
