"""What optics on instruments keep beside the quadratures, against slow references."""

from typing import NoReturn

import numpy as np
import pytest
import torch

from drivers.backend import Block, ProjectsReturn
from drivers.errors import OpticsError
from drivers.instruments import Trace
from drivers.optics.trace_checks import RAIL_RATE
from drivers.optics.watched_returns import (
    WatchedReturns,
    pool_vacuum,
    rails_of,
    shifts_of,
    vacuum_of_differences,
    vacuum_of_slots,
)
from drivers.record_watch import (
    BINS,
    RecordWatch,
    ShiftedMeans,
    VacuumSlots,
    WatchesRecords,
    shifted_means,
)
from drivers.return_summary import project_return

BLOCK = Block(run=0, layer=0, tile=0, first_input=0, inputs=3, first_row=0, rows=4, modes=5)


class _Returns(WatchedReturns):
    """Optics that measure nothing."""

    def _collect(self, block: Block, quadratures: torch.Tensor) -> NoReturn:
        raise AssertionError(f"{block.name}: nothing is collected here, {quadratures.shape}")

    def _range_snu(self) -> float:
        return 1.0

    def _step_snu(self) -> float:
        return 0.1


def slow_sums(
    values: np.ndarray, means: np.ndarray, measured: np.ndarray, shift: int
) -> tuple[float, float, float]:
    """One slot after the other."""
    cross = overlap = energy = 0.0
    for burst in range(values.shape[0]):
        for port in range(values.shape[2]):
            for slot in range(values.shape[1]):
                other = slot - shift
                if measured[burst, slot, port] and 0 <= other < values.shape[1]:
                    then = means[burst, other, port]
                    cross += then * values[burst, slot, port]
                    overlap += then * means[burst, slot, port]
                    energy += then * then
    return cross, overlap, energy


def test_shifted_means_are_the_sums_over_slots_one_by_one() -> None:
    random = np.random.default_rng(1)
    values, means = random.standard_normal((2, 2, 20, 3))
    measured = random.random((2, 20, 3)) < 0.5
    found = shifted_means(values, means, measured)
    assert (*range(-8, 0), *range(1, 9)) == BINS
    for place, shift in enumerate(BINS):
        expected = slow_sums(values, means, measured, shift)
        got = (
            found.cross_snu[place],
            found.overlap_snu[place],
            found.shifted_energy_snu[place],
        )
        np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(found.energy_snu, (means[measured] ** 2).sum())
    np.testing.assert_allclose(found.projection_snu, (means * values)[measured].sum())


def gains(found: ShiftedMeans) -> np.ndarray:
    return found.cross_snu / found.shifted_energy_snu


@pytest.mark.parametrize("way", ["one burst", "a burst per input", "ports"])
def test_neighbours_are_those_in_time_whatever_carries_the_modes(way: str) -> None:
    """A return that is two slots late everywhere has the gain 1 at the shift 2, as sent."""
    generator = torch.Generator().manual_seed(2)
    inputs, rows, modes = 4, 30, 6
    means = torch.randn(1, rows, modes, generator=generator)
    order = {"one burst": (1, -1), "a burst per input": (inputs, -1)}
    signs = torch.randint(0, 2, (rows * modes,), generator=generator) * 2.0 - 1
    sent = means.expand(inputs, rows, modes)
    if way == "ports":
        late = torch.roll(sent, 2, dims=1)
        late[:, :2] = 0
    else:
        played = sent.reshape(order[way])
        if way == "a burst per input":
            played = played * signs
        late = torch.roll(played, 2, dims=1)
        late[:, :2] = 0
        if way == "a burst per input":
            late = late * signs
    found = shifts_of(
        late.reshape(inputs, rows, modes),
        torch.zeros(inputs, rows, dtype=torch.bool),
        means,
        parallel=way == "ports",
        by_input=way == "a burst per input",
        signs=signs if way == "a burst per input" else None,
    )
    seen = dict(zip(BINS, gains(found), strict=True))
    assert seen[2] == pytest.approx(1)
    assert max(abs(gain) for shift, gain in seen.items() if shift != 2) < 0.5


