"""The options of `veilight frontier`, in groups that several of its commands take."""

import math
import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from drivers.errors import ConfigurationError
from veilight.cli import _options as options

if TYPE_CHECKING:
    from protocol.leakage.conventions import Encoding
    from protocol.models.training import TrainingSettings
    from veilight.datasets import TrainTest
    from veilight.frontier.link import LinkAssumptions
    from veilight.frontier.networks import DataSource, NetworkSpec

__all__ = [
    "ALL_RECEIVERS",
    "FigureOptions",
    "GridOptions",
    "Receivers",
    "TrainingOptions",
    "WorkerOptions",
    "words",
]

MANY_FIRST = (0.06, 0.08, 0.1, 0.12, 0.14, 0.16, 0.2, 0.25, 0.35, 0.5)
MANY_LAST = (1.0, 2.0, 4.0)
MANY_HIDDEN = "784"
FEW_FIRST = (0.1, 0.15, 0.25, 0.4, 0.6, 1.0)
FEW_LAST = (1.0, 4.0)
FEW_HIDDEN = "512"
ALL_RECEIVERS = "amplifier,feed-forward-tap,passive-tap"
ALL_ENCODINGS = "real,complex"

Receivers = Annotated[
    str, typer.Option("--receivers", help="Which to consider, with commas between them.")
]


@dataclass(frozen=True, kw_only=True)
class GridOptions:
    """Which networks are trained on what; their help says what each is."""

    data: options.DataSpec = "digits"
    label_column: options.LabelColumn = None
    network: Annotated[str, typer.Option("--network", help="As `veilight train --network`.")] = (
        "mlp"
    )
    hidden: Annotated[
        str | None,
        typer.Option(
            "--hidden",
            metavar="N[xN],...",
            help="Networks by their hidden layers: 256,784 are two, 256x64 is one of two layers.",
        ),
    ] = None
    signal_to_noise: Annotated[
        str | None,
        typer.Option(
            "--signal-to-noise", metavar="F2,...", help="F^2 of all optical layers but the last."
        ),
    ] = None
    last: Annotated[
        str | None,
        typer.Option(
            "--last", metavar="F2,...", help="F^2 of the last optical layer, which has few weights."
        ),
    ] = None
    bias: Annotated[bool, typer.Option("--bias/--no-bias", help="Layers with a bias.")] = False
    epochs: Annotated[int | None, typer.Option("--epochs", help="Passes over the data.")] = None
    batch_size: Annotated[int | None, typer.Option("--batch-size", help="Per step.")] = None
    learning_rate: Annotated[
        float | None, typer.Option("--learning-rate", help="The largest of the schedule.")
    ] = None
    seed: Annotated[int, typer.Option("--seed", metavar="N", min=0, help="Of all trainings.")] = 0
    draws: Annotated[
        int,
        typer.Option("--draws", metavar="N", min=2, help="Of the noise, to measure the accuracy."),
    ] = 5

    def specs(self, source: "DataSource", parts: "TrainTest") -> "tuple[NetworkSpec, ...]":
        """The networks to train; the defaults suit the size of the data set.

        Args:
            source: of the data.
            parts: the same, loaded.

        Raises:
            ConfigurationError: a value is out of range, or nothing is left to train.
            DataError: the data do not fit the architecture.
        """
        from protocol.models.recipes import MANY_SAMPLES
        from veilight.frontier.networks import network_grid

        many = parts.train.samples >= MANY_SAMPLES
        usual = "" if self.network != "mlp" else MANY_HIDDEN if many else FEW_HIDDEN
        return network_grid(
            source,
            parts,
            self._settings(parts),
            architecture=self.network,
            hidden=_widths(usual if self.hidden is None else self.hidden),
            first=options.numbers("--signal-to-noise", self.signal_to_noise)
            or (MANY_FIRST if many else FEW_FIRST),
            last=options.numbers("--last", self.last) or (MANY_LAST if many else FEW_LAST),
            bias=self.bias,
            draws=self.draws,
        )

    def _settings(self, parts: "TrainTest") -> "TrainingSettings":
        """The recipe that suits the data, with what was said otherwise."""
        from veilight.frontier.networks import recipe_for

        recipe = recipe_for(parts, self.network)
        return replace(
            recipe,
            epochs=recipe.epochs if self.epochs is None else self.epochs,
            batch_size=recipe.batch_size if self.batch_size is None else self.batch_size,
            learning_rate=recipe.learning_rate
            if self.learning_rate is None
            else self.learning_rate,
            seed=self.seed,
        )


@dataclass(frozen=True, kw_only=True)
class WorkerOptions:
    """Where networks are trained and figures are worked out.

    Raises:
        ConfigurationError: an option that would have no effect.
    """

    workers: Annotated[
        int | None,
        typer.Option("--workers", metavar="N", min=1, help="Processes (default: one per core)."),
    ] = None
    scheduler: Annotated[
        str | None,
        typer.Option("--scheduler", metavar="ADDRESS", help="Dask cluster instead of processes."),
    ] = None

    def __post_init__(self) -> None:
        if self.scheduler is not None and self.workers is not None:
            raise ConfigurationError(
                f"--workers {self.workers} is for processes of this machine; the cluster at "
                f"{self.scheduler} has as many as were started there, leave it out"
            )

    @property
    def processes(self) -> int:
        """Of this machine."""
        if self.workers is not None:
            return self.workers
        if hasattr(os, "sched_getaffinity"):
            return len(os.sched_getaffinity(0))
        return os.cpu_count() or 1

    @property
    def where(self) -> str:
        """In words."""
        if self.scheduler is not None:
            return f"the cluster at {self.scheduler}"
        return "1 process" if self.processes == 1 else f"{self.processes} processes"


