"""What the server insists on in a session, and what it knows at its end."""

from dataclasses import dataclass, field

from drivers.backend import Block
from drivers.errors import ConfigurationError
from drivers.receivers import Receiver
from protocol.certificates.record import Thresholds
from protocol.server_audits import AuditEntry
from protocol.verification import Evidence, Verdict
from protocol.verification.session import SessionScore
from protocol.verification.session_limits import AlarmShares

__all__ = ["BlockRecord", "ServerPolicy", "ServerRecord"]


@dataclass(frozen=True, kw_only=True)
class ServerPolicy:
    """What the server insists on.

    Args:
        receiver: the agreed receiver and setting; nothing that the client reports replaces it.
        false_alarm: probability that an honest session is aborted.
        full_return: measure and keep every mode instead of drawing the tests' sums.
        largest_query: most samples of one session. The false-alarm rate is shared over the blocks
            that a client announces, so an unbounded number would let it widen every threshold.
        confidence: of the certificate; fixed with the thresholds.
        shares: how the false-alarm rate is shared between the tests.
        audit_share: share of the batches that must be dummies, opened once their light is back.
        audit_rate: share of the batches about which the client has to speak.
        probes: whether the client may measure P in batches of its own. With a receiver that keeps
            the mean of X alone, such a batch comes back with a little less of it.
    """

    receiver: Receiver
    false_alarm: float = 1e-6
    full_return: bool = False
    largest_query: int = 10_000_000
    confidence: float = 1 - 1e-6
    shares: AlarmShares = field(default_factory=AlarmShares)
    audit_share: float = 0.0
    audit_rate: float = 1.0
    probes: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.false_alarm < 0.5:
            raise ConfigurationError(
                f"false_alarm is {self.false_alarm}, it must lie in (0, 0.5): the probability "
                "that an honest session is aborted"
            )
        if not 0 < self.confidence < 1:
            raise ConfigurationError(f"confidence is {self.confidence}, it must lie in (0, 1)")
        if not 0 <= self.audit_share < 1 or not 0 < self.audit_rate <= 1:
            raise ConfigurationError(
                f"audit_share is {self.audit_share} and audit_rate {self.audit_rate}: the first "
                "must lie in [0, 1), the second in (0, 1]"
            )


@dataclass(frozen=True, kw_only=True)
class BlockRecord:
    """One block as the server saw it; `verdict` is None where nothing can be tested.

    Args:
        block: which.
        verdict: of its own tests.
        session_failed: names of the session's tests that failed with this block.
    """

    block: Block
    verdict: Verdict | None
    session_failed: str = ""

    @property
    def accepted(self) -> bool:
        """True unless a test failed."""
        return not self.failed

    @property
    def failed(self) -> str:
        """Names of all tests that failed, without any measured value; empty if none did."""
        own = "" if self.verdict is None else self.verdict.failed
        return ", ".join(names for names in (own, self.session_failed) if names)


@dataclass(kw_only=True)
class ServerRecord:
    """What the server knows at the end of a session.

    Args:
        session: its name.
        samples: announced, dummies included.
        blocks: as they came.
        evidence: sums over accepted blocks, by layer.
        sent_inputs: data vectors whose light was sent, by layer.
        thresholds: fixed when the query was granted; None before.
        tests: of the session, in their latest state.
        audits: what became known of each batch; empty without audits.
        refused: tests of the session that failed after its last block.
    """

    session: str
    samples: int = 0
    blocks: list[BlockRecord] = field(default_factory=list)
    evidence: dict[int, Evidence] = field(default_factory=dict)
    sent_inputs: dict[int, int] = field(default_factory=dict)
    thresholds: Thresholds | None = None
    tests: tuple[SessionScore, ...] = ()
    audits: list[AuditEntry] = field(default_factory=list)
    refused: str = ""

    @property
    def accepted(self) -> bool:
        """True if every block and the session as a whole passed."""
        return not self.refused and all(record.accepted for record in self.blocks)

    @property
    def reason(self) -> str:
        """Which tests refused the session and by how much; empty if none did."""
        parts = [
            f"{t.name} {t.score:.4g} (limit {t.limit:.4g})" for t in self.tests if not t.passed
        ]
        last = self.blocks[-1].verdict if self.blocks else None
        if last is not None and last.reason:
            parts.insert(0, last.reason)
        return "; ".join(parts)
