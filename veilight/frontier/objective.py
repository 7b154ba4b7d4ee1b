"""How the adversaries are weighed against each other: what a choice of settings makes small."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from drivers.errors import ConfigurationError
from veilight.frontier.figures import Privacy

__all__ = ["Rule", "Weights"]

Rule: TypeAlias = Literal["worst", "sum"]


@dataclass(frozen=True, kw_only=True)
class Weights:
    """How the adversaries are weighed against each other; each weight is per bit, >= 0.

    Attributes:
        weight_bits: of `Privacy.charged_weight_bits`: client or thief.
        data_homodyne: of `data_bits_homodyne`: the homodyning server, at an honest probe.
        data_any: of `data_bits_any`: a server with any measurement, at an honest probe.
        data_probing: of `data_bits_probing`, where there is such a figure.
        stolen_block: of `stolen_block_bits_per_weight`: a thief who is caught.
        rule: "worst": the largest weighted figure counts; "sum": all together.

    Raises:
        ConfigurationError: a weight is NaN or out of range, or all are 0.
    """

    weight_bits: float = 1.0
    data_homodyne: float = 1.0
    data_any: float = 1.0
    data_probing: float = 0.0
    stolen_block: float = 0.0
    rule: Rule = "worst"

    def __post_init__(self) -> None:
        values = self._values()
        if not all(math.isfinite(value) and value >= 0 for value in values) or not any(values):
            raise ConfigurationError(
                f"frontier weights: {values} must be finite, at least 0, and one of them above 0"
            )
        if self.rule not in ("worst", "sum"):
            raise ConfigurationError(
                f"frontier weights: rule is {self.rule!r}; choose 'worst' or 'sum'"
            )

    @classmethod
    def of_limits(
        cls,
        *,
        weight_bits: float | None = None,
        data_homodyne: float | None = None,
        data_any: float | None = None,
        data_probing: float | None = None,
        stolen_block: float | None = None,
        rule: Rule = "worst",
    ) -> "Weights":
        """Weights that make each figure a multiple of its limit in bits; None: no limit."""
        return cls(
            weight_bits=_inverse(weight_bits),
            data_homodyne=_inverse(data_homodyne),
            data_any=_inverse(data_any),
            data_probing=_inverse(data_probing),
            stolen_block=_inverse(stolen_block),
            rule=rule,
        )

    def weighed(self, privacy: Privacy) -> dict[str, float]:
        """Weighted figures by the names of the weights; those of weight 0 are left out."""
        figures = {
            "weight_bits": privacy.charged_weight_bits,
            "data_homodyne": privacy.data_bits_homodyne,
            "data_any": privacy.data_bits_any,
            "data_probing": privacy.data_bits_probing,
            "stolen_block": privacy.stolen_block_bits_per_weight,
        }
        return {
            name: weight * figure
            for (name, figure), weight in zip(figures.items(), self._values(), strict=True)
            if figure is not None and weight > 0
        }

    def objective(self, privacy: Privacy) -> float:
        """What is to be made small."""
        return self.together(self.weighed(privacy).values())

    def together(self, weighed: Iterable[float]) -> float:
        """Weighted figures by the rule."""
        return max(weighed, default=0.0) if self.rule == "worst" else math.fsum(weighed)

    def _values(self) -> tuple[float, ...]:
        return (
            self.weight_bits,
            self.data_homodyne,
            self.data_any,
            self.data_probing,
            self.stolen_block,
        )


def _inverse(limit: float | None) -> float:
    if limit is None:
        return 0.0
    if not (math.isfinite(limit) and limit > 0):
        raise ConfigurationError(f"frontier: a limit is {limit} bits; it must be above 0")
    return 1 / limit
