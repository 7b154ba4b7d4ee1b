"""Time to detect one adversary in a million blocks, against drawing their statistics alone.

Run with `python benchmarks/bench_detection.py`. The goal is a ratio of at most 2.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np

from sim_backend.adversaries.block_statistics import BlockStatistics, draw_blocks
from sim_backend.adversaries.clients import TapsAndAmplifies
from sim_backend.adversaries.light import honest_return
from veilight.attacks import Case
from veilight.attacks.verifier_detectors import block_shape, verifier_limits

__all__ = ["main"]

BLOCKS = 1_000_000
SYMBOLS = 12_000
ALPHA = 1e-6


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--blocks", type=int, default=BLOCKS)
    options = parser.parse_args(arguments)
    case = Case(adversary=TapsAndAmplifies(fraction=0.05), test="X variance")
    shape = block_shape(case, SYMBOLS)
    light = case.adversary.returned(honest_return(case.scene.receiver))

    def draw() -> BlockStatistics:
        return draw_blocks(light, shape, options.blocks, np.random.default_rng(1))

    def detect() -> float:
        limits = verifier_limits(case, shape, ALPHA)
        sums = draw()
        alarms = limits.alarms(sums.projection_snu, sums.residual_x_snu, sums.residual_p_snu)
        return float(np.any(list(alarms.values()), axis=0).mean())

    drawing, detecting = [], []
    for _ in range(options.repeats + 1):
        # Interleaved, so that a busy machine slows both alike.
        drawing.append(_seconds(draw))
        detecting.append(_seconds(detect))
    reference, whole = statistics.median(drawing[1:]), statistics.median(detecting[1:])
    print(f"{options.blocks:,} blocks of {shape.symbols:,} symbols in X and as many in P")
    print(f"drawing the sums     {1e3 * reference:9.1f} ms")
    print(f"limits, draws, tests {1e3 * whole:9.1f} ms, {detect():.4%} of the blocks refused")
    print(f"ratio {whole / reference:.2f}: detection of one adversary / drawing its statistics")


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
