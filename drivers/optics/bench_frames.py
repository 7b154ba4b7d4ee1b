"""What both ends of a bench agree on before light is sent: how a block becomes a burst."""

import math
from dataclasses import dataclass, field, replace
from typing import Self

from drivers.backend import Block
from drivers.errors import ConfigurationError, LimitError
from drivers.optics.burst import BurstFormat, BurstLayout
from drivers.optics.pilot_budget import PilotAdvice

__all__ = ["BenchFrames", "record_samples", "search_range"]

_RECORD_MARGIN_SLOTS = 64
_SEARCH_SLOTS = 32


@dataclass(frozen=True, kw_only=True)
class BenchFrames:
    """The public agreement of both parties.

    Args:
        format: how bursts look.
        pilot_photons: mean photons of preamble and pilot slots at launch; the default is for a few
            kilometres, `with_pilots` sets those that a path needs.
        modes_per_frame: largest frame.
        peak_to_average: largest over mean square of the data vectors: the oscillator's largest
            level is the modulator's, so that electronic noise weighs that much more on average.
        largest_burst_samples: what the memories of generators and digitisers hold.
        client_range_v: range of the client's digitiser.
        server_range_v: range of the server's digitiser.
        transfer_time_s: longest time that an instrument needs beyond the burst itself.
        backend: name for records.
        simulated: True for ever on records made with it.
        seed: of a simulated bench, None for a real one.

    Raises:
        ConfigurationError: a value out of range.
    """

    format: BurstFormat = field(default_factory=BurstFormat)
    pilot_photons: float = 2000.0
    modes_per_frame: int = 4096
    peak_to_average: float = 4.0
    largest_burst_samples: int = 1 << 24
    client_range_v: float = 1.0
    server_range_v: float = 1.0
    transfer_time_s: float = 30.0
    backend: str = "bench"
    simulated: bool = False
    seed: int | None = None

    def __post_init__(self) -> None:
        for name in (
            "pilot_photons",
            "modes_per_frame",
            "peak_to_average",
            "largest_burst_samples",
            "client_range_v",
            "server_range_v",
            "transfer_time_s",
        ):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise ConfigurationError(f"{name} is {value}, it must be finite and above 0")

    def with_pilots(self, advice: PilotAdvice) -> Self:
        """The same agreement with the pilots that a path's budget recommends.

        Args:
            advice: of `drivers.optics.pilot_budget.recommend_pilots`.
        """
        return replace(
            self,
            format=replace(self.format, pilot_spacing=advice.spacing),
            pilot_photons=advice.photons,
        )

    def layout(self, block: Block) -> BurstLayout:
        """The burst of a block: its frames one after the other, inputs first.

        Raises:
            LimitError: longer than the instruments' memories.
        """
        layout = BurstLayout(format=self.format, data_symbols=block.symbols)
        if layout.total_samples > self.largest_burst_samples:
            fits = self._fitting_inputs(block)
            raise LimitError(
                f"{block.name}: the burst has {layout.total_samples:.4g} samples, the instruments "
                f"hold {self.largest_burst_samples:.4g}; "
                + (
                    f"set inputs_per_block to at most {fits}"
                    if fits
                    else "set rows_per_block so that fewer rows are sent at once"
                )
            )
        return layout

    def _fitting_inputs(self, block: Block) -> int:
        """Most inputs of a block that make a burst the instruments can hold; 0 if not even one."""
        fits, too_many = 0, block.inputs
        while too_many - fits > 1:
            middle = (fits + too_many) // 2
            symbols = middle * block.rows * block.modes
            part = BurstLayout(format=self.format, data_symbols=symbols)
            if part.total_samples > self.largest_burst_samples:
                too_many = middle
            else:
                fits = middle
        return fits

    def timeout_s(self, layout: BurstLayout) -> float:
        """How long to wait for the record of a burst."""
        return self.transfer_time_s + 3 * layout.duration_s


def record_samples(layout: BurstLayout, delay_s: float) -> int:
    """Samples of a record that holds a burst which arrives `delay_s` after the trigger."""
    late = math.ceil(delay_s * layout.format.sample_rate_hz)
    margin = _RECORD_MARGIN_SLOTS * layout.format.samples_per_symbol
    return late + layout.total_samples + margin


def search_range(layout: BurstLayout, delay_s: float) -> tuple[int, int]:
    """Samples of a record between which the preamble of a burst may begin."""
    burst = layout.format
    expected = delay_s * burst.sample_rate_hz + burst.guard_slots * burst.samples_per_symbol
    reach = _SEARCH_SLOTS * burst.samples_per_symbol
    return max(0, math.floor(expected - reach)), math.ceil(expected + reach)
