"""The classical messages between the parties, and their text form.

Every exchange starts with the client. No message has room for a weight, a datum or a measured
value: fields are whole numbers, short texts, and the one scale per layer in the plan. An opened
audit names the seed of random vectors, never data.

Version 2: audits, and the fingerprint of the thresholds when a query is granted.
Version 3: the share of X that is tested, and random displacements of P, in the offer; blocks of a
part of a batch's inputs in the plan.
"""

import json
import math
from dataclasses import dataclass, fields
from typing import ClassVar, TypeAlias, get_type_hints

from drivers.backend import Block
from drivers.errors import ProtocolError

__all__ = [
    "PROTOCOL_VERSION",
    "AuditCommand",
    "AuditCommitment",
    "AuditDue",
    "AuditNoted",
    "AuditOpening",
    "AuditVerdict",
    "BlockMeasured",
    "BlockReady",
    "BlockSent",
    "BlockVerdict",
    "Farewell",
    "Finish",
    "Hello",
    "Message",
    "Offer",
    "Query",
    "QueryGranted",
    "Refusal",
    "decode_message",
    "encode_message",
]

PROTOCOL_VERSION = 3
MAX_MESSAGE_BYTES = 64 * 1024


@dataclass(frozen=True, kw_only=True)
class Hello:
    """Client: who I am and which receiver I will use."""

    kind: ClassVar[str] = "hello"
    version: int
    receiver: str
    receiver_setting: float
    modes_per_frame: int


@dataclass(frozen=True, kw_only=True)
class Offer:
    """Server: the network without weights, how it will be sent, what share is to be audited.

    `probes` says whether the client may measure P in some batches of its own, `x_share` which share
    of the frames the server measures in X, `dither_snu` by how much it displaces P at random, mean
    square per mode: light that the client has to put up with.
    """

    kind: ClassVar[str] = "offer"
    version: int
    session: str
    audit_share: float
    probes: bool
    x_share: float
    dither_snu: float
    graph: dict[str, object]
    plan: dict[str, object]


@dataclass(frozen=True, kw_only=True)
class Query:
    """Client: how many samples this session is for."""

    kind: ClassVar[str] = "query"
    session: str
    samples: int


@dataclass(frozen=True, kw_only=True)
class QueryGranted:
    """Server: the thresholds are fixed (`thresholds` is their SHA-256), go ahead with run `run`."""

    kind: ClassVar[str] = "query-granted"
    session: str
    run: int
    blocks: int
    thresholds: str


@dataclass(frozen=True, kw_only=True)
class _BlockMessage:
    session: str
    run: int
    layer: int
    tile: int
    first_input: int
    inputs: int
    first_row: int
    rows: int
    modes: int

    def block(self) -> Block:
        """The block that the message is about."""
        names = [field.name for field in fields(Block)]
        return Block(**{name: getattr(self, name) for name in names})


@dataclass(frozen=True, kw_only=True)
class BlockReady(_BlockMessage):
    """Client: my receiver is set, send the light."""

    kind: ClassVar[str] = "block-ready"


@dataclass(frozen=True, kw_only=True)
class BlockSent(_BlockMessage):
    """Server: the light is out."""

    kind: ClassVar[str] = "block-sent"


@dataclass(frozen=True, kw_only=True)
class BlockMeasured(_BlockMessage):
    """Client: I have measured, the rest of the light is on its way back."""

    kind: ClassVar[str] = "block-measured"


@dataclass(frozen=True, kw_only=True)
class BlockVerdict(_BlockMessage):
    """Server: the returned light passed, or the session ends here."""

    kind: ClassVar[str] = "block-verdict"
    accepted: bool
    reason: str


@dataclass(frozen=True, kw_only=True)
class AuditCommitment:
    """Client: what the next batch of samples is, as a hash; before any of its light."""

    kind: ClassVar[str] = "audit-commitment"
    session: str
    first_sample: int
    commitment: str


@dataclass(frozen=True, kw_only=True)
class AuditNoted:
    """Server: noted, the batch may begin."""

    kind: ClassVar[str] = "audit-noted"
    session: str
    first_sample: int


@dataclass(frozen=True, kw_only=True)
class AuditDue:
    """Client: all light of the batch is back."""

    kind: ClassVar[str] = "audit-due"
    session: str
    first_sample: int