@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """How networks are trained."""

    device: Annotated[
        str, typer.Option("--device", metavar="NAME", help="Of the workers: auto, cpu or cuda.")
    ] = "auto"
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Train again what diverged earlier.")
    ] = False


@dataclass(frozen=True, kw_only=True)
class FigureOptions:
    """What leaks is worked out for which receivers, on what link.

    Raises:
        ConfigurationError: the budget is NaN, infinite or not above 0.
    """

    receivers: Receivers = ALL_RECEIVERS
    encodings: Annotated[str, typer.Option("--encodings", help="real, complex, or both.")] = (
        ALL_ENCODINGS
    )
    transmittance: Annotated[
        float,
        typer.Option("--transmittance", help="Of each fibre; what is lost is the adversary's."),
    ] = 1.0
    efficiency: Annotated[
        float, typer.Option("--efficiency", help="Of the client's detector, above 0, at most 1.")
    ] = 1.0
    electronic_noise: Annotated[
        float,
        typer.Option("--electronic-noise", metavar="SNU", help="Of the client's detector [SNU]."),
    ] = 0.0
    tested_symbols: Annotated[
        float,
        typer.Option(
            "--tested-symbols",
            metavar="N",
            min=0,
            help="Per session, for the certified figure; 0 leaves it out.",
        ),
    ] = 1e8
    x_share: Annotated[
        float, typer.Option("--x-share", help="Of the tested symbols, the part tested in X.")
    ] = 0.5
    failure: Annotated[
        float, typer.Option("--failure", help="Probability that a certificate is wrong.")
    ] = 1e-6
    gain_uncertainty: Annotated[
        float,
        typer.Option(
            "--gain-uncertainty",
            metavar="U",
            min=0,
            help="Relative standard uncertainty of the sent amplitudes, for the certificate.",
        ),
    ] = 0.0
    shot_noise_uncertainty: Annotated[
        float,
        typer.Option(
            "--shot-noise-uncertainty",
            metavar="U",
            min=0,
            help="Of the server's shot-noise unit, likewise.",
        ),
    ] = 0.0
    probe_photons: Annotated[
        float,
        typer.Option(
            "--probe-photons",
            metavar="MU",
            min=0,
            help="The client's limit on light in P, per mode.",
        ),
    ] = 0.01
    dither: Annotated[
        float,
        typer.Option(
            "--dither",
            metavar="SNU",
            min=0,
            help="Known displacements of P that the server adds, mean square [SNU].",
        ),
    ] = 0.0
    inputs_per_block: Annotated[
        int,
        typer.Option(
            "--inputs-per-block",
            metavar="N",
            min=0,
            help="Data vectors that are verified together; 0: all.",
        ),
    ] = 0
    budget: Annotated[
        float,
        typer.Option("--budget", metavar="BITS", help="Bits that a weight may leak, for queries."),
    ] = 4.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.budget) and self.budget > 0):
            raise ConfigurationError(
                f"--budget is {self.budget:g} bits per weight; it must be finite and above 0"
            )

    def link(self) -> "LinkAssumptions":
        """What is assumed.

        Raises:
            ConfigurationError: a value is NaN or out of range.
        """
        from veilight.frontier.link import LinkAssumptions

        return LinkAssumptions(
            transmittance=self.transmittance,
            detection_efficiency=self.efficiency,
            electronic_noise_snu=self.electronic_noise,
            tested_symbols=self.tested_symbols or None,
            tested_share_x=self.x_share,
            failure=self.failure,
            gain_uncertainty=self.gain_uncertainty,
            shot_noise_uncertainty=self.shot_noise_uncertainty,
            probe_photons_per_mode=self.probe_photons,
            dither_p_snu=self.dither,
            inputs_per_block=self.inputs_per_block,
        )

    def chosen(self) -> "tuple[tuple[str, ...], tuple[Encoding, ...]]":
        """Receivers and encodings; refused before hours of training rather than after them.

        Raises:
            ConfigurationError: one is not known, or no receiver takes one of the encodings.
        """
        from protocol.leakage.conventions import weights_per_mode
        from veilight.frontier.couplings import fits, settings_of

        encodings: tuple[Any, ...] = words(self.encodings)
        for encoding in encodings:
            weights_per_mode(encoding)
        kinds = words(self.receivers)
        for kind in kinds:
            settings_of(kind)
        if not any(fits(kind, encoding) for kind in kinds for encoding in encodings):
            raise ConfigurationError(
                f"frontier: none of the receivers {self.receivers!r} takes one of the encodings "
                f"{self.encodings!r}; leave them out to consider all"
            )
        return kinds, encodings


def words(text: str) -> tuple[str, ...]:
    """What stands between commas, each once."""
    return tuple(dict.fromkeys(word.strip() for word in text.split(",") if word.strip()))


def _widths(text: str) -> tuple[tuple[int, ...], ...]:
    """Hidden layers of each network of an option such as `256,784x64`; nothing is one of none."""
    if not text:
        return ((),)
    return tuple(
        options.whole_numbers("--hidden", ",".join(part.split("x"))) for part in text.split(",")
    )
