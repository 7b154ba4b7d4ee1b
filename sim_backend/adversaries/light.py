"""Light as the tests see it: what the server's detector gets back, what the client's gets sent.

A tampering party turns the honest value into another one. Everything is in shot-noise units.
"""

import math
from dataclasses import dataclass

from drivers.errors import ConfigurationError
from drivers.receivers import Receiver

__all__ = ["Hit", "ProbeLight", "ReturnedLight", "honest_probe", "honest_return"]


@dataclass(frozen=True, kw_only=True)
class Hit:
    """Some modes that are treated differently from the rest.

    Args:
        gain: amplitude of a launched mean in the record of these modes.
        added_x_snu: noise in X on top of what all modes have.
        added_p_snu: likewise in P.
        share: probability that a symbol is hit, each on its own; give this or `modes_per_frame`.
        modes_per_frame: fixed number of hit modes of every frame.

    Raises:
        ConfigurationError: a value out of range, or neither or both ways of choosing modes.
    """

    gain: float
    added_x_snu: float
    added_p_snu: float
    share: float = 0.0
    modes_per_frame: int = 0

    def __post_init__(self) -> None:
        _check_finite("hit", gain=self.gain)
        _check_not_negative("hit", added_x=self.added_x_snu, added_p=self.added_p_snu)
        if not 0 <= self.share <= 1:
            raise ConfigurationError(f"hit: share is {self.share}, it must lie in [0, 1]")
        if (self.share > 0) == (self.modes_per_frame > 0):
            raise ConfigurationError("hit: give either a share or modes_per_frame, above 0")


@dataclass(frozen=True, kw_only=True)
class ReturnedLight:
    """Law of the light that the server's detector records.

    Args:
        gain: amplitude of a launched mean in the record, 1 for a lossless honest return.
        variance_x_snu: variance of X of every mode but the data's.
        variance_p_snu: likewise of P.
        data_mode_excess_x_snu: further variance of X along the data vector, one number per frame.
        data_mode_excess_p_snu: likewise of P.
        hit: modes with a law of their own, or None.
        vacuum_variance_snu: variance of interleaved vacuum slots, 1 at the calibrated oscillator.
        unit_snu: what all but vacuum, offset and range are counted in, 1 for the calibrated vacuum.
        offset_snu: constant displacement of every record, or of every vacuum slot.
        converter_range_snu: the digitiser clips at plus and minus this.

    Raises:
        ConfigurationError: a value out of range.
    """

    gain: float = 1.0
    variance_x_snu: float = 1.0
    variance_p_snu: float = 1.0
    data_mode_excess_x_snu: float = 0.0
    data_mode_excess_p_snu: float = 0.0
    hit: Hit | None = None
    vacuum_variance_snu: float = 1.0
    unit_snu: float = 1.0
    offset_snu: float = 0.0
    converter_range_snu: float = math.inf

    def __post_init__(self) -> None:
        _check_finite("returned light", gain=self.gain, offset_snu=self.offset_snu)
        _check_positive(
            "returned light",
            variance_x_snu=self.variance_x_snu,
            variance_p_snu=self.variance_p_snu,
            vacuum_variance_snu=self.vacuum_variance_snu,
            unit_snu=self.unit_snu,
        )
        _check_not_negative(
            "returned light",
            data_mode_excess_x_snu=self.data_mode_excess_x_snu,
            data_mode_excess_p_snu=self.data_mode_excess_p_snu,
        )

    @property
    def clips(self) -> bool:
        """True if the digitiser's range matters."""
        return math.isfinite(self.converter_range_snu)


@dataclass(frozen=True, kw_only=True)
class ProbeLight:
    """Law of the client's own record, one outcome per weight row.

    Args:
        outcome_variance_snu: variance of the outcome without the weights' own share.
        signal_variance_snu: what weights that the client does not know add to it.
        p_mean_snu: root-mean-square of the light in P of the data mode, which should be none.
        p_variance_snu: variance of P of the data mode, for a client that audits it.
        repeated_share: share of the rows that repeat an earlier row exactly.
        bright_share: share of the rows that hold all of the light, 1 where rows are alike.

    Raises:
        ConfigurationError: a value out of range.
    """

    outcome_variance_snu: float
    signal_variance_snu: float = 0.0
    p_mean_snu: float = 0.0
    p_variance_snu: float = 1.0
    repeated_share: float = 0.0
    bright_share: float = 1.0

    def __post_init__(self) -> None:
        _check_positive(
            "probe light",
            outcome_variance_snu=self.outcome_variance_snu,
            p_variance_snu=self.p_variance_snu,
        )
        _check_not_negative(
            "probe light", signal_variance_snu=self.signal_variance_snu, p_mean_snu=self.p_mean_snu
        )
        if not 0 <= self.repeated_share <= 1:
            raise ConfigurationError(
                f"probe light: repeated_share is {self.repeated_share}, it must lie in [0, 1]"
            )
        if not 0 < self.bright_share <= 1:
            raise ConfigurationError(
                f"probe light: bright_share is {self.bright_share}, it must lie in (0, 1]"
            )

    @property
    def variance_snu(self) -> float:
        """Variance of an outcome about zero, over all rows."""
        return self.outcome_variance_snu + self.signal_variance_snu

    @property
    def bright_variance_snu(self) -> float:
        """Variance of an outcome of the bright rows about zero."""
        return self.outcome_variance_snu + self.signal_variance_snu / self.bright_share


def honest_return(receiver: Receiver) -> ReturnedLight:
    """What an honest client with ideal optics gives back (`drivers.receivers`)."""
    return ReturnedLight(
        gain=math.sqrt(receiver.returned_transmittance),
        data_mode_excess_x_snu=receiver.excess_noise_x_snu,
        data_mode_excess_p_snu=receiver.excess_noise_p_snu,
    )


def honest_probe(receiver: Receiver, photons_per_symbol: float) -> ProbeLight:
    """What an honest server's weights give an ideal client: signal a^2 4 mu (real encoding)."""
    return ProbeLight(
        outcome_variance_snu=receiver.outcome_variance_snu,
        signal_variance_snu=receiver.signal_gain**2 * 4 * photons_per_symbol,
    )


def _check_finite(what: str, **values: float) -> None:
    for name, value in values.items():
        if not math.isfinite(value):
            raise ConfigurationError(f"{what}: {name} is {value}, it must be finite")


def _check_positive(what: str, **values: float) -> None:
    for name, value in values.items():
        if not (math.isfinite(value) and value > 0):
            raise ConfigurationError(f"{what}: {name} is {value}, it must be finite and above 0")


def _check_not_negative(what: str, **values: float) -> None:
    for name, value in values.items():
        if not (math.isfinite(value) and value >= 0):
            raise ConfigurationError(f"{what}: {name} is {value}, it must be finite and at least 0")
