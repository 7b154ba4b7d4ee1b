"""The options of `veilight infer`, in groups; those of the light serve other commands too."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from veilight.cli import _options as options

if TYPE_CHECKING:
    from veilight.config import Configuration

__all__ = ["InferenceOrder", "LightOptions", "SessionOptions"]


@dataclass(frozen=True, kw_only=True)
class LightOptions:
    """How much light goes to which receiver; what is not given is as configured."""

    photons: options.Photons = None
    signal_to_noise: options.SignalToNoise = None
    receiver: options.ReceiverName = None
    setting: options.ReceiverSetting = None
    encoding: options.Encoding = None

    def configured(self, file: Path | None, **changes: object) -> "Configuration":
        """The configuration of a file, or the defaults, with these options.

        Args:
            file: configuration file.
            changes: see `veilight.cli._options.configured`.

        Raises:
            ConfigurationError: options that contradict each other, or a value out of range.
        """
        return options.configured(
            file,
            receiver=self.receiver,
            setting=self.setting,
            photons=self.photons,
            signal_to_noise=self.signal_to_noise,
            protocol__encoding=self.encoding,
            **changes,
        )


@dataclass(frozen=True, kw_only=True)
class SessionOptions:
    """How a session hides, tests and limits; what is not given is as configured."""

    defence: Annotated[
        str | None,
        typer.Option(
            "--defence",
            metavar="WORDS",
            help="Fresh per block of samples: permute,rescale=1.5,dummies=8,photons=2.",
        ),
    ] = None
    samples_per_block: Annotated[
        int | None,
        typer.Option("--samples-per-block", min=1, help="Samples of a batch: one disguise each."),
    ] = None
    inputs_per_block: Annotated[
        int | None,
        typer.Option(
            "--inputs-per-block",
            min=0,
            help="Verified and charged together; 0: a batch (default: all the budget allows).",
        ),
    ] = None
    x_share: Annotated[
        float | None,
        typer.Option("--x-share", help="Share of the return that is tested in X (0.5)."),
    ] = None
    dither: Annotated[
        float | None,
        typer.Option(
            "--dither", metavar="SNU", help="Random displacements of P, mean square; real encoding."
        ),
    ] = None
    probe_photons: Annotated[
        float | None,
        typer.Option("--probe-photons", help="The client's limit on light in P, photons per mode."),
    ] = None
    budget: Annotated[
        float | None, typer.Option("--budget", metavar="BITS", help="Bits that a weight may leak.")
    ] = None
    against_memory: options.AgainstMemory = None

    def changes(self) -> dict[str, object]:
        """What they set in a configuration."""
        return {
            "protocol__defence": self.defence,
            "protocol__samples_per_block": self.samples_per_block,
            "protocol__inputs_per_block": self.inputs_per_block,
            "protocol__x_share": self.x_share,
            "protocol__dither_snu": self.dither,
            "leakage__probe_photons_per_mode": self.probe_photons,
            "ledger__budget_bits_per_weight": self.budget,
            "ledger__against_memory": self.against_memory,
        }


@dataclass(frozen=True, kw_only=True)
class InferenceOrder:
    """What `veilight infer` was asked for, apart from the configuration."""

    model: Annotated[Path, typer.Argument(help="NAME.safetensors or NAME.onnx.")]
    data: options.DataSpec = "digits"
    label_column: options.LabelColumn = None
    samples: Annotated[
        int | None, typer.Option("--samples", min=1, help="How many test samples (default: all).")
    ] = None
    client_behaviour: Annotated[
        str,
        typer.Option(
            "--client-behaviour",
            metavar="HOW",
            help="honest, keeps=0.5, nothing, resend or tap=0.1.",
        ),
    ] = "honest"
    ledger: Annotated[
        Path | None, typer.Option("--ledger", help="The server's ledger; debited before light.")
    ] = None
    new_ledger: Annotated[
        Path | None, typer.Option("--new-ledger", help="Make a ledger here and use it.")
    ] = None
    data_ledger: Annotated[
        Path | None,
        typer.Option("--data-ledger", help="The client's ledger: what each input has told."),
    ] = None
    new_data_ledger: Annotated[
        Path | None, typer.Option("--new-data-ledger", help="Make such a ledger and use it.")
    ] = None
    lift_budget: Annotated[
        bool,
        typer.Option("--lift-budget", help="Only for evaluations: the ledger lets all pass."),
    ] = False
    seed: Annotated[
        int | None, typer.Option("--seed", min=0, help="Makes the simulated light repeat.")
    ] = None
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder for the report (default: a new one).")
    ] = None
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that exist.")] = (
        False
    )
    bench: options.Benches = None
    store: options.CalibrationStore = None
    override_calibration: Annotated[
        bool,
        typer.Option(
            "--override-calibration",
            help="Use stale or foreign calibrations; the record is tainted for ever.",
        ),
    ] = False
    emit_light: options.EmitLight = False
    operator: options.Operator = None

    @property
    def benches(self) -> tuple[Path, ...]:
        """Bench files, one per party, to run over instead of the simulated link."""
        return tuple(self.bench or ())

    def refuse_idle(self, light: LightOptions) -> None:
        """Refuse options that would have no effect.

        Args:
            light: given beside these.

        Raises:
            ConfigurationError: an option of the other kind of link was given.
        """
        options.refuse_idle(
            self.bench,
            of_link={
                "--receiver": light.receiver,
                "--setting": light.setting,
                "--seed": self.seed,
            },
            of_bench={
                "--store": self.store,
                "--override-calibration": self.override_calibration,
                "--emit-light": self.emit_light,
                "--operator": self.operator,
            },
        )
