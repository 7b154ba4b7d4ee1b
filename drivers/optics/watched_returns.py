"""What a server's optics on instruments keep of the return, beside the quadratures asked for.

Owns the watch over the records of the block that was collected last, and whole returns for as long
as somebody may want to look along data vectors that are opened later.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence

from torch import Tensor

from drivers.backend import Block, ReturnProjection, ReturnSummary
from drivers.block_order import check_gain
from drivers.errors import OpticsError
from drivers.instruments import Trace
from drivers.optics.trace_checks import RAIL_RATE, rail_samples
from drivers.record_watch import RecordWatch, ShiftedMeans, VacuumSlots, shifted_means
from drivers.return_summary import project_return, summarise

__all__ = [
    "WatchedReturns",
    "pool_vacuum",
    "rails_of",
    "shifts_of",
    "vacuum_of_differences",
    "vacuum_of_slots",
]


class WatchedReturns(ABC):
    """Implements `drivers.record_watch.WatchesRecords` and `drivers.backend.ProjectsReturn`.

    The sums of a return are made here too, from what the optics measure.
    """

    def __init__(self) -> None:
        self._watched: tuple[Block, RecordWatch] | None = None
        self._kept: dict[Block, tuple[Tensor, Tensor, Tensor]] | None = None

    @abstractmethod
    def _collect(self, block: Block, quadratures: Tensor) -> tuple[Tensor, Tensor]:
        """What was measured of a block, and the means that it was sent with."""

    @abstractmethod
    def _range_snu(self) -> float:
        """Full level of the converter in SNU."""

    @abstractmethod
    def _step_snu(self) -> float:
        """One step of the converter in SNU."""

    def collect_summary(
        self, block: Block, quadratures: Tensor, reference_gain: float
    ) -> ReturnSummary:
        """See `ServerOptics.collect_summary`."""
        check_gain(block, reference_gain)
        values, means = self._collect(block, quadratures)
        return summarise(
            values,
            quadratures.cpu(),
            means,
            reference_gain,
            self._range_snu(),
            self._step_snu(),
        )

    def watch(self, block: Block) -> RecordWatch:
        """See `WatchesRecords.watch`."""
        if self._watched is None or self._watched[0] != block:
            raise OpticsError(f"{block.name}: it is not the block that was collected last")
        return self._watched[1]

    def keep_returns(self) -> None:
        """See `ProjectsReturn.keep_returns`."""
        self._kept = {} if self._kept is None else self._kept

    def project(self, block: Block, data: Tensor, reference_gain: float) -> ReturnProjection:
        """See `ProjectsReturn.project`."""
        if self._kept is None or block not in self._kept:
            raise OpticsError(
                f"{block.name}: its return was not kept; call keep_returns before it is collected"
            )
        if data.shape != (block.inputs, block.modes) or data.is_complex():
            raise OpticsError(
                f"{block.name}: opened data have shape {tuple(data.shape)}, expected real vectors "
                f"{(block.inputs, block.modes)}"
            )
        values, quadratures, means = self._kept[block]
        return project_return(values, quadratures, means, data.cpu(), reference_gain)

    def forget_returns(self) -> None:
        """See `ProjectsReturn.forget_returns`."""
        if self._kept is not None:
            self._kept.clear()

    def _collected(
        self, block: Block, values: Tensor, quadratures: Tensor, means: Tensor, watch: RecordWatch
    ) -> None:
        """Remember what was collected.

        Args:
            block: which.
            values: measured, `(inputs, rows, modes)`.
            quadratures: in which, `(inputs, rows)`.
            means: launched, `(inputs or 1, rows, modes)`.
            watch: over its records.
        """
        self._watched = block, watch
        if self._kept is not None:
            self._kept[block] = values, quadratures.cpu(), means


def vacuum_of_slots(
    variance_v2: float, slots: int, expected_v2: float, *, quadratures: int
) -> VacuumSlots:
    """Vacuum slots whose variance was taken about their mean.

    Args:
        variance_v2: measured, with the usual divisor of one less than slots.
        slots: how many.
        expected_v2: by the calibration: shot and electronic noise.
        quadratures: of every slot that count, 1 or 2.
    """
    values = quadratures * (slots - 1)
    return VacuumSlots(values=values, energy=values * variance_v2 / expected_v2)


def vacuum_of_differences(variance_v2: float, slots: int, expected_v2: float) -> VacuumSlots:
    """Vacuum slots, two quadratures, whose variance was taken from neighbours' differences.

    The mean of squared differences of n values has the variance 4 s^4 (3 n - 4)/(n - 1)^2 (von
    Neumann et al., Ann. Math. Stat. 12, 153 (1941)): it is worth 2 (n - 1)^2/(3 n - 4) free values.

    Args:
        variance_v2: measured.
        slots: how many.
        expected_v2: by the calibration: shot and electronic noise.
    """
    values = round(2 * 2 * (slots - 1) ** 2 / (3 * slots - 4))
    return VacuumSlots(values=values, energy=values * variance_v2 / expected_v2)


def pool_vacuum(parts: Iterable[VacuumSlots]) -> VacuumSlots:
    """All of several vacuum slots."""
    every = tuple(parts)
    return VacuumSlots(
        values=sum(part.values for part in every), energy=sum(part.energy for part in every)
    )


def rails_of(traces: Sequence[Trace]) -> tuple[int, float]:
    """Samples at the ends of the range, and how many noise alone may bring there.

    Args:
        traces: of a block, all channels.
    """
    found = sum(
        rail_samples(volts, trace.range_v, trace.step_v)
        for trace in traces
        for volts in trace.volts
    )
    return found, RAIL_RATE * sum(trace.volts.size for trace in traces)


def shifts_of(
    values: Tensor,
    quadratures: Tensor,
    means: Tensor,
    *,
    parallel: bool = False,
    by_input: bool = False,
    signs: Tensor | None = None,
) -> ShiftedMeans:
    """X of a block against the means of neighbouring slots.

    Args:
        values: measured, `(inputs, rows, modes)`.
        quadratures: in which, `(inputs, rows)`.
        means: launched, real, `(inputs or 1, rows, modes)`.
        parallel: the modes of a frame share a slot, each on a detector of its own.
        by_input: every data vector has a burst of its own.
        signs: with which the symbols of a burst were sent, where they are not all +1.
    """
    shape = values.shape
    measured = (~quadratures.cpu())[..., None].expand(shape)

    def ordered(one: Tensor) -> Tensor:
        if parallel:
            return one
        return one.reshape(shape[0] if by_input else 1, -1, 1)

    sent = ordered(means.double().expand(shape))
    came = ordered(values.double())
    if signs is not None:
        known = signs.double().reshape(1, -1, 1)
        sent, came = sent * known, came * known
    return shifted_means(came.numpy(), sent.numpy(), ordered(measured).numpy())
