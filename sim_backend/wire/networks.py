"""Which network protocol of instruments an address of VISA means, for twins that stand there."""

import re

from sim_backend.scene.clock import SimulatedClock
from sim_backend.wire.hislip import HislipTwin
from sim_backend.wire.session import Twin
from sim_backend.wire.vxi11 import Vxi11Twin

__all__ = ["networked"]

_HISLIP = re.compile(r"TCPIP\d*::[^:]+::hislip\d+(,\d+)?::INSTR", re.IGNORECASE)
_VXI11 = re.compile(r"TCPIP\d*::[^:]+(::(?!hislip)[^:]+)?(::INSTR)?", re.IGNORECASE)


def networked(twin: Twin, address: str, clock: SimulatedClock, speed: float = 1.0) -> Twin:
    """A twin that speaks the protocol by which clients reach an instrument at an address.

    Args:
        twin: the instrument.
        address: of VISA: `TCPIP::host::hislip0::INSTR` for HiSLIP, `TCPIP::host::inst0::INSTR` or
            `TCPIP::host::INSTR` for VXI-11; all others mean the bare bytes.
        clock: simulated time.
        speed: simulated seconds per second of the clients' time-outs.

    Returns:
        The twin itself where the bytes are bare.
    """
    if _HISLIP.fullmatch(address):
        return HislipTwin(twin, clock, speed=speed)
    if _VXI11.fullmatch(address):
        return Vxi11Twin(twin, clock, speed=speed)
    return twin
