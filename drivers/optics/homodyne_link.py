"""A homodyne bench as a link: both ends on instruments, for people who own both."""

from collections.abc import Callable

from drivers.block_order import BlockOrder
from drivers.errors import ConfigurationError
from drivers.optics.block_guard import BlockGuard
from drivers.optics.homodyne_choice import (
    Coins,
    OperatingSystemCoins,
    QuadratureChoice,
    SeededCoins,
)
from drivers.optics.homodyne_client import HomodyneClientInstruments, HomodyneClientOptics
from drivers.optics.homodyne_server import HomodyneServerInstruments, HomodyneServerOptics
from drivers.optics.homodyne_turns import HomodyneTurns
from drivers.optics.homodyne_values import HomodyneSettings

__all__ = ["HomodyneLink"]


class HomodyneLink:
    """Both ends of one homodyne bench; implements `drivers.backend.OpticalLink`.

    Args:
        server: the server's instruments, switched on.
        client: the client's instruments, switched on.
        settings: agreement and calibrated values.
        on_failure: brings the benches of both parties to their safe state; is told why. Called
            once for every block that is lost.
        coins: choose the quadratures; left out, those of the operating system, or of the seed of a
            simulated bench.

    Raises:
        ConfigurationError: coins with a seed on real light.
    """

    def __init__(
        self,
        server: HomodyneServerInstruments,
        client: HomodyneClientInstruments,
        settings: HomodyneSettings,
        *,
        on_failure: Callable[[str], None] | None = None,
        coins: Coins | None = None,
    ) -> None:
        self.settings = settings
        frames = settings.frames
        if coins is None:
            seeded = frames.simulated and frames.seed is not None
            coins = SeededCoins(frames.seed or 0) if seeded else OperatingSystemCoins()
        if coins.seed is not None and not frames.simulated:
            raise ConfigurationError(
                "a seed for the measured quadratures is possible in simulation only: on real light "
                "the client could foresee them"
            )
        order, turns = BlockOrder(frames.modes_per_frame), HomodyneTurns()
        guard = BlockGuard(order, on_failure)
        self.server = HomodyneServerOptics(
            server, settings, QuadratureChoice(coins), order, turns, guard
        )
        self.client = HomodyneClientOptics(client, settings, order, turns, guard)

    @property
    def random_bits(self) -> QuadratureChoice:
        """What the engine takes its choice of quadratures from; see `QuadratureChoice`."""
        return self.server.choice
