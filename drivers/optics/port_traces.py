"""Records of a digitiser with a channel per detector: asked for, taken, and looked at.

Owns what is checked of a trace before it is demodulated, channel by channel.
"""

from drivers.errors import TraceError
from drivers.instruments import Digitiser, Trace, Trigger
from drivers.optics.bench_frames import BenchFrames, record_samples
from drivers.optics.burst import BurstLayout
from drivers.optics.trace_checks import TraceChecker

__all__ = ["PortTraces"]


class PortTraces:
    """Takes the records of one party's detectors.

    Args:
        digitiser: a channel per detector.
        frames: what both ends agreed on.
        delay_s: from the trigger to the burst's first sample.
        range_v: of the digitiser.
    """

    def __init__(
        self, digitiser: Digitiser, frames: BenchFrames, *, delay_s: float, range_v: float
    ) -> None:
        self._digitiser = digitiser
        self._frames = frames
        self._delay_s = delay_s
        self._range_v = range_v
        self._checkers = [
            TraceChecker(f"{digitiser.name} channel {channel}")
            for channel in range(digitiser.limits.channels)
        ]

    def arm(self, layout: BurstLayout) -> None:
        """Make the digitiser wait for a burst; a record that nobody fetched is dropped."""
        self._digitiser.abort()
        self._digitiser.configure(
            layout.format.sample_rate_hz, record_samples(layout, self._delay_s), self._range_v
        )
        self._digitiser.arm(Trigger.EXTERNAL)

    def take(self, layout: BurstLayout) -> Trace:
        """Wait for the record of a burst and take it.

        Raises:
            InstrumentError: no record came in time.
        """
        self._digitiser.wait(self._frames.timeout_s(layout))
        return self._digitiser.fetch()

    def check(self, trace: Trace, layout: BurstLayout) -> None:
        """Refuse a trace that cannot be trusted; each may be looked at once.

        Raises:
            TraceError: it is clipped, constant, has a stuck bit or an offset jump, or was there
                before.
        """
        if trace.clipped:
            raise TraceError(
                f"{self._digitiser.name}: {trace.clipped} samples are at the ends of "
                f"+-{trace.range_v:g} V; use a larger range or less light"
            )
        for checker, volts in zip(self._checkers, trace.volts, strict=True):
            checker.check(
                volts,
                range_v=trace.range_v,
                step_v=trace.step_v,
                samples=record_samples(layout, self._delay_s),
            )

    def disarm(self) -> None:
        """Wait for nothing."""
        self._digitiser.abort()
