"""Cost of a block of the symbol link as inputs, rows or modes double, in full and in summary.

Run with `python benchmarks/bench_scaling.py`. A ratio of 2 per doubling is linear; below 2 means
that fixed costs still weigh. A full return above 32 MiB gets fresh pages from the operating system
on every call, which shows as one larger step. Compare on a machine that does nothing else.
"""

import argparse
import statistics
import time
from dataclasses import replace

import torch

from drivers.backend import Block
from drivers.receivers import Amplifier
from sim_backend.settings import DetectorSettings, LinkSettings
from sim_backend.symbol_link import SymbolLink

__all__ = ["main"]

FULL = {"inputs": 32, "rows": 64, "modes": 256}
SUMMARY = {"inputs": 1000, "rows": 256, "modes": 512}
DOUBLINGS = 4
DRIFTING = DetectorSettings(phase_error_rad=0.05)
STEADY_LINK = LinkSettings(
    receiver=Amplifier(gain=2.0), modes_per_frame=1 << 16, seed=1, device="cpu"
)
DRIFTING_LINK = replace(STEADY_LINK, server=DRIFTING, client=DRIFTING)
WAYS = {
    "full": (FULL, STEADY_LINK, True),
    "summary": (SUMMARY, STEADY_LINK, False),
    "summary, drifting": (SUMMARY, DRIFTING_LINK, False),
}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args(arguments).repeats
    print(f"{'way':18} {'axis':7} {'size':>6} {'min ms':>8} {'median ms':>10} {'ratio':>6}")
    worst, where = 0.0, ""
    for way, (smallest, settings, full) in WAYS.items():
        for axis in smallest:
            first = before = 0.0
            for doubling in range(DOUBLINGS + 1):
                sizes = {**smallest, axis: smallest[axis] << doubling}
                seconds = _block_seconds(settings, sizes, full, repeats)
                least = min(seconds)
                ratio = f"{least / before:6.2f}" if before else ""
                median = statistics.median(seconds)
                print(
                    f"{way:18} {axis:7} {sizes[axis]:6} {1e3 * least:8.1f} {1e3 * median:10.1f} "
                    f"{ratio}"
                )
                first, before = first or least, least
            mean_ratio = (before / first) ** (1 / DOUBLINGS)
            if mean_ratio > worst:
                worst, where = mean_ratio, f"{way}, {axis}"
    print(f"ratio {worst:.2f}: largest mean growth per doubling ({where}) / linear cost is 2.00")


def _block_seconds(
    settings: LinkSettings, sizes: dict[str, int], full: bool, repeats: int
) -> list[float]:
    """Seconds of load, send, measure and collect of one block, after one call to warm up."""
    link = SymbolLink(settings)
    generator = torch.Generator().manual_seed(2)
    means = torch.randn(1, sizes["rows"], sizes["modes"], generator=generator)
    data = torch.randn(sizes["inputs"], sizes["modes"], generator=generator)
    data = torch.nn.functional.normalize(data, dim=-1)
    on_p = torch.rand(sizes["inputs"], sizes["rows"], generator=generator) < 0.5
    seconds = []
    for run in range(repeats + 1):
        block = Block(run=run, layer=0, tile=0, first_input=0, first_row=0, **sizes)
        start = time.perf_counter()
        link.client.load(block, data)
        link.server.send(block, means)
        link.client.measure(block)
        if full:
            link.server.collect_full(block, on_p)
        else:
            link.server.collect_summary(block, on_p, 1.0)
        seconds.append(time.perf_counter() - start)
    return seconds[1:]


if __name__ == "__main__":
    main()
