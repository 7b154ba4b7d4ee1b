"""A program with light on, for tests that end it: run with a folder and options as JSON.

Prints `lit PID` with the number of its watchdog's process once there is light, then waits without
any sign of life until its standard input ends, and leaves the bench in order.
"""

import json
import os
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from drivers.bench import LightPlan
from drivers.bench.watchdog import Watchdog, WatchdogSpec
from tests.unit.drivers.bench.paper_bench import Paper, server_table
from tests.unit.drivers.bench.real_paper import real_bench
from veilight.signals import signals_as_interrupts


def run(folder: Path, options: dict[str, Any]) -> None:
    """Switch on, wait, switch off."""
    spec = WatchdogSpec(
        files=((str(folder / "marker"), "the bench file"),),
        safe=f"tests.unit.drivers.bench.watchdog_actions:{options.get('safe', 'mark')}",
        report=str(folder / "report.json"),
        hang_s=options.get("hang_s", 60.0),
        grace_s=options.get("grace_s", 2.0),
        attempts=1,
    )
    timeout_s = options.get("timeout_s", 5.0)
    watchdog = Watchdog(spec, interval_s=timeout_s / 10, timeout_s=timeout_s)
    handled = signals_as_interrupts() if options.get("handles_signals") else nullcontext()
    with handled, real_bench(server_table(), Paper(), folder / "locks", watchdog) as bench:
        bench.safety.rearm("operator")
        bench.safety.switch_on(LightPlan(power_w={"laser": 1e-3, "return_oscillator": 1e-3}))
        if options.get("forks") and os.fork() == 0:
            try:
                sys.stdin.read()
            finally:
                os._exit(0)
        sys.stdout.write(f"lit {watchdog.pid}\n")
        sys.stdout.flush()
        sys.stdin.read()
    sys.stdout.write("dark\n")


if __name__ == "__main__":
    run(Path(sys.argv[1]), json.loads(sys.argv[2]))
