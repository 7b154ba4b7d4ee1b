"""Speed and memory of the receiver against one forward and one inverse transform of its record.

Run: python benchmarks/bench_receiver.py [slots]
Prints, for both pulses, the seconds of `Receiver.process` alone, those of rfft + irfft of the same
record by scipy.fft in the same run, their ratio, and the peak memory above the record's own.
"""

import sys
import time
import tracemalloc
from collections.abc import Callable

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from drivers.optics.burst import BurstFormat, BurstLayout, compose_weights
from drivers.optics.pulses import hann_pulse, root_raised_cosine_pulse
from drivers.optics.receiver import Receiver

_REPEATS = 3
_ELECTRONIC = 1e-5
_SHOT_VOLTS = 0.01


def record_of(
    layout: BurstLayout, clock_offset: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    """A burst of 20 kHz combined linewidth with a delay and a clock offset."""
    burst = layout.format
    means = 0.8 * rng.standard_normal(layout.data_symbols, dtype=np.float32)
    weights = compose_weights(layout, means, 34.6)
    samples = int(layout.total_samples * (1 + abs(clock_offset))) + 2000
    place = (np.arange(samples) - 700.3) / (1 + clock_offset)
    field = np.interp(place, np.arange(weights.size), weights, left=0.0, right=0.0)
    step = np.sqrt(2 * np.pi * 20e3 / burst.sample_rate_hz)
    phase = np.cumsum(step * rng.standard_normal(samples))
    cycles = (burst.if_cycles_per_symbol + 0.013) / burst.samples_per_symbol
    phase += 2 * np.pi * cycles * np.arange(samples)
    volts = _SHOT_VOLTS * np.sqrt(2) * field * np.cos(phase)
    volts += _SHOT_VOLTS * np.sqrt(1.1) * rng.standard_normal(samples)
    return np.asarray(volts, dtype=np.float32)


def best_of(work: Callable[[], object]) -> float:
    """Least wall time of a few runs, in seconds."""
    times = []
    for _ in range(_REPEATS):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def report(name: str, burst: BurstFormat, slots: int, clock_offset: float) -> None:
    layout = BurstLayout(format=burst, data_symbols=int(slots * 7 / 8 * 31 / 32))
    record = record_of(layout, clock_offset, np.random.default_rng(5))
    receiver = Receiver(burst)

    # Padded to a length that the transform likes: the reference at its best.
    length = scipy.fft.next_fast_len(record.size, real=True)

    def demodulate() -> object:
        return receiver.process(record, layout, electronic_noise=_ELECTRONIC)

    def transform() -> object:
        return scipy.fft.irfft(scipy.fft.rfft(record, n=length), n=length)

    ours, reference = best_of(demodulate), best_of(transform)
    tracemalloc.start()
    demodulate()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    print(
        f"{name:34s} {clock_offset * 1e6:4.0f} ppm {layout.total_slots:8d} slots "
        f"{record.size:9d} samples: receiver {ours:.3f} s, rfft + irfft {reference:.3f} s, "
        f"ratio {ours / reference:.2f}, peak {peak / 2**20:.0f} MiB "
        f"(record {record.nbytes / 2**20:.0f} MiB)"
    )


def main() -> None:
    slots = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    hann = BurstFormat(pulse=hann_pulse(8))
    cosine = BurstFormat(
        samples_per_symbol=4, if_cycles_per_symbol=1.0, pulse=root_raised_cosine_pulse(4)
    )
    for clock_offset in (0.0, 50e-6):
        report("Hann, 8 samples, 2 cycles", hann, slots, clock_offset)
        report("root-raised-cosine, 4 samples", cosine, slots, clock_offset)


if __name__ == "__main__":
    main()
