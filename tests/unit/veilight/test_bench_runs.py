"""From open benches to a link: what is refused before there is light, and the light itself."""

from dataclasses import replace
from pathlib import Path

import pytest

import veilight
from calibration.store import Store
from drivers.errors import CalibrationError, LimitError
from drivers.optics.bench_frames import BenchFrames
from protocol.plan import LayerPlan, Plan
from tests.plans import layer_plan
from veilight.bench_runs import bench_frames, calibrated_values, refuse_long_bursts
from veilight.bench_session import open_pair

EXAMPLES = Path(veilight.__file__).resolve().parent.parent / "examples" / "benches"
PATHS = [EXAMPLES / "server.toml", EXAMPLES / "client.toml"]


def _layer(layer: int, *, rows: int, modes: int, positions: int = 1) -> LayerPlan:
    return layer_plan(layer=layer, rows=rows, modes=modes, positions=positions)


PLAN = Plan(
    layers=(_layer(1, rows=10, modes=20), _layer(3, rows=30, modes=40, positions=5)),
    samples_per_block=50,
)


def _fits(frames: BenchFrames, plan: Plan, samples: int) -> bool:
    try:
        refuse_long_bursts(frames, plan, samples)
    except LimitError:
        return False
    return True


@pytest.mark.parametrize("memory", [200_000, 555_555, 1_234_567])
def test_refuse_long_bursts_names_the_largest_number_that_fits(memory: int) -> None:
    frames = BenchFrames(largest_burst_samples=memory)
    with pytest.raises(LimitError, match="layer 3: a block of 250 data vectors needs") as caught:
        refuse_long_bursts(frames, PLAN, 1000)
    number = int(str(caught.value).rpartition(" ")[2])
    assert _fits(frames, replace(PLAN, inputs_per_block=number), 1000)
    assert not _fits(frames, replace(PLAN, inputs_per_block=number + 1), 1000)
    assert _fits(frames, replace(PLAN, samples_per_block=number // 5), 1000)
    frames.layout(PLAN.block(0, PLAN.layers[1], 0, (0, 30), (0, number)))
    with pytest.raises(LimitError, match=f"inputs_per_block to at most {number}$"):
        frames.layout(PLAN.block(0, PLAN.layers[1], 0, (0, 30), (0, number + 1)))


def test_refuse_long_bursts_lets_few_samples_pass_and_names_rows_when_one_is_too_many() -> None:
    frames = BenchFrames(largest_burst_samples=200_000)
    refuse_long_bursts(frames, PLAN, 1)
    short = replace(frames, largest_burst_samples=20_000)
    with pytest.raises(LimitError, match="inputs_per_block to 1 and rows_per_block so that fewer"):
        refuse_long_bursts(short, PLAN, 5)
    refuse_long_bursts(
        short,
        replace(PLAN, inputs_per_block=1, rows_per_block=2),
        5,
    )


def test_bench_frames_are_what_the_files_say(tmp_path: Path) -> None:
    paths = []
    for path in PATHS:
        text = path.read_text(encoding="utf-8")
        made = tmp_path / path.name
        made.write_text(text + "\n[frame]\npilot_photons = 900.0\npilot_spacing = 16\n")
        paths.append(made)
    with open_pair(paths) as pair:
        frames = bench_frames(pair, peak_to_average=3.0)
    assert (frames.pilot_photons, frames.format.pilot_spacing) == (900.0, 16)
    assert (frames.peak_to_average, frames.simulated, frames.seed) == (3.0, True, 1)
    assert frames.backend == "bench (sim)"


def test_calibrated_values_says_what_to_run_when_there_is_no_store(tmp_path: Path) -> None:
    with open_pair(PATHS) as pair:
        store = Store(tmp_path / "absent.h5", bench=pair.access.name)
        with pytest.raises(CalibrationError, match=r"no calibration store .*`veilight calibrate "):
            calibrated_values(pair, store, override=True)
