"""What the server insists on in a session, and what it knows at its end."""

import math
from dataclasses import dataclass, field, replace

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
        x_share: probability that X of a returned frame is measured, P otherwise. Faint light is
            certified at less with more of X.
        dither_snu: mean square of random displacements of P that the server adds to its weights,
            fresh for every symbol and known to it alone; real encoding. They show the gain of P.
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
    x_share: float = 0.5
    dither_snu: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.x_share < 1:
            raise ConfigurationError(
                f"x_share is {self.x_share}, it must lie in (0, 1): both quadratures are tested"
            )
        if not 0 <= self.dither_snu < math.inf:
            raise ConfigurationError(
                f"dither_snu is {self.dither_snu}, it must be finite and at least 0 (0: none)"
            )
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
        records: tests of what its records say beside the data, where there are records.
        session_failed: names of the session's tests that failed with this block.
        recharged: it passed, and a test of the whole session that failed later speaks against it.
    """

    block: Block
    verdict: Verdict | None
    records: tuple[SessionScore, ...] = ()
    session_failed: str = ""
    recharged: bool = False

    @property
    def accepted(self) -> bool:
        """True unless a test failed."""
        return not self.failed

    @property
    def verified(self) -> bool:
        """True if tests were made and nothing speaks against the block."""
        return self.accepted and self.verdict is not None and not self.recharged

    @property
    def failed(self) -> str:
        """Names of all tests that failed, without any measured value; empty if none did."""
        own = "" if self.verdict is None else self.verdict.failed
        beside = ", ".join(score.name for score in self.records if not score.passed)
        return ", ".join(names for names in (own, beside, self.session_failed) if names)


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
        last = self.blocks[-1] if self.blocks else None
        tests = (*(() if last is None else last.records), *self.tests)
        parts = [f"{t.name} {t.score:.4g} (limit {t.limit:.4g})" for t in tests if not t.passed]
        if last is not None and last.verdict is not None and last.verdict.reason:
            parts.insert(0, last.verdict.reason)
        return "; ".join(parts)

    def recharge(self, clean: int) -> None:
        """Mark blocks that a failed test of the whole session speaks against.

        Args:
            clean: blocks from the first on that it does not speak against.
        """
        self.blocks[clean:] = [
            replace(found, recharged=True) if found.verified else found
            for found in self.blocks[clean:]
        ]
