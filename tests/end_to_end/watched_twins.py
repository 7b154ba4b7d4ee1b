"""A program that lets light through over the wire, for tests that end it: run with a bench file.

Prints `lit PID` with the number of its watchdog's process, then waits until its input ends.
"""

import sys

from drivers.bench import load_bench
from veilight.benches import build_benches


def run(path: str) -> None:
    """Open the switch, wait, close it."""
    (bench,) = build_benches([load_bench(path, complete=False)])
    with bench:
        bench.safety.rearm("operator")
        bench.safety.open_switch("return_switch", "light")
        watchdog = bench._watchdog
        assert watchdog is not None
        sys.stdout.write(f"lit {watchdog.pid}\n")
        sys.stdout.flush()
        sys.stdin.read()


if __name__ == "__main__":
    run(sys.argv[1])
