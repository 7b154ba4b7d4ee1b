"""What a certificate says, as values: one statement for the server, one for the client."""

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias

from drivers.errors import ConfigurationError
from protocol.certificates.formats import FORMAT
from protocol.certificates.record import TestRecord
from protocol.ledger.light import ChargeRule

__all__ = [
    "DeviceTrust",
    "Estimate",
    "LayerBits",
    "LedgerState",
    "Side",
    "Statement",
    "TotalBits",
]

SIMULATED = "SIMULATED: nothing here is a claim about real light"
REAL = "real light"

Side: TypeAlias = Literal["server", "client"]


@dataclass(frozen=True, kw_only=True)
class DeviceTrust:
    """A loss, a noise or an assumption, and to whom it is given.

    Attributes:
        what: in words.
        trusted: True if it is taken out as the own device's; False if it is given to the adversary.
        value: where there is a number.
        unit: of the number.
        deviations: where the number is a standard uncertainty, by how many of them it is taken to
            be off; None elsewhere.
    """

    what: str
    trusted: bool
    value: float | None = None
    unit: str = ""
    deviations: float | None = None


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A quantity that was estimated, with its confidence region.

    Attributes:
        layer: of which layer.
        what: the quantity.
        unit: SNU, or nothing for a gain.
        value: point estimate, never to be quoted alone.
        bound: its worst value in the region.
        symbols: tested symbols behind it.
    """

    layer: str
    what: str
    unit: str
    value: float
    bound: float
    symbols: int


@dataclass(frozen=True, kw_only=True)
class LayerBits:
    """What of one layer, or of one secret, can have leaked.

    Attributes:
        layer: name.
        adversary: who.
        secret_values: real weights, or data values of one input.
        copies_verified: K, copies of the weights whose return passed; 0 for data.
        copies_unverified: copies that were sent and did not pass; counted as kept.
        bits_per_value: at most, with the statement's confidence where `certified`.
        bits_untested: per value, if nothing had been tested; the same where nothing was.
        total_bits: bits_per_value times secret_values.
        certified: whether a finite test stands behind it; otherwise a design value or the
            untested bound.
        bits_with_memory: bits_per_value to an adversary with one memory over all copies, at most,
            with the same confidence; the same where one copy was tested; None for data.
        upper_bound: False for a local estimate, which stands here where no bound of the adversary
            is known.
    """

    layer: str
    adversary: str
    secret_values: int
    copies_verified: int
    copies_unverified: int
    bits_per_value: float
    bits_untested: float
    total_bits: float
    certified: bool
    bits_with_memory: float | None = None
    upper_bound: bool = True


@dataclass(frozen=True, kw_only=True)
class TotalBits:
    """The layers together.

    Attributes:
        worst_layer: with most bits per value.
        worst_bits_per_value: its bits.
        mean_bits_per_value: total_bits over all values.
        total_bits: of this session.
        all_sessions_worst_bits: worst layer over all sessions that the ledger knows: what the tests
            of all of them say of all their light together; what has no sums in the ledger is taken
            as kept. At the statement's confidence, jointly over the layers, but by itself and not
            jointly with the session's own figures. None without a ledger.
        mean_certified_as_one: the mean once more, of this session, certified as one number: at the
            statement's confidence, but by itself and not jointly with the layers. None where a
            layer was not tested, or some of its light did not come back.
        worst_bits_with_memory: of all layers, to an adversary with one memory over all copies;
            None for data.
        all_sessions_worst_bits_with_memory: likewise over all sessions.
        all_sessions_tested_share: of all photons that the ledger knows, those whose return stands
            behind these figures; the layer with fewest. None without a ledger.
    """

    worst_layer: str
    worst_bits_per_value: float
    mean_bits_per_value: float
    total_bits: float
    all_sessions_worst_bits: float | None
    mean_certified_as_one: float | None = None
    worst_bits_with_memory: float | None = None
    all_sessions_worst_bits_with_memory: float | None = None
    all_sessions_tested_share: float | None = None


@dataclass(frozen=True, kw_only=True)
class LedgerState:
    """Where the side's ledger stood after the session.

    Attributes:
        session: name under which it was debited.
        entries: of the ledger's head.
        hash: of the ledger's head; covers all entries before.
        charged_bits: worst row's bits per weight, or worst input's bits, over all sessions, at the
            design value of the channel.
        budget_bits: None for no limit.
        lifted: whether the budget was switched off.
        thresholds_entry: number of the entry that fixed the thresholds before the light; None for
            the client's, or where nothing was debited.
        charge_rule: whom the server's ledger charges for; None for the client's.
    """

    session: str
    entries: int
    hash: str
    charged_bits: float
    budget_bits: float | None
    lifted: bool
    thresholds_entry: int | None = None
    charge_rule: ChargeRule | None = None


@dataclass(frozen=True, kw_only=True)
class Statement:
    """Everything that a side signs.

    Attributes:
        format: of the statement; `FORMAT` of `protocol.certificates.formats`.
        side: "server" (its weights) or "client" (its data).
        secret: "weights" or "data".
        simulated: True for ever on a session of simulated light.
        light: `SIMULATED` or `REAL`, in words.
        title: of the run.
        started: UTC, ISO 8601.
        accepted: the server's verdict.
        backend: what the light was made by.
        taints: what was overridden to allow the run.
        receiver: kind and setting.
        adversary: who is bounded, and by what argument.
        trust: what is trusted and what is not.
        confidence: that every bound holds together; None where nothing was estimated.
        confidence_fixed_beforehand: False if it was changed after the session.
        estimates: with their confidence region.
        layers: bits by layer.
        total: the layers together.
        ledger: None if the side kept none.
        tests: the side's own tests over the session, with their limits.
        audited_batches: batches of dummies that were opened.
        thresholds_sha256: fingerprint of the thresholds fixed before the light.
        result_sha256: of the record that the statement was made from.

    Raises:
        ConfigurationError: simulated light that is called real, or a confidence out of range.
    """

    side: Side
    secret: Literal["weights", "data"]
    simulated: bool
    light: str
    title: str
    started: str
    accepted: bool
    backend: str
    taints: tuple[str, ...]
    receiver: str
    adversary: tuple[str, ...]
    trust: tuple[DeviceTrust, ...]
    confidence: float | None
    confidence_fixed_beforehand: bool
    estimates: tuple[Estimate, ...]
    layers: tuple[LayerBits, ...]
    total: TotalBits
    ledger: LedgerState | None
    tests: tuple[TestRecord, ...]
    audited_batches: int
    thresholds_sha256: str
    result_sha256: str
    format: str = FORMAT

    def __post_init__(self) -> None:
        if self.light != (SIMULATED if self.simulated else REAL):
            raise ConfigurationError(
                f"certificate: light {self.light!r} does not fit a session with simulated = "
                f"{self.simulated}; simulated light stays marked as simulated for ever"
            )
        if self.confidence is not None and not 0 < self.confidence < 1:
            raise ConfigurationError(
                f"certificate: the confidence is {self.confidence}, it must lie between 0 and 1"
            )
        for layer in self.layers:
            if not math.isfinite(layer.bits_per_value) or layer.bits_per_value < 0:
                raise ConfigurationError(
                    f"certificate: {layer.layer}: {layer.bits_per_value} bits per value; a bound "
                    "is finite and at least 0: find the estimate that failed"
                )