def test_vacuum_is_counted_in_free_values_and_calibrated_units() -> None:
    assert vacuum_of_slots(2.5, 101, 2.0, quadratures=2) == VacuumSlots(values=200, energy=250.0)
    pooled = pool_vacuum([VacuumSlots(values=2, energy=1.5), VacuumSlots(values=3, energy=4.0)])
    assert pooled == VacuumSlots(values=5, energy=5.5)


def test_differences_of_neighbours_are_worth_as_many_values_as_they_scatter() -> None:
    """2000 records of 200 complex values: the scatter of the ratio is (2/values)^(1/2) to 11 %."""
    random = np.random.default_rng(3)
    noise = random.standard_normal((2000, 200, 2)) @ np.array([1, 1j])
    variances = np.mean(np.abs(np.diff(noise, axis=1)) ** 2, axis=1) / 4
    found = [vacuum_of_differences(float(variance), 200, 1.0) for variance in variances]
    ratios = np.array([one.energy / one.values for one in found])
    # 6.5 standard deviations of 2000 ratios, of their mean and of their scatter.
    spread = (2 / found[0].values) ** 0.5
    assert ratios.mean() == pytest.approx(1, abs=6.5 * spread / 2000**0.5)
    assert ratios.std() == pytest.approx(spread, rel=6.5 / 4000**0.5)


def test_rails_are_counted_over_all_channels_of_all_traces() -> None:
    volts = np.zeros((2, 100), dtype=np.float32)
    volts[0, :3], volts[1, 7] = 1.0, -1.0
    trace = Trace(
        volts=volts,
        sample_rate_hz=1e9,
        range_v=1.0,
        step_v=2.0**-7,
        clipped=0,
        time_s=0.0,
        instrument="a digitiser",
        simulated=True,
    )
    assert rails_of([trace, trace]) == (8, RAIL_RATE * 400)


def collected(returns: WatchedReturns, block: Block) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(block.first_input)
    values = torch.randn(block.inputs, block.rows, block.modes, generator=generator)
    quadratures = torch.rand(block.inputs, block.rows, generator=generator) < 0.5
    means = torch.randn(1, block.rows, block.modes, generator=generator)
    watch = RecordWatch(
        vacuum=VacuumSlots(values=block.first_input, energy=1.0),
        shifted=shifts_of(values, quadratures, means),
        rail_samples=0,
        rails_allowed=0.0,
    )
    returns._collected(block, values, quadratures, means, watch)
    return values, quadratures, means


def test_watch_is_that_of_the_block_that_was_collected_last() -> None:
    returns = _Returns()
    assert isinstance(returns, WatchesRecords)
    assert isinstance(returns, ProjectsReturn)
    with pytest.raises(OpticsError, match="not the block that was collected last"):
        returns.watch(BLOCK)
    later = Block(**{**vars(BLOCK), "first_input": 3})
    collected(returns, BLOCK)
    assert returns.watch(BLOCK).vacuum.values == 0
    collected(returns, later)
    assert returns.watch(later).vacuum.values == 3
    with pytest.raises(OpticsError, match="not the block that was collected last"):
        returns.watch(BLOCK)


def test_kept_returns_are_looked_along_until_they_are_forgotten() -> None:
    returns, data = _Returns(), torch.full((3, 5), 5**-0.5)
    collected(returns, BLOCK)
    with pytest.raises(OpticsError, match="call keep_returns before"):
        returns.project(BLOCK, data, 0.9)
    returns.keep_returns()
    values, quadratures, means = collected(returns, BLOCK)
    returns.keep_returns()  # keeps what is kept
    found = returns.project(BLOCK, data, 0.9)
    assert found == project_return(values, quadratures, means, data, 0.9)
    assert sum(found.frames) == 12
    with pytest.raises(OpticsError, match="expected real vectors"):
        returns.project(BLOCK, data[:2], 0.9)
    returns.forget_returns()
    with pytest.raises(OpticsError, match="was not kept"):
        returns.project(BLOCK, data, 0.9)
