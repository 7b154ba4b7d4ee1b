"""Device clear of USB-TMC on what pyusb shows of an instrument."""

from collections.abc import Callable
from typing import Any

import pytest
from pyvisa import errors

from drivers.errors import LinkError, LinkTimeoutError
from drivers.transports.reader import line
from drivers.transports.usbtmc import clear_usbtmc
from tests.wire.visa_fakes import LATE, UNSUPPORTED, USB, Bus, Instrument


class UsbDevice:
    """A USB-TMC instrument, as pyusb shows it: two requests and two endpoints.

    Args:
        packets: what it still has to send when it is cleared.
        statuses: of its answers to CHECK_CLEAR_STATUS when nothing is left to send.
    """

    bEndpointAddress = 0x02  # noqa: N815 - as pyusb names it
    bInterfaceNumber = 3  # noqa: N815 - as pyusb names it
    wMaxPacketSize = 64  # noqa: N815 - as pyusb names it

    def __init__(self, packets: list[int], statuses: list[int], first: int = 1) -> None:
        self.packets = packets
        self.statuses = statuses
        self.first = first
        self.requests: list[tuple[int, ...]] = []
        self.halts: list[int] = []
        self.cleared: Callable[[], None] = lambda: None

    def ctrl_transfer(self, *given: int) -> Any:
        kind, request, value, index, count, timeout_ms = given
        assert (kind, value, index) == (0xA1, 0, 3)
        assert timeout_ms > 0
        self.requests.append((request, count))
        if request == 5:
            return memoryview(bytes([self.first]))
        if self.packets:
            return memoryview(bytes([2, 1]))
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        return memoryview(bytes([status, 0]))

    def read(self, size: int, timeout_ms: int) -> Any:
        assert (size, timeout_ms > 0) == (64, True)
        return memoryview(bytes(self.packets.pop(0)))

    def clear_halt(self, endpoint: int) -> None:
        self.halts.append(endpoint)
        self.cleared()


class UsbInterface:
    """`pyvisa_py.protocols.usbtmc.USBTMC`, as far as a device clear needs it."""

    def __init__(self, device: UsbDevice) -> None:
        self.usb_dev = self.usb_intf = self.usb_recv_ep = self.usb_send_ep = device


@pytest.mark.parametrize("packets", [[], [5], [64, 64, 0], [64, 1, 64, 2]])
def test_usb_device_clear_reads_all_that_is_left(packets: list[int]) -> None:
    device = UsbDevice(packets, [2, 2, 1])
    clear_usbtmc(UsbInterface(device), 100)
    assert device.packets == []
    assert device.requests[0] == (5, 1)
    assert set(device.requests[1:]) == {(6, 2)}
    assert device.halts == [0x02]


@pytest.mark.parametrize(
    ("device", "message"),
    [
        (UsbDevice([], [1], first=0x80), "refused with status 0x80"),
        (UsbDevice([], [0x81]), "failed with status 0x81"),
        (UsbDevice([], [2]), "does not come to an end"),
        (UsbDevice([64] * 20_000, [1]), "does not stop sending"),
    ],
)
def test_usb_device_clear_says_why_it_fails(device: UsbDevice, message: str) -> None:
    with pytest.raises(LinkError, match=message):
        clear_usbtmc(UsbInterface(device), 100)
    assert device.halts == []


def test_usb_late_answer_is_dropped_where_pyvisa_py_knows_no_device_clear() -> None:
    instrument, device = Instrument({b"A?\n": b"own\n"}), UsbDevice([5], [1])
    device.cleared = instrument.clear
    session = type("Session", (), {"interface": UsbInterface(device)})()
    bus = Bus(instrument, USB, errors.VisaIOError(UNSUPPORTED), {1: session})
    with pytest.raises(LinkTimeoutError):
        bus.link.order(LATE + b"?\n", line())
    bus.instrument.release()
    assert bus.link.ask(b"A?\n", line()) == b"own"
    assert bus.instrument.events == ["open", "clear", "close", "open", "clear"]
