"""What a certificate says of the run that it is about, where a test does not care."""

from protocol.certificates import RunFacts

__all__ = ["FACTS"]

FACTS = RunFacts(
    simulated=True,
    title="a run",
    started="2026-01-01T00:00:00+00:00",
    accepted=True,
    backend="symbol",
    taints=(),
    result_sha256="ab" * 32,
)
