"""The detector of every statistic that an attack can move."""

from sim_backend.adversaries.adversary import Statistic
from veilight.attacks.client_detectors import (
    OutcomeDetector,
    PeakDetector,
    ProbeAuditDetector,
    RepeatDetector,
)
from veilight.attacks.detector import Detector
from veilight.attacks.server_detectors import (
    AbortDetector,
    AuditDetector,
    FourthMomentDetector,
    RailDetector,
    VacuumDetector,
)
from veilight.attacks.verifier_detectors import VerifierDetector

__all__ = ["DETECTORS"]

DETECTORS: dict[Statistic, Detector] = {
    "gain": VerifierDetector(statistic="gain"),
    "X variance": VerifierDetector(statistic="X variance"),
    "P variance": VerifierDetector(statistic="P variance"),
    "audited projection": AuditDetector(),
    "vacuum slots": VacuumDetector(),
    "rails": RailDetector(),
    "aborts": AbortDetector(),
    "fourth moment": FourthMomentDetector(),
    "outcome variance": OutcomeDetector(),
    "outcome peaks": PeakDetector(),
    "repeated rows": RepeatDetector(),
    "P audit": ProbeAuditDetector(),
}
"""By statistic; row sums are judged along with the verifier's other tests."""
