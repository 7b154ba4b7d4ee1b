"""What a session records for its certificates: sufficient statistics, and what was fixed before.

Plain values, so that a statement can be made, and made again by somebody else, from the file of a
run alone.
"""

import types
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from drivers.errors import ConfigurationError, DataError
from protocol.certificates.canonical import fingerprint
from protocol.certificates.pooled import PooledLight, TestSettings
from protocol.leakage.certified import NoiseDependence, ServerTrust, TestedQuadrature
from protocol.leakage.conventions import Encoding
from protocol.leakage.general_bound import ReturnedChannel
from protocol.ledger.light import ChargeRule
from protocol.verification.session_limits import SessionLimits

__all__ = [
    "LayerRecord",
    "LayerThresholds",
    "LedgerRecord",
    "SessionRecord",
    "TestRecord",
    "Thresholds",
    "read_test_settings",
    "session_record_from",
]


@dataclass(frozen=True, kw_only=True)
class LayerThresholds:
    """What was fixed for one layer before the light was on.

    Attributes:
        layer: index in the graph.
        name: in tables.
        rows: weight rows.
        modes: optical modes per row.
        weights: real weights of the layer.
        encoding: "real" or "complex".
        photons_per_symbol: mu.
        copies: K, transmissions of every row.
        symbols_x: symbols that will be tested in X, about.
        symbols_p: likewise in P; 0 if P is never tested.
        dither_p_snu: mean square of the known displacements of P, as sent.
        verifiable: False where an honest client returns no light.
        expected: the honest return, trusted detector taken out.
    """

    layer: int
    name: str
    rows: int
    modes: int
    weights: int
    encoding: Encoding
    photons_per_symbol: float
    copies: int
    symbols_x: int
    symbols_p: int
    dither_p_snu: float
    verifiable: bool
    expected: ReturnedChannel


@dataclass(frozen=True, kw_only=True)
class Thresholds:
    """What was fixed for a session before the light was on.

    Attributes:
        confidence: joint, over all layers.
        false_alarm: probability that an honest session is aborted.
        blocks: that were planned; the false alarms are shared over them.
        x_share: probability that X of a returned frame is measured.
        receiver: agreed kind.
        receiver_setting: agreed setting.
        trust: the server's calibration.
        layers: one per optical layer.
        session: limits of the tests over the whole session.
    """

    confidence: float
    false_alarm: float
    blocks: int
    x_share: float
    receiver: str
    receiver_setting: float
    trust: ServerTrust
    layers: tuple[LayerThresholds, ...]
    session: SessionLimits

    @property
    def sha256(self) -> str:
        """Fingerprint of all of it."""
        return fingerprint(self)


@dataclass(frozen=True, kw_only=True)
class LayerRecord:
    """What was counted of one layer.

    Attributes:
        layer: index in the graph.
        copies_verified: largest number of copies of a row whose return passed.
        copies_unverified: largest number that was sent and did not pass.
        tested_x: sums over all accepted X symbols; None if there are none.
        tested_p: likewise of P.
        dependence: of the noise of an honest return.
        bits_charged: worst row of the ledger, bits per weight, all sessions.
        ledger_photons: most photons per symbol that a row was ever sent with, this session
            included; None without a ledger.
        pooled: what the tests of all sessions in the ledger counted, this one's included; empty
            without a ledger, and in records of earlier versions.
    """

    layer: int
    copies_verified: int
    copies_unverified: int
    tested_x: TestedQuadrature | None
    tested_p: TestedQuadrature | None
    dependence: NoiseDependence
    bits_charged: float
    ledger_photons: float | None
    pooled: tuple[PooledLight, ...] = ()


@dataclass(frozen=True, kw_only=True)
class LedgerRecord:
    """Where a ledger stood after the session.

    Attributes:
        session: name under which it was debited.
        entries: of its head.
        hash: of its head.
        budget_bits: None for no limit.
        lifted: whether the budget was switched off.
        most_bits: of the input that has spent most; None for the server's.
        thresholds_entry: number of the entry with the session's first debit, which holds the
            fingerprint of the thresholds; None where nothing was debited, or by the client.
        thresholds_sha256: that fingerprint, as the ledger has it.
        charge_rule: whom the server's ledger charges for; None for the client's, and in records of
            earlier versions.
    """

    session: str
    entries: int
    hash: str
    budget_bits: float | None
    lifted: bool
    most_bits: float | None = None
    thresholds_entry: int | None = None
    thresholds_sha256: str | None = None
    charge_rule: ChargeRule | None = None


