"""The client's side of audits: what it commits to before a batch and opens after it."""

from collections.abc import Callable

from drivers.errors import VerificationError
from protocol.dummies import BatchSecret, batch_commitment
from protocol.messages import (
    AuditCommand,
    AuditCommitment,
    AuditDue,
    AuditNoted,
    AuditOpening,
    AuditVerdict,
    Message,
)

__all__ = ["BatchAudit"]


class BatchAudit:
    """One batch, from its commitment to its opening.

    Args:
        exchange: sends a message and returns the answer, of a kind that is checked.
        session: name of the session.
        first_sample: of the batch.
        secret: what it holds.
    """

    def __init__(
        self,
        exchange: Callable[..., Message],
        session: str,
        first_sample: int,
        secret: BatchSecret,
    ) -> None:
        self._exchange, self._secret = exchange, secret
        self._session, self._first_sample = session, first_sample

    def begin(self) -> None:
        """Commit to what the batch is, before any of its light."""
        secret = self._secret
        self._exchange(
            AuditNoted,
            AuditCommitment(
                session=self._session,
                first_sample=self._first_sample,
                commitment=batch_commitment(
                    self._session, self._first_sample, secret.batch, secret.seed, secret.nonce
                ),
            ),
        )

    def end(self) -> bool:
        """Ask whether the batch is to be opened, and open it; True if dummies were opened.

        Of data or of the client's own probes, the server learns that they are not dummies and
        nothing else.

        Raises:
            VerificationError: the opened light did not pass the server's tests.
        """
        about = {"session": self._session, "first_sample": self._first_sample}
        command = self._exchange(AuditCommand, AuditDue(**about))  # type: ignore[arg-type]
        assert isinstance(command, AuditCommand)
        if not command.opened:
            return False
        secret = self._secret
        opened = secret.batch == "dummies"
        verdict = self._exchange(
            AuditVerdict,
            AuditOpening(
                session=self._session,
                first_sample=self._first_sample,
                batch=secret.batch,
                seed=secret.seed if opened else "",
                nonce=secret.nonce,
            ),
        )
        assert isinstance(verdict, AuditVerdict)
        if not verdict.accepted:
            raise VerificationError(
                f"the server refused the audit of samples from {self._first_sample}: "
                f"{verdict.reason}. The session is over; its light stays charged. Check the "
                "receiver's setting and its calibration first."
            )
        return opened
