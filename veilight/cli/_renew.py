"""`veilight renew`: a network with other weights for one whose budget is spent."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from drivers.errors import ConfigurationError
from veilight.cli import _options as options
from veilight.cli._infer import check_data
from veilight.cli._outputs import prepare_file
from veilight.cli._screen import Screen
from veilight.cli._tables import bits

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from protocol.defences.renewal import Renewal
    from protocol.models.model import Model
    from protocol.models.training import TrainingProgress, TrainingSettings
    from veilight.datasets import Dataset

__all__ = ["renew"]


def renew(
    model: Annotated[Path, typer.Argument(help="The old network: NAME.safetensors.")],
    ledger: Annotated[Path, typer.Option("--ledger", help="Its ledger, which is retired.")],
    save: Annotated[Path, typer.Option("--save", help="Where the new one goes.")],
    new_ledger: Annotated[
        Path,
        typer.Option("--new-ledger", help="Where its ledger is made, budget as the old one's."),
    ],
    data: options.DataSpec = "digits",
    margin: Annotated[
        float,
        typer.Option("--margin", help="How much less accurate it may be, as a share of samples."),
    ] = 0.01,
    distil: Annotated[
        bool, typer.Option("--distil", help="Learn the old network's answers, not the labels.")
    ] = False,
    epochs: Annotated[
        int | None, typer.Option("--epochs", min=1, help="Instead of the old.")
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option("--seed", min=0, help="For tests: who knows it can train the same weights."),
    ] = None,
    label_column: options.LabelColumn = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace files that exist.")
    ] = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> int:
    """Train a network anew, check its accuracy, begin its ledger, retire the old one."""
    from protocol.defences.renewal import told_by_the_old
    from protocol.ledger import WeightLedger
    from protocol.models.files import load_model, save_model
    from veilight.datasets import load

    screen = Screen(as_json=as_json, quiet=quiet)
    prepare_file(save, ".safetensors", overwrite=overwrite)
    prepare_file(save.with_suffix(".json"), ".json", overwrite=overwrite)
    if new_ledger.exists():
        raise ConfigurationError(f"{new_ledger} exists; a new network has a new ledger")
    old = load_model(model)
    parts = load(data, label_column=label_column)
    with WeightLedger.open(ledger, old.digest) as spent:
        if spent.successor is not None:
            raise ConfigurationError(
                f"ledger {ledger} is retired already, in favour of {spent.successor[:12]}"
            )
        found = _renewed(
            screen,
            old,
            (parts.train, parts.test),
            _settings(old, epochs, seed),
            margin=margin,
            distil=distil,
        )
        save_model(found.model, save, overwrite=overwrite)
        rows = spent.rows_per_layer
        WeightLedger.create(
            new_ledger,
            found.model.digest,
            rows,
            spent.budget_bits_per_weight,
            f"successor of {old.digest[:12]}",
            rule=spent.rule,
        ).close()
        spent.retire(found.model.digest)
        told = told_by_the_old(found.shared, max(spent.totals().most_photons.values()))
    _show(screen, old, found, told, save, new_ledger)
    return 0


def _settings(old: "Model", epochs: int | None, seed: int | None) -> "TrainingSettings":
    import secrets
    from dataclasses import replace

    from protocol.defences.renewal import settings_of

    known = settings_of(old)
    return replace(
        known,
        epochs=epochs or known.epochs,
        seed=secrets.randbits(62) if seed is None else seed,
    )


def _renewed(
    screen: Screen,
    old: "Model",
    parts: "tuple[Dataset, Dataset]",
    settings: "TrainingSettings",
    *,
    margin: float,
    distil: bool,
) -> "Renewal":
    from protocol.defences.renewal import renew as renew_network

    check_data(old, parts[0])
    pairs = [(_shaped(part, old), part.labels) for part in parts]
    with screen.progress("training", total=1.0) as advance:

        def report(progress: "TrainingProgress") -> None:
            note = f"epoch {progress.epoch} of {progress.epochs}, loss {progress.loss:.3f}"
            advance(progress.step / progress.steps, note)

        return renew_network(
            old,
            pairs[0],
            pairs[1],
            margin=margin,
            settings=settings,
            distil=distil,
            dataset=parts[0].name,
            progress=report,
        )


def _shaped(part: "Dataset", model: "Model") -> "NDArray[np.float32]":
    return part.inputs.reshape(part.samples, *model.graph.input_shape)


def _show(
    screen: Screen, old: "Model", found: "Renewal", told: float, save: Path, new_ledger: Path
) -> None:
    screen.result(
        {
            "old_digest": old.digest,
            "digest": found.model.digest,
            "accuracy_before": found.accuracy_before,
            "accuracy_after": found.accuracy_after,
            "shared_squared_correlation": found.shared,
            "shared_by_chance": found.shared_by_chance,
            "told_by_old_light_bits_per_weight": told,
            "files": {"model": str(save), "ledger": str(new_ledger)},
        }
    )
    screen.table(
        "Accuracy on the test part, with the noise of the light",
        ("", "accuracy"),
        [("old", f"{found.accuracy_before:.2%}"), ("new", f"{found.accuracy_after:.2%}")],
        numbers=(1,),
    )
    screen.say(
        f"First layers, rows matched: squared correlation {found.shared:.3f}, by chance "
        f"{found.shared_by_chance:.3f}. Who homodyned all light of the old network knows about "
        f"{bits(told)} bits per weight of the new one already; its ledger does not count that."
    )
    screen.tell(f"Model: {save}; ledger: {new_ledger}. The old ledger is retired.")