@dataclass(frozen=True, kw_only=True)
class AuditCommand:
    """Server: say what the batch was (`opened`), or go on."""

    kind: ClassVar[str] = "audit-command"
    session: str
    first_sample: int
    opened: bool


@dataclass(frozen=True, kw_only=True)
class AuditOpening:
    """Client: what the batch was; of dummies, the seed they were made from, otherwise empty."""

    kind: ClassVar[str] = "audit-opening"
    session: str
    first_sample: int
    batch: str
    seed: str
    nonce: str


@dataclass(frozen=True, kw_only=True)
class AuditVerdict:
    """Server: the opened batch passed, or the session ends here."""

    kind: ClassVar[str] = "audit-verdict"
    session: str
    first_sample: int
    accepted: bool
    reason: str


@dataclass(frozen=True, kw_only=True)
class Finish:
    """Client: all done."""

    kind: ClassVar[str] = "finish"
    session: str
    samples: int


@dataclass(frozen=True, kw_only=True)
class Farewell:
    """Server: the session is closed."""

    kind: ClassVar[str] = "farewell"
    session: str
    blocks: int


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """Server: no, and why; `error` names a class of the error tree."""

    kind: ClassVar[str] = "refusal"
    error: str
    reason: str


Message: TypeAlias = (
    Hello
    | Offer
    | Query
    | QueryGranted
    | BlockReady
    | BlockSent
    | BlockMeasured
    | BlockVerdict
    | AuditCommitment
    | AuditNoted
    | AuditDue
    | AuditCommand
    | AuditOpening
    | AuditVerdict
    | Finish
    | Farewell
    | Refusal
)

_KINDS: dict[str, type[Message]] = {
    message.kind: message
    for message in (
        Hello,
        Offer,
        Query,
        QueryGranted,
        BlockReady,
        BlockSent,
        BlockMeasured,
        BlockVerdict,
        AuditCommitment,
        AuditNoted,
        AuditDue,
        AuditCommand,
        AuditOpening,
        AuditVerdict,
        Finish,
        Farewell,
        Refusal,
    )
}

_HINTS = {kind: get_type_hints(kind) for kind in _KINDS.values()}


def encode_message(message: Message) -> bytes:
    """The text form of a message, UTF-8 JSON.

    Raises:
        ProtocolError: larger than a control message may be.
    """
    text = json.dumps({"kind": message.kind, **vars(message)}, allow_nan=False).encode()
    if len(text) > MAX_MESSAGE_BYTES:
        raise ProtocolError(
            f"message {message.kind} has {len(text)} bytes, the cap is {MAX_MESSAGE_BYTES}"
        )
    return text


def decode_message(text: bytes) -> Message:
    """Read what `encode_message` wrote.

    Raises:
        ProtocolError: too large, not JSON, an unknown kind, a missing, surplus or ill-typed field.
    """
    if len(text) > MAX_MESSAGE_BYTES:
        raise ProtocolError(f"message of {len(text)} bytes exceeds the cap of {MAX_MESSAGE_BYTES}")
    try:
        data = json.loads(
            text,
            parse_constant=_refuse_constant,
            parse_float=_finite,
            object_pairs_hook=_without_duplicates,
        )
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"a message cannot be read: {error}") from error
    name = data.pop("kind", None) if isinstance(data, dict) else None
    if not isinstance(name, str) or name not in _KINDS:
        raise ProtocolError("a message is not an object of a known kind")
    kind = _KINDS[name]
    hints = _HINTS[kind]
    names = {field.name for field in fields(kind)}
    if set(data) != names:
        raise ProtocolError(
            f"message {kind.kind}: fields {sorted(set(data) ^ names)} are missing or surplus"
        )
    for name, value in data.items():
        if not _fits(value, hints[name]):
            raise ProtocolError(f"message {kind.kind}: field {name} is {type(value).__name__}")
    return kind(**data)


def _fits(value: object, hint: object) -> bool:
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is str:
        return isinstance(value, str)
    if hint is bool:
        return isinstance(value, bool)
    return isinstance(value, dict)


def _without_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    data = dict(pairs)
    if len(data) != len(pairs):
        raise ValueError("a name occurs twice in one object")
    return data


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is beyond the range of a float")
    return value


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not allowed in a message")
