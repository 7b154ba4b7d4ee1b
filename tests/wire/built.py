"""Instruments as bench files get them, closed; nobody is at their addresses."""

from collections.abc import Mapping

from drivers.bench.registry import BuildContext, InstrumentEntry
from drivers.catalogue import DriverModel
from drivers.instruments import Instrument
from drivers.transports.pool import LinkPool
from tests.wire.scripted import ScriptedClock

__all__ = ["from_bench_file"]

_ADDRESSES = {"visa": "TCPIP::192.0.2.1::5025::SOCKET", "serial": "/dev/ttyUSB9"}


def from_bench_file(
    model: DriverModel,
    *,
    channel: int = 1,
    settings: Mapping[str, object] | None = None,
    address: str | None = None,
) -> Instrument:
    """What a bench file with this model gets.

    Args:
        model: of the catalogue.
        channel: of its entry.
        settings: of its entry.
        address: of its entry; one that its backend takes by default.
    """
    clock = ScriptedClock()
    entry = InstrumentEntry(
        bench="b",
        party="server",
        role="role",
        model=model.model,
        backend=model.backend,
        address=_ADDRESSES[model.backend] if address is None else address,
        serial="",
        channel=channel,
        settings={} if settings is None else dict(settings),
    )
    return model(entry, BuildContext(limits=model.limits, clock=clock, links=LinkPool(clock)))