@dataclass(frozen=True, kw_only=True)
class TestRecord:
    """Where a test over the session stood when it ended.

    Attributes:
        party: whose test it was, "server" or "client".
        name: of the test.
        score: its largest value.
        limit: above which the session is refused.
        symbols: that were tested; rows or outcomes where those are counted.
        passed: False if it refused the session.
    """

    __test__ = False  # not a test class of pytest's

    party: Literal["server", "client"]
    name: str
    score: float
    limit: float
    symbols: int
    passed: bool


@dataclass(frozen=True, kw_only=True)
class SessionRecord:
    """All that certificates are made from.

    Attributes:
        thresholds: fixed beforehand.
        thresholds_sha256: their fingerprint, as recorded.
        layers: counted, one per optical layer.
        ledger: the server's; None without a file.
        data_ledger: the client's; None if it kept none.
        tests: over the session, of both parties.
        audited_batches: batches of dummies that were opened.
        audit_symbols: modes that were sent for dummies and told nothing.
    """

    thresholds: Thresholds
    thresholds_sha256: str
    layers: tuple[LayerRecord, ...]
    ledger: LedgerRecord | None
    data_ledger: LedgerRecord | None
    tests: tuple[TestRecord, ...] = ()
    audited_batches: int = 0
    audit_symbols: int = 0


# Fields that records of earlier versions do not have; they mean the same without them.
_LATER = {(LayerRecord, "pooled"), (LedgerRecord, "charge_rule")}


def session_record_from(data: object) -> SessionRecord:
    """Read a session's record back from plain data.

    Raises:
        DataError: a field is missing, surplus, of another type or out of range.
    """
    value = _read(SessionRecord, data, "certificate record")
    assert isinstance(value, SessionRecord)
    return value


def read_test_settings(data: object) -> TestSettings:
    """Read back from plain data under which settings sums were made.

    Raises:
        DataError: a field is missing, surplus, of another type or out of range.
    """
    value = _read(TestSettings, data, "settings of tests")
    assert isinstance(value, TestSettings)
    return value


def _read(kind: Any, data: object, where: str) -> object:
    if isinstance(kind, type) and is_dataclass(kind):
        return _read_dataclass(kind, data, where)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (types.UnionType, Union):
        if data is None and type(None) in arguments:
            return None
        return _read(next(a for a in arguments if a is not type(None)), data, where)
    if origin is tuple:
        if not isinstance(data, list | tuple):
            raise DataError(f"{where}: a list was expected")
        return tuple(_read(arguments[0], x, f"{where}[{i}]") for i, x in enumerate(data))
    if kind is float and isinstance(data, int) and not isinstance(data, bool):
        return float(data)
    if kind in (bool, int, float, str):
        if isinstance(data, kind) and (kind is not int or not isinstance(data, bool)):
            return data
        raise DataError(f"{where}: {data!r} is not of type {kind.__name__}")
    if data in arguments:  # a choice of words
        return data
    raise DataError(f"{where}: {data!r} is not one of {arguments}")


def _read_dataclass(kind: type, data: object, where: str) -> object:
    if not isinstance(data, Mapping):
        raise DataError(f"{where}: an object was expected")
    hints = get_type_hints(kind)
    names = {field.name for field in fields(kind)}
    missing = {name for name in names - set(data) if (kind, name) not in _LATER}
    if missing or set(data) - names:
        odd = ", ".join(sorted(str(name) for name in missing | (set(data) - names)))
        raise DataError(
            f"{where}: fields are missing or surplus: {odd}. The run was recorded by another "
            "version of veilight, or by hand; make the certificate with the version of the run."
        )
    values = {
        name: _read(hints[name], data[name], f"{where}.{name}")
        for name in sorted(names & set(data))
    }
    try:
        return kind(**values)
    except ConfigurationError as error:
        raise DataError(f"{where}: {error}") from error
