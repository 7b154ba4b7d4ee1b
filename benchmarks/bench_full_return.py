"""Time of a full return of every mode, against drawing as many normal numbers with torch.randn.

Run with `python benchmarks/bench_full_return.py`. The goal is a ratio of at most 2.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from drivers.backend import Block
from drivers.receivers import Amplifier, FeedForwardTap, PassiveTap
from sim_backend.settings import DetectorSettings, LinkSettings
from sim_backend.symbol_link import SymbolLink

__all__ = ["main"]

INPUTS, ROWS, MODES = 100, 100, 784
DETECTOR = DetectorSettings(efficiency=0.9, electronic_noise_snu=0.05)
LINKS = {
    "amplifier": LinkSettings(receiver=Amplifier(gain=2.0), seed=1, device="cpu"),
    "feed-forward tap": LinkSettings(
        receiver=FeedForwardTap(tap_fraction=0.5), seed=1, device="cpu"
    ),
    "passive tap": LinkSettings(receiver=PassiveTap(tap_fraction=0.5), seed=1, device="cpu"),
    "amplifier, lossy": LinkSettings(
        receiver=Amplifier(gain=2.0),
        forward_transmittance=0.8,
        return_transmittance=0.8,
        client=DETECTOR,
        server=DETECTOR,
        seed=1,
        device="cpu",
    ),
}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    repeats = parser.parse_args(arguments).repeats
    generator = torch.Generator().manual_seed(1)
    times: dict[str, list[float]] = {"torch.randn": []}
    returns = {name: _full_return(settings) for name, settings in LINKS.items()}
    for _ in range(repeats + 1):
        # Interleaved, so that a busy machine slows all alike.
        times["torch.randn"].append(
            _seconds(lambda: torch.randn(INPUTS, ROWS, MODES, generator=generator))
        )
        for name, prepare in returns.items():
            times.setdefault(name, []).append(_seconds(prepare()))
    print(f"{INPUTS} inputs x {ROWS} rows x {MODES} modes, {torch.get_num_threads()} threads")
    print(f"{'':20} {'min ms':>9} {'median ms':>10} {'ratio of medians':>17}")
    medians = {}
    for name, seconds in times.items():
        warm = seconds[1:]  # the first call allocates
        medians[name] = statistics.median(warm)
        ratio = medians[name] / medians["torch.randn"]
        print(f"{name:20} {1e3 * min(warm):9.1f} {1e3 * medians[name]:10.1f} {ratio:17.2f}")
    ratio = medians["amplifier"] / medians["torch.randn"]
    print(f"ratio {ratio:.2f}: full return behind the amplifier / torch.randn of as many numbers")


def _full_return(settings: LinkSettings) -> Callable[[], Callable[[], Tensor]]:
    """Makes, per call, a collect of a block that has just been measured by the client."""
    link = SymbolLink(settings)
    generator = torch.Generator().manual_seed(2)
    means = torch.randn(1, ROWS, MODES, generator=generator)
    data = torch.nn.functional.normalize(torch.randn(INPUTS, MODES, generator=generator), dim=-1)
    on_p = torch.rand(INPUTS, ROWS, generator=generator) < 0.5
    run = 0

    def prepare() -> Callable[[], Tensor]:
        nonlocal run
        block = Block(
            run=run,
            layer=0,
            tile=0,
            first_input=0,
            inputs=INPUTS,
            first_row=0,
            rows=ROWS,
            modes=MODES,
        )
        run += 1
        link.client.load(block, data)
        link.server.send(block, means)
        link.client.measure(block)
        return lambda: link.server.collect_full(block, on_p)

    return prepare


def _seconds(work: Callable[[], Tensor]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
