"""What a run's defences did, for reports and records, and what they are worth in bits: nothing."""

from typing import Any

from veilight.run_values import RunResult

__all__ = ["CREDIT", "defence_words", "defences_to_dict"]

CREDIT = (
    "credited with 0 bits: told the disguises, the adversary has copies of the same weights again, "
    "and no smaller bound is proven"
)


def defences_to_dict(result: RunResult) -> dict[str, Any]:
    """Settings of the defences and the photons that they were charged, as plain data."""
    defences = result.request.defences
    return {
        "settings": defences.text,
        "samples_per_disguise": result.plan.samples_per_block if defences.active else None,
        "credited_bits": 0.0,
        "layers": [
            {
                "name": layer.name,
                "rows": layer.plan.rows,
                "dummies": layer.plan.rows
                - result.request.model.graph.optical_layer(layer.plan.layer).rows,
                "disguises": layer.disguised.blocks,
                "mean_photons_charged": layer.disguised.mean,
                "most_photons_charged": layer.disguised.most,
            }
            for layer in result.layers
            if layer.disguised is not None
        ],
    }


def defence_words(result: RunResult) -> str:
    """One line on the defences."""
    defences = result.request.defences
    if not defences.active:
        return "none: every query sends the same weights"
    disguises = max(
        (layer.disguised.blocks for layer in result.layers if layer.disguised), default=0
    )
    drawn = "1 disguise" if disguises == 1 else f"{disguises:,} disguises"
    return f"{defences.text}; {drawn}, {CREDIT}"
