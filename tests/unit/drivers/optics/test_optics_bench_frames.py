"""The agreement on frames, and where a burst is looked for."""

import math

import pytest

from drivers.backend import Block
from drivers.errors import ConfigurationError, LimitError
from drivers.optics.bench_frames import BenchFrames, record_samples, search_range
from drivers.optics.burst import BurstLayout


def block(inputs: int, rows: int = 4, modes: int = 16) -> Block:
    return Block(
        run=0,
        layer=0,
        tile=0,
        first_input=0,
        inputs=inputs,
        first_row=0,
        rows=rows,
        modes=modes,
    )


@pytest.mark.parametrize(
    "name",
    [
        "pilot_photons",
        "modes_per_frame",
        "peak_to_average",
        "largest_burst_samples",
        "client_range_v",
        "server_range_v",
        "transfer_time_s",
    ],
)
@pytest.mark.parametrize("value", [0, -1, math.nan, math.inf], ids=["0", "-1", "nan", "inf"])
def test_frames_refuse_a_value_when_it_is_not_positive(name: str, value: float) -> None:
    with pytest.raises(ConfigurationError, match=name):
        BenchFrames(**{name: value})  # type: ignore[arg-type]


def test_layout_holds_every_symbol_of_the_block() -> None:
    assert BenchFrames().layout(block(3)).data_symbols == 3 * 4 * 16


def test_layout_says_how_many_inputs_fit_when_the_burst_is_too_long() -> None:
    frames = BenchFrames(largest_burst_samples=100_000)
    with pytest.raises(LimitError, match="set inputs_per_block to at most") as caught:
        frames.layout(block(400))
    fits = int(str(caught.value).rsplit(" ", 1)[1])
    assert frames.layout(block(fits)).total_samples <= 100_000
    with pytest.raises(LimitError, match=f"at most {fits}"):
        frames.layout(block(fits + 1))


def test_layout_names_the_rows_when_not_even_one_input_fits() -> None:
    with pytest.raises(LimitError, match="set rows_per_block"):
        BenchFrames(largest_burst_samples=20_000).layout(block(1, rows=1000))


def test_record_holds_the_burst_when_it_comes_late() -> None:
    layout = BurstLayout(format=BenchFrames().format, data_symbols=100)
    late = record_samples(layout, 10e-6)
    # Rounded up to a whole sample.
    assert late - record_samples(layout, 0.0) in (8000, 8001)
    assert late >= 8000 + layout.total_samples


def test_search_lies_around_the_preamble_and_begins_in_the_record() -> None:
    layout = BurstLayout(format=BenchFrames().format, data_symbols=100)
    first, last = search_range(layout, 10e-6)
    assert (first + last) / 2 == pytest.approx(8000 + 64 * 8)
    assert last - first == 2 * 32 * 8
    assert search_range(layout, -1e-6)[0] == 0


def test_timeout_grows_with_the_burst() -> None:
    frames = BenchFrames(transfer_time_s=2.0)
    layout = BurstLayout(format=frames.format, data_symbols=100)
    assert frames.timeout_s(layout) == pytest.approx(2.0 + 3 * layout.duration_s)
