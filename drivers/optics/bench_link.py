"""A bench as a link: both ends on instruments, for people who own both."""

from collections.abc import Callable
from dataclasses import dataclass

from drivers.block_order import BlockOrder
from drivers.optics.bench_frames import BenchFrames
from drivers.optics.block_guard import BlockGuard
from drivers.optics.client_optics import BenchClientOptics, ClientInstruments
from drivers.optics.link_values import ClientValues, ServerValues
from drivers.optics.server_optics import BenchServerOptics, ServerInstruments
from drivers.receivers import PassiveTap

__all__ = ["BenchLink", "BenchLinkSettings"]


@dataclass(frozen=True, kw_only=True)
class BenchLinkSettings:
    """What a bench is run with.

    Args:
        receiver: the tap and its fraction.
        frames: what both ends agreed on.
        server: the server's calibrated values.
        client: the client's calibrated values.
    """

    receiver: PassiveTap
    frames: BenchFrames
    server: ServerValues
    client: ClientValues


class BenchLink:
    """Both ends of one bench; implements `drivers.backend.OpticalLink`.

    Each end has its own instruments and its own calibrated values; what they share is the public
    agreement on frames and the order of blocks.

    Args:
        server: the server's instruments, switched on.
        client: the client's instruments, switched on.
        settings: agreement and calibrated values.
        on_failure: brings the benches of both parties to their safe state; is told why. Called
            once for every block that is lost, after all converters were disarmed and before the
            error is raised.
    """

    def __init__(
        self,
        server: ServerInstruments,
        client: ClientInstruments,
        settings: BenchLinkSettings,
        *,
        on_failure: Callable[[str], None] | None = None,
    ) -> None:
        self.settings = settings
        order = BlockOrder(settings.frames.modes_per_frame)
        guard = BlockGuard(order, on_failure)
        self.server = BenchServerOptics(
            server, settings.server, settings.receiver, settings.frames, order, guard
        )
        self.client = BenchClientOptics(
            client, settings.client, settings.receiver, settings.frames, order, guard
        )
