"""Where one test of a session stands."""

from dataclasses import dataclass

__all__ = ["SessionScore"]


@dataclass(frozen=True, kw_only=True)
class SessionScore:
    """Where one test of the session stands.

    Args:
        name: of the test.
        score: largest running sum in nats, normal score, or number of events.
        limit: above which the session is refused.
        symbols: tested so far.
    """

    name: str
    score: float
    limit: float
    symbols: int

    @property
    def passed(self) -> bool:
        """True up to the limit; NaN never passes."""
        return self.score <= self.limit
