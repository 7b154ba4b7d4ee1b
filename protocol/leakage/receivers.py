"""From a client's receiver to the numbers that the leakage formulas take.

Any object with the attributes of `ReceiverNoise` will do; the project's receivers are in
`drivers.receivers`.
"""

from typing import Protocol

from drivers.errors import ConfigurationError
from protocol.leakage import _checks
from protocol.leakage.conventions import Encoding
from protocol.leakage.data import (
    data_bits_server_any_measurement,
    data_bits_server_any_measurement_cap,
    data_bits_server_homodynes_rows,
    data_bits_server_homodynes_rows_cap,
)
from protocol.leakage.finite_size import ChannelEstimate

__all__ = [
    "ReceiverNoise",
    "check_encoding",
    "data_bits_server_any_measurement_of_receiver",
    "data_bits_server_any_measurement_of_receiver_cap",
    "data_bits_server_homodynes_receiver",
    "data_bits_server_homodynes_receiver_cap",
    "noisier_quadrature_snu",
    "returned_channel",
]


class ReceiverNoise(Protocol):
    """What a receiver measures and gives back; shot-noise units, ideal detectors."""

    @property
    def kind(self) -> str:
        """Name of the receiver kind."""

    @property
    def preserves_p(self) -> bool:
        """Whether the mean of P of the data mode comes back as the other modes' does."""

    @property
    def signal_gain(self) -> float:
        """a: mean of the outcome per unit of q . x^."""

    @property
    def snr_factor(self) -> float:
        """F = a^2/v: signal-to-noise ratio of the outcome per (q . x^)^2."""

    @property
    def excess_noise_x_snu(self) -> float:
        """ell_x: excess noise of the returned X of the data mode."""

    @property
    def excess_noise_p_snu(self) -> float:
        """ell_p: excess noise of the returned P of the data mode."""

    @property
    def returned_transmittance(self) -> float:
        """Power transmittance of the returned mean."""


def check_encoding(receiver: ReceiverNoise, encoding: Encoding) -> None:
    """Refuse a receiver that cannot take the encoding.

    Raises:
        ConfigurationError: complex encoding with a receiver that does not preserve P.
    """
    if encoding == "complex" and not receiver.preserves_p:
        raise ConfigurationError(
            f"leakage: receiver {receiver.kind} does not preserve P, so it cannot take the "
            "complex encoding. Use the real encoding or another receiver."
        )


def returned_channel(receiver: ReceiverNoise, modes: int) -> ChannelEstimate:
    """The channel that the server sees behind an honest receiver: T, and ell/N per symbol.

    A prediction without tested symbols, for asymptotic figures. The noise of a row is fully
    correlated over its modes; per symbol the server counts the average ell/N.

    Args:
        receiver: the client's receiver.
        modes: N >= 1.

    Raises:
        ConfigurationError: an attribute of the receiver is out of range.
    """
    count = _checks.count("number of modes", modes)
    return ChannelEstimate(
        transmittance=_checks.fraction("returned transmittance", receiver.returned_transmittance),
        excess_noise_x_snu=receiver.excess_noise_x_snu / count,
        excess_noise_p_snu=receiver.excess_noise_p_snu / count,
    )


def noisier_quadrature_snu(receiver: ReceiverNoise) -> float:
    """Excess noise of the quadrature that tells a homodyning server more, in shot-noise units."""
    return max(receiver.excess_noise_x_snu, receiver.excess_noise_p_snu)


def data_bits_server_homodynes_receiver(
    receiver: ReceiverNoise, rows: int, modes: int, encoding: Encoding = "real"
) -> float:
    """Server who homodynes whole rows from `receiver`; local, bits per real data symbol.

    See `protocol.leakage.data.data_bits_server_homodynes_rows`, whose errors it raises.
    """
    return data_bits_server_homodynes_rows(noisier_quadrature_snu(receiver), rows, modes, encoding)


def data_bits_server_homodynes_receiver_cap(
    receiver: ReceiverNoise, rows: int, modes: int, encoding: Encoding = "real"
) -> float:
    """Server who homodynes whole rows from `receiver`; cap, bits per real data symbol.

    See `protocol.leakage.data.data_bits_server_homodynes_rows_cap`, whose errors it raises.
    """
    return data_bits_server_homodynes_rows_cap(
        noisier_quadrature_snu(receiver), rows, modes, encoding
    )


def data_bits_server_any_measurement_of_receiver(
    receiver: ReceiverNoise, rows: int, modes: int, encoding: Encoding = "real"
) -> float:
    """Server with any measurement of the return of `receiver`; local, bits per data symbol.

    See `protocol.leakage.data.data_bits_server_any_measurement`, whose errors it raises. A
    feed-forward tap needs `protocol.leakage.probing` on top.
    """
    return data_bits_server_any_measurement(
        receiver.excess_noise_x_snu, receiver.excess_noise_p_snu, rows, modes, encoding
    )


def data_bits_server_any_measurement_of_receiver_cap(
    receiver: ReceiverNoise, rows: int, modes: int, encoding: Encoding = "real"
) -> float:
    """Server with any measurement of the return of `receiver`; cap, bits per data symbol.

    See `protocol.leakage.data.data_bits_server_any_measurement_cap`, whose errors it raises.
    """
    return data_bits_server_any_measurement_cap(
        receiver.excess_noise_x_snu, receiver.excess_noise_p_snu, rows, modes, encoding
    )
