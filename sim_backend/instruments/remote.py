"""The remote control of a simulated instrument: who it is, how long it takes, whether it obeys.

Owns what all simulated instruments have in common: simulated time for every message, the faults
"time-out" and "setting ignored", the identity and the instrument's own random numbers.
"""

import hashlib
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from drivers.errors import ConfigurationError, InstrumentError
from drivers.instruments import Identity
from drivers.instruments.hurry import Hurry
from sim_backend.instruments.faults import FaultFinder, FaultKind
from sim_backend.scene.clock import SimulatedClock

__all__ = ["Latency", "RemoteControl", "SimulatedInstrument"]

FIRMWARE = "1.0"


@dataclass(frozen=True, kw_only=True)
class Latency:
    """Times of a link, all of them simulated.

    Args:
        transfer_s: for one message and its answer.
        deadline_s: after which a missing answer is given up.
    """

    transfer_s: float = 1e-3
    deadline_s: float = 2.0

    def __post_init__(self) -> None:
        for name in ("transfer_s", "deadline_s"):
            if not 0 <= getattr(self, name) <= 1e4:
                raise ConfigurationError(
                    f"{name} is {getattr(self, name)}, it must be from 0 to 10000 s"
                )


class RemoteControl:
    """The link to one simulated instrument.

    Args:
        party: "server" or "client"; tells instruments of the same role apart.
        role: place in the bench.
        model: what it answers, such as "simulated laser".
        seed: of the scene; goes into the serial number and the random numbers.
        clock: simulated time.
        fault: what is wrong with the instrument now.
        latency: how long messages take.
    """

    def __init__(
        self,
        *,
        party: str,
        role: str,
        model: str,
        seed: int,
        clock: SimulatedClock,
        fault: FaultFinder,
        latency: Latency | None = None,
    ) -> None:
        self.clock = clock
        self.role = role
        self.fault = fault
        self._latency = Latency() if latency is None else latency
        self._hurry = Hurry(clock.now)
        self.identity = Identity(
            maker="veilight", model=model, serial=f"{party}-{role}-{seed}", firmware=FIRMWARE
        )
        key = f"{seed}/{party}/{role}".encode()
        digest = hashlib.blake2b(key, digest_size=8).digest()
        self.rng = np.random.Generator(np.random.SFC64(int.from_bytes(digest, "big")))

    def urgent(self, limit_s: float | None, *, patient: bool) -> AbstractContextManager[None]:
        """Be short; see `drivers.transports.link.Link.urgent`."""
        return self._hurry.within(limit_s, patient=patient)

    def ask(self, transfer_s: float | None = None) -> None:
        """Exchange one message.

        Args:
            transfer_s: time that it takes; None for the usual.

        Raises:
            InstrumentError: the instrument does not answer.
        """
        if self._hurry.over:
            raise InstrumentError(f"{self.role}: is left until there is more time for it")
        if not self._hurry.on:
            self._hurry.at_leisure()
        if self.fault(FaultKind.TIME_OUT) is not None:
            deadline_s = self._hurry.cut(self._latency.deadline_s)
            self.clock.sleep(deadline_s)
            self._hurry.give_up()
            raise InstrumentError(
                f"{self.role}: no answer within {deadline_s} s; check that the instrument is "
                "on and connected, then open it again"
            )
        self.clock.sleep(self._latency.transfer_s if transfer_s is None else transfer_s)

    def takes(self, transfer_s: float | None = None) -> bool:
        """Send one setting; False if the instrument accepts it and does nothing.

        Args:
            transfer_s: as for `ask`.

        Raises:
            InstrumentError: the instrument does not answer.
        """
        self.ask(transfer_s)
        return self.fault(FaultKind.SETTING_IGNORED) is None


class SimulatedInstrument:
    """The part of the life of an instrument that all simulated ones share; a mix-in.

    It stands before the kind among the bases, so that `simulated` and the connection are its own.
    """

    simulated: bool = True
    others_wait: ClassVar[bool]
    _remote: RemoteControl

    def _open(self) -> Identity:
        self._remote.ask()
        return self._remote.identity

    def _close(self) -> None:
        """Nothing holds a connection."""

    def _urgent(self, hurry_s: float | None) -> AbstractContextManager[None]:
        return self._remote.urgent(hurry_s, patient=self.others_wait)
