"""Device clear of USB-TMC, which pyvisa-py does not offer.

Without it, an answer that came too late would be read in place of the next one: closing and opening
a USB session leaves the instrument's buffers as they are.
"""

from typing import Any

from drivers.errors import LinkError, LinkTimeoutError

__all__ = ["clear_usbtmc"]

_CLASS_IN = 0xA1
"""Request to the interface, of its class, with an answer."""
_INITIATE_CLEAR, _CHECK_CLEAR_STATUS = 5, 6
_SUCCESS, _PENDING = 1, 2
_MOST_CHECKS = 100
_MOST_PACKETS = 10_000


def clear_usbtmc(interface: Any, timeout_ms: int) -> None:
    """Empty the input and output buffers of an instrument.

    Source: Universal Serial Bus Test and Measurement Class Specification, revision 1.0, sections
    4.2.1.6 (INITIATE_CLEAR) and 4.2.1.7 (CHECK_CLEAR_STATUS).

    Args:
        interface: pyvisa-py's, with `usb_dev`, `usb_intf`, `usb_recv_ep` and `usb_send_ep` of
            pyusb.
        timeout_ms: for every transfer.

    Raises:
        LinkError: the instrument refuses.
        LinkTimeoutError: it does not come to an end with it.
    """
    device, number = interface.usb_dev, interface.usb_intf.bInterfaceNumber
    endpoint = interface.usb_recv_ep

    def asked(request: int, count: int) -> bytes:
        return bytes(device.ctrl_transfer(_CLASS_IN, request, 0, number, count, timeout_ms))

    status = asked(_INITIATE_CLEAR, 1)[0]
    if status != _SUCCESS:
        raise LinkError(f"USB-TMC: device clear was refused with status {status:#04x}")
    for _ in range(_MOST_CHECKS):
        status, more = asked(_CHECK_CLEAR_STATUS, 2)
        if status == _SUCCESS:
            device.clear_halt(interface.usb_send_ep.bEndpointAddress)
            return
        if status != _PENDING:
            raise LinkError(f"USB-TMC: device clear failed with status {status:#04x}")
        if more & 1:
            _drain(endpoint, timeout_ms)
    raise LinkTimeoutError("USB-TMC: device clear does not come to an end")


def _drain(endpoint: Any, timeout_ms: int) -> None:
    """Read up to the short packet that ends a transfer."""
    size = endpoint.wMaxPacketSize
    for _ in range(_MOST_PACKETS):
        if len(endpoint.read(size, timeout_ms)) < size:
            return
    raise LinkTimeoutError("USB-TMC: the instrument does not stop sending during device clear")
