"""A bench with an amplifier as a link: both ends on instruments, for people who own both."""

from collections.abc import Callable
from dataclasses import dataclass

from drivers.block_order import BlockOrder
from drivers.optics.amplifier_client import AmplifierClientInstruments, AmplifierClientOptics
from drivers.optics.amplifier_server import AmplifierServerInstruments, AmplifierServerOptics
from drivers.optics.amplifier_values import (
    AmplifierClientValues,
    AmplifierServerValues,
    PortAgreement,
)
from drivers.optics.block_guard import BlockGuard
from drivers.optics.burst_turns import BurstTurns
from drivers.receivers import Amplifier

__all__ = ["AmplifierBenchLink", "AmplifierBenchSettings"]


@dataclass(frozen=True, kw_only=True)
class AmplifierBenchSettings:
    """What a bench with an amplifier is run with.

    Args:
        receiver: the amplifier and its gain.
        agreement: of both ends.
        server: the server's calibrated values.
        client: the client's calibrated values.
    """

    receiver: Amplifier
    agreement: PortAgreement
    server: AmplifierServerValues
    client: AmplifierClientValues


class AmplifierBenchLink:
    """Both ends of one bench; implements `drivers.backend.OpticalLink`.

    Args:
        server: the server's instruments, switched on.
        client: the client's instruments, switched on.
        settings: agreement and calibrated values.
        on_failure: brings the benches of both parties to their safe state; is told why. Called
            once for every block that is lost.
    """

    def __init__(
        self,
        server: AmplifierServerInstruments,
        client: AmplifierClientInstruments,
        settings: AmplifierBenchSettings,
        *,
        on_failure: Callable[[str], None] | None = None,
    ) -> None:
        self.settings = settings
        agreement = settings.agreement
        order, turns = BlockOrder(agreement.frames.modes_per_frame), BurstTurns()
        guard = BlockGuard(order, on_failure)
        self.server = AmplifierServerOptics(server, settings.server, agreement, order, turns, guard)
        self.client = AmplifierClientOptics(
            client, settings.client, settings.receiver, agreement, order, turns, guard
        )
