"""What a frontier assumes of the link and of the parties, and the receiver as it is on that link.

Losses and detector noise turn the figures of an ideal receiver into those of a real one by the
simulated link's own calibration (`sim_backend.symbol_link`): the formulas are not repeated here.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, TypeAlias

from drivers.errors import ConfigurationError
from drivers.receivers import Receiver
from protocol.leakage.dithering import lost_p
from protocol.leakage.general_bound import ReturnedChannel

__all__ = ["DataCharge", "LinkAssumptions", "ReceiverOnLink", "receiver_on_link"]

DataCharge: TypeAlias = Literal["larger", "local"]
"""Which figure of the data's leakage counts: the larger of the local one and the cap, or the local.
"""


@dataclass(frozen=True, kw_only=True)
class LinkAssumptions:
    """The link, the tests, and what is granted to whom.

    Attributes:
        transmittance: power transmittance of each of the two fibres, in (0, 1].
        transmittance_trusted: whether nobody but the server can touch the fibres. If not, every
            lost photon is the adversary's.
        detection_efficiency: of the client's detector, in (0, 1].
        electronic_noise_snu: of the client's detector, in units of its shot noise.
        server_efficiency: of the server's detector, in (0, 1]; trusted.
        server_electronic_noise_snu: of the server's detector; trusted.
        tested_symbols: n, optical symbols of all layers and both quadratures that the server tests
            in one session, from which the certificate is made; each layer has its share by its
            symbols. None leaves the certificate out: asymptotic figures only.
        tested_share_x: part of the tested symbols that is measured in X, in (0, 1).
        failure: probability that any part of the certificate is wrong, shared by the layers.
        gain_uncertainty: relative standard uncertainty of the sent amplitudes, for the certificate.
        shot_noise_uncertainty: of the server's shot-noise unit, likewise.
        copies: K, transmissions of the same weights that are counted together. With 1 a figure is
            what each transmission of a session adds at most, the session being as long as
            `tested_symbols` says; a session as a whole leaks what K = its queries gives.
        inputs_per_block: data vectors of a sample that are verified together; 0 for all. What a
            thief keeps is one such block.
        dither_p_snu: d, mean square of known displacements of P, fresh for every symbol, that the
            server adds to the real encoding to see the gain of P (`protocol.leakage.dithering`);
            the complex encoding, whose weights show it, goes without.
        probe_photons_per_mode: the client's limit on the mean photons per mode in P, which it
            monitors; at least the dither's d/4 are let through. None: no figure for a probing
            server is made.
        data_charge: which figure of the data's leakage counts.
        most_photons_per_symbol: settings that need more are not used; None for no limit.
        symbol_rate_hz: modes per second.

    Raises:
        ConfigurationError: a value is NaN or out of range.
    """

    transmittance: float = 1.0
    transmittance_trusted: bool = False
    detection_efficiency: float = 1.0
    electronic_noise_snu: float = 0.0
    server_efficiency: float = 1.0
    server_electronic_noise_snu: float = 0.0
    tested_symbols: float | None = None
    tested_share_x: float = 0.5
    failure: float = 1e-6
    gain_uncertainty: float = 0.0
    shot_noise_uncertainty: float = 0.0
    copies: int = 1
    inputs_per_block: int = 0
    dither_p_snu: float = 0.0
    probe_photons_per_mode: float | None = None
    data_charge: DataCharge = "larger"
    most_photons_per_symbol: float | None = None
    symbol_rate_hz: float = 1e9

    def __post_init__(self) -> None:
        for name in ("transmittance", "detection_efficiency", "server_efficiency"):
            _check(name, getattr(self, name), 0 < getattr(self, name) <= 1, "in (0, 1]")
        for name in (
            "electronic_noise_snu",
            "server_electronic_noise_snu",
            "dither_p_snu",
            "gain_uncertainty",
            "shot_noise_uncertainty",
        ):
            _check(name, getattr(self, name), getattr(self, name) >= 0, "at least 0")
        for name in ("failure", "tested_share_x"):
            _check(name, getattr(self, name), 0 < getattr(self, name) < 1, "between 0 and 1")
        _check("symbol_rate_hz", self.symbol_rate_hz, self.symbol_rate_hz > 0, "above 0")
        if self.tested_symbols is not None:
            _check("tested_symbols", self.tested_symbols, self.tested_symbols > 0, "above 0")
        if self.probe_photons_per_mode is not None:
            probe = self.probe_photons_per_mode
            _check("probe_photons_per_mode", probe, probe >= 0, "at least 0")
        if self.most_photons_per_symbol is not None:
            most = self.most_photons_per_symbol
            _check("most_photons_per_symbol", most, most > 0, "above 0")
        if isinstance(self.copies, bool) or not isinstance(self.copies, int) or self.copies < 1:
            raise ConfigurationError(
                f"frontier link: copies is {self.copies!r}; it must be a whole number of at least 1"
            )
        cut = self.inputs_per_block
        if isinstance(cut, bool) or not isinstance(cut, int) or cut < 0:
            raise ConfigurationError(
                f"frontier link: inputs_per_block is {cut!r}; it must be a whole number of at "
                "least 0 (0: all data vectors of a sample)"
            )
        if self.data_charge not in ("larger", "local"):
            raise ConfigurationError(
                f"frontier link: data_charge is {self.data_charge!r}; choose 'larger' or 'local'"
            )


@dataclass(frozen=True, kw_only=True)
class ReceiverOnLink:
    """A receiver with the losses and the detector of a link (a `ReceiverNoise` of the formulas).

    Attributes:
        kind: of the receiver.
        preserves_p: whether P of the data mode comes back unscaled.
        signal_gain: mean of the recorded outcome per unit of (sent means . data).
        snr_factor: f, signal-to-noise ratio of the record per (sent means . data)^2.
        excess_noise_x_snu: of the data mode where it leaves the client.
        excess_noise_p_snu: likewise in P.
        returned_transmittance: of the mean inside the receiver.
        channel_gain: amplitude gain from where the adversary begins to the server's trusted part.
        channel_excess_x_snu: excess noise of the data mode there.
        channel_excess_p_snu: likewise in P.
        lost_p: amplitude share of P of the data mode that the receiver does not give back.
        reaching: share of the launched photons that arrive where the adversary begins.
        trusted_efficiency: of everything behind the adversary.
    """

    kind: str
    preserves_p: bool
    signal_gain: float
    snr_factor: float
    excess_noise_x_snu: float
    excess_noise_p_snu: float
    returned_transmittance: float
    channel_gain: float
    channel_excess_x_snu: float
    channel_excess_p_snu: float
    lost_p: float
    reaching: float
    trusted_efficiency: float

    def channel(
        self, modes: int, *, dither_snu: float = 0.0, unmatched_p: float = 0.0
    ) -> ReturnedChannel:
        """What the server's tests of honest light find in a row of `modes`, on average per symbol.

        Args:
            modes: N.
            dither_snu: of P, where the adversary begins; the gain of P is then that of the dither.
            unmatched_p: further excess noise of P of the data mode, SNU.
        """
        dimmed = self.lost_p / modes if dither_snu > 0 else 0.0
        displaced = self.channel_gain**2 * self.lost_p**2 * dither_snu * (1 - 1 / modes)
        return ReturnedChannel(
            gain_x=self.channel_gain,
            gain_p=self.channel_gain * (1 - dimmed),
            excess_noise_x_snu=self.channel_excess_x_snu / modes,
            excess_noise_p_snu=(self.channel_excess_p_snu + displaced + unmatched_p) / modes,
        )


@lru_cache(maxsize=4096)
def receiver_on_link(receiver: Receiver, link: LinkAssumptions) -> ReceiverOnLink:
    """The receiver as calibrated on a simulated link of these losses; no light is sent."""
    from protocol.verification import expected_return
    from sim_backend.settings import DetectorSettings, LinkSettings
    from sim_backend.symbol_link import SymbolLink

    optics = SymbolLink(
        LinkSettings(
            receiver=receiver,
            forward_transmittance=link.transmittance,
            return_transmittance=link.transmittance,
            client=DetectorSettings(
                efficiency=link.detection_efficiency,
                electronic_noise_snu=link.electronic_noise_snu,
            ),
            server=DetectorSettings(
                efficiency=link.server_efficiency,
                electronic_noise_snu=link.server_electronic_noise_snu,
            ),
            device="cpu",
        )
    )
    own, info = optics.client.describe(), optics.server.describe()
    expectation = expected_return(info, receiver)
    # What is trusted lies outside the adversary's channel: before it and behind it.
    reaching = link.transmittance if link.transmittance_trusted else 1.0
    behind = reaching * info.detection_efficiency
    return ReceiverOnLink(
        kind=receiver.kind,
        preserves_p=receiver.preserves_p,
        signal_gain=own.signal_gain,
        snr_factor=own.snr_factor,
        excess_noise_x_snu=info.data_mode_excess_x_snu,
        excess_noise_p_snu=info.data_mode_excess_p_snu,
        returned_transmittance=receiver.returned_transmittance,
        # Rounding must not make a lossless return brighter than what was sent.
        channel_gain=min(1.0, expectation.gain / math.sqrt(reaching * behind)),
        channel_excess_x_snu=expectation.data_mode_excess_x / behind,
        channel_excess_p_snu=expectation.data_mode_excess_p / behind,
        lost_p=lost_p(receiver),
        reaching=reaching,
        trusted_efficiency=behind,
    )


def _check(name: str, value: float, fits: bool, limit: str) -> None:
    if not (math.isfinite(value) and fits):  # also refuses NaN
        raise ConfigurationError(f"frontier link: {name} is {value}; it must be finite and {limit}")
