"""One link per box: instruments that share an address share the link, and with it the lock."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from drivers.errors import ConfigurationError
from drivers.instruments import Clock
from drivers.transports.byte_trace import ByteTrace
from drivers.transports.link import Link
from drivers.transports.serial_stream import SerialSettings, SerialStream
from drivers.transports.settings import LinkSettings, link_settings
from drivers.transports.socket_stream import SocketStream
from drivers.transports.streams import ByteStream, StreamOpener
from drivers.transports.visa_stream import PURE_PYTHON, VisaStream

if TYPE_CHECKING:
    from drivers.bench.registry import InstrumentEntry

__all__ = ["LinkPool", "Opening", "opener_of", "socket_of"]

_HOST = r"(?P<host>[^:\]]+|\[[^\]]+\])"
_VISA_SOCKET = re.compile(rf"TCPIP\d*::{_HOST}::(?P<port>\d{{1,5}})::SOCKET", re.IGNORECASE)
_URL_SOCKET = re.compile(rf"socket://{_HOST}:(?P<port>\d{{1,5}})", re.IGNORECASE)


def socket_of(address: str) -> tuple[str, int] | None:
    """Host and port of an address that names a raw socket; None for other addresses.

    Args:
        address: `TCPIP::host::port::SOCKET`, or `socket://host:port` for a terminal server.
    """
    found = _VISA_SOCKET.fullmatch(address) or _URL_SOCKET.fullmatch(address)
    if found is None or not 0 < int(found["port"]) < 65536:
        return None
    return found["host"].strip("[]"), int(found["port"])


def opener_of(
    backend: str, address: str, settings: LinkSettings, serial: SerialSettings
) -> StreamOpener:
    """What opens the channel to an address.

    Args:
        backend: `visa` or `serial`.
        address: of the device.
        settings: of the link.
        serial: of the line, for serial ports.
    """
    place = None if settings.library else socket_of(address)
    if place is not None:
        return lambda timeout_s: SocketStream.connect(*place, timeout_s)
    if backend == "serial":
        return lambda _: SerialStream.open(address, serial)

    def visa(timeout_s: float) -> ByteStream:
        return VisaStream.open(address, settings.library or PURE_PYTHON, timeout_s)

    return visa


Opening: TypeAlias = Callable[[str, str, LinkSettings, SerialSettings], StreamOpener]
"""Like `opener_of`."""


class LinkPool:
    """The links of all benches of a process.

    Args:
        clock: for deadlines.
        opening: what opens the channel to an address; see `opener_of`. Emulators in the same
            process, and proxies, put themselves here.
    """

    def __init__(self, clock: Clock, opening: Opening = opener_of) -> None:
        self._clock = clock
        self._opening = opening
        self._links: dict[tuple[str, str], tuple[Link, tuple[object, ...]]] = {}
        self._traces: dict[str, ByteTrace] = {}

    def link(
        self,
        entry: "InstrumentEntry",
        *,
        serial: SerialSettings | None = None,
        timeout_s: float = 2.0,
        quiet_s: float = 0.05,
        chatty: bool = False,
    ) -> Link:
        """The link to an entry's address, closed until an instrument attaches to it.

        Args:
            entry: of the bench file; `settings.timeout_s`, `baud`, `library` and `trace` are read.
            serial: how the instrument's serial line is set.
            timeout_s: for an exchange, where the file says nothing.
            quiet_s: see `Link`.
            chatty: see `Link`.

        Raises:
            ConfigurationError: two roles of one box ask for different links, or a setting is wrong.
        """
        settings = link_settings(entry)
        line = SerialSettings() if serial is None else serial
        if settings.baud:
            line = SerialSettings(
                baud=settings.baud, parity=line.parity, stop_bits=line.stop_bits, flow=line.flow
            )
        wanted = (settings, line, timeout_s, chatty)
        key = (entry.backend, entry.address)
        found = self._links.get(key)
        if found is None:
            link = Link(
                entry.address,
                self._opening(entry.backend, entry.address, settings, line),
                clock=self._clock,
                timeout_s=settings.timeout_s or timeout_s,
                quiet_s=quiet_s,
                chatty=chatty,
                trace=self._trace(settings.trace),
            )
            found = self._links[key] = (link, wanted)
        if found[1] != wanted:
            raise ConfigurationError(
                f"instruments.{entry.role}.settings: another role of the box at {entry.address} "
                "sets the link otherwise; give both the same timeout_s, baud, library and trace"
            )
        return found[0]

    def _trace(self, path: str) -> ByteTrace | None:
        if not path:
            return None
        if path not in self._traces:
            self._traces[path] = ByteTrace(Path(path))
        return self._traces[path]
