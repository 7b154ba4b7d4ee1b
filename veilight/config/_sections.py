"""The keys of the configuration file, section by section, each with unit and explanation.

Types are checked here; the ranges of the link are checked where they are used, by
`sim_backend.settings` and `drivers.receivers`, so that each limit is written once.
"""

from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from drivers.receivers import Receiver
    from protocol.defences.settings import Defences
    from protocol.ledger import ChargeRule
    from protocol.models.training import TrainingSettings
    from sim_backend.settings import DetectorSettings, LinkSettings

__all__ = [
    "ClientDetectorSection",
    "Configuration",
    "LeakageSection",
    "LedgerSection",
    "LinkSection",
    "ProtocolSection",
    "ReportSection",
    "ServerDetectorSection",
    "TrainingSection",
]


def _setting(default: Any, unit: str, text: str, **limits: Any) -> Any:
    """A key: its default, its unit ("" for a pure number) and one line of explanation."""
    return Field(default=default, description=text, json_schema_extra={"unit": unit}, **limits)


def _settings(default: tuple[float, ...], unit: str, text: str) -> Any:
    """A key that holds a list; TOML has lists where the values are tuples."""
    return _setting(default, unit, text, strict=False)


_Positive: TypeAlias = Annotated[float, Field(gt=0)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class _DetectorSection(_Section):
    """One balanced homodyne detector with its oscillator and digitiser."""

    efficiency: float = _setting(1.0, "", "quantum efficiency, above 0 and at most 1")
    visibility: float = _setting(
        1.0, "", "amplitude overlap of signal and local oscillator, above 0 and at most 1"
    )
    electronic_noise_snu: float = _setting(0.0, "SNU", "variance added by the electronics")
    phase_error_rad: float = _setting(
        0.0, "rad", "root-mean-square phase error left by the tracking"
    )
    phase_memory_frames: float = _setting(
        100.0, "frames", "correlation length of the phase error; 0: none"
    )
    oscillator_drift: float = _setting(
        0.0, "", "root-mean-square relative drift of the oscillator's amplitude"
    )
    oscillator_memory_inputs: float = _setting(
        1000.0, "inputs", "correlation length of that drift; 0: none"
    )
    converter_bits: int = _setting(0, "bit", "resolution of the digitiser, up to 24; 0: ideal")
    converter_range_snu: float = _setting(
        16.0, "SNU amplitude", "the digitiser clips at plus and minus this"
    )

    def settings(self) -> "DetectorSettings":
        """The simulator's settings of this detector.

        Raises:
            ConfigurationError: a value is out of range.
        """
        from sim_backend.settings import DetectorSettings

        return DetectorSettings(**self.model_dump())


class ClientDetectorSection(_DetectorSection):
    """The client's homodyne detector."""


class ServerDetectorSection(_DetectorSection):
    """The server's homodyne detector, which verifies the returned light."""


class LinkSection(_Section):
    """The light: receiver, losses, noise and the two detectors."""

    receiver: str = _setting(
        "amplifier", "", "the client's receiver: amplifier, feed-forward-tap or passive-tap"
    )
    receiver_setting: float = _setting(
        2.0, "", "power gain G > 1 of the amplifier, or tapped fraction tau in (0, 1] of a tap"
    )
    modes_per_frame: int = _setting(
        4096, "modes", "largest row that the receiver takes at once; longer ones are cut in tiles"
    )
    symbol_rate_hz: float = _setting(1e9, "Hz", "optical modes per second")
    forward_transmittance: float = _setting(
        1.0, "", "power transmittance from server to client, above 0 and at most 1"
    )
    return_transmittance: float = _setting(
        1.0, "", "power transmittance from client to server, above 0 and at most 1"
    )
    excess_noise_snu: float = _setting(
        0.0, "SNU", "technical noise of the launched light, per quadrature and mode"
    )
    unitary_error_rad: float = _setting(
        0.0, "rad", "how far the client's unmixing is from undoing its mixing"
    )
    device: str = _setting("auto", "", "where the simulation runs: auto, cpu or cuda")
    client: ClientDetectorSection = Field(default_factory=ClientDetectorSection)
    server: ServerDetectorSection = Field(default_factory=ServerDetectorSection)

    def client_receiver(self) -> "Receiver":
        """The receiver at its setting.

        Raises:
            ConfigurationError: unknown receiver, or a setting out of range.
        """
        from drivers.receivers import receiver

        return receiver(self.receiver, self.receiver_setting)

    def settings(self, seed: int | None = None) -> "LinkSettings":
        """The simulator's settings of this link.

        Args:
            seed: makes the link repeat exactly; None draws from the operating system.

        Raises:
            ConfigurationError: a value is out of range.
        """
        from sim_backend.settings import LinkSettings

        return LinkSettings(
            receiver=self.client_receiver(),
            modes_per_frame=self.modes_per_frame,
            symbol_rate_hz=self.symbol_rate_hz,
            forward_transmittance=self.forward_transmittance,
            return_transmittance=self.return_transmittance,
            excess_noise_snu=self.excess_noise_snu,
            unitary_error_rad=self.unitary_error_rad,
            device=self.device,
            client=self.client.settings(),
            server=self.server.settings(),
            seed=seed,
        )


class ProtocolSection(_Section):
    """How the network is sent and how the returned light is judged."""

    encoding: Literal["real", "complex"] = _setting(
        "real", "", "real: one weight per mode on X; complex: two, on X and P"
    )
    photons_per_symbol: tuple[_Positive, ...] = _settings(
        (), "photons", "mean photon number of a mode, one per optical layer; [] for none given"
    )
    signal_to_noise: tuple[_Positive, ...] = _settings(
        (), "", "F^2 of the client's outcome, one per optical layer, instead of photon numbers"
    )
    rows_per_block: int = _setting(
        0, "rows", "weight rows that are verified together; 0: all rows of a layer", ge=0
    )
    samples_per_block: int = _setting(
        100, "samples", "samples of a batch, which is sent layer by layer", ge=1
    )
    inputs_per_block: int | None = _setting(
        None,
        "data vectors",
        "of a batch, verified and charged together; 0: all; not set: all that fit into the budget",
        ge=0,
    )
    false_alarm: float = _setting(
        1e-6, "", "probability that an honest session is aborted", gt=0, lt=0.5
    )
    audit_share: float = _setting(
        0.0,
        "",
        "share of the batches that are dummies, opened once their light is back",
        ge=0,
        lt=1,
    )
    probe_share: float = _setting(
        0.0, "", "batches by which the client measures P, for each batch of data", ge=0
    )
    client_false_alarm: float = _setting(
        1e-6, "", "probability that the client refuses an honest server", gt=0, lt=0.5
    )
    x_share: float = _setting(
        0.5, "", "probability that X of a returned frame is measured, P otherwise", gt=0, lt=1
    )
    dither_snu: float = _setting(
        0.0,
        "SNU",
        "mean square of random displacements of P that show the server its gain; real encoding",
        ge=0,
    )
    full_return: bool = _setting(
        False, "", "keep every returned mode instead of the sums that the tests need"
    )
    defence: str = _setting(
        "none",
        "",
        "fresh for every block of samples: permute,rescale=1.5,dummies=8,photons=2, or any of them",
    )

    def defences(self) -> "Defences":
        """What the server does to its weights from one block of samples to the next.

        Raises:
            ConfigurationError: an unknown word, or a value out of range.
        """
        from protocol.defences.settings import Defences

        return Defences.parse(self.defence)


class LedgerSection(_Section):
    """What may be spent before the ledger refuses."""

    budget_bits_per_weight: float | None = _setting(
        None, "bit", "most that any weight may leak over all queries; not set: no limit", gt=0
    )
    against_memory: bool | None = _setting(
        None,
        "",
        "charge for clients with one memory over all copies of a weight; not set: as the ledger "
        "does, and not in a new one",
    )
    data_budget_bits_per_input: float | None = _setting(
        None, "bit", "most that any input may leak over all layers; not set: no limit", gt=0
    )

    def rule(self) -> "ChargeRule":
        """Whom a new ledger charges for."""
        return "with memory" if self.against_memory else "copies apart"


class LeakageSection(_Section):
    """How the leakage is reported."""

    confidence: float = _setting(
        1 - 1e-6, "", "joint confidence of figures from a finite test", gt=0, lt=1
    )
    probe_photons_per_mode: float | None = _setting(
        None,
        "photons",
        "the client's limit on light in P, for the probing server; not set: P is trusted empty",
        ge=0,
    )
    candidate_cosine: float = _setting(
        0.5, "", "cosine between the candidates of a dictionary attack on the data", ge=-1, le=1
    )


class TrainingSection(_Section):
    """How a network is trained; F^2 per layer puts the noise of the light into the training."""

    epochs: int | None = _setting(
        None, "", "passes over the data; not set: by a recipe for the size of the data", ge=1
    )
    batch_size: int | None = _setting(
        None, "samples", "samples per step; not set: by the recipe", ge=1
    )
    learning_rate: float | None = _setting(
        None, "", "largest learning rate of the schedule; not set: by the recipe", gt=0
    )
    weight_decay: float = _setting(0.0, "", "per step and unit of learning rate", ge=0)
    schedule: Literal["constant", "cosine", "one-cycle"] = _setting(
        "one-cycle", "", "course of the learning rate: constant, cosine or one-cycle"
    )
    signal_to_noise: tuple[_Positive, ...] = _settings(
        (), "", "F^2 of each optical layer during training; [] trains without noise"
    )
    label_smoothing: float | None = _setting(
        None, "", "share of the target spread evenly; not set: by the recipe", ge=0, lt=1
    )
    seed: int = _setting(0, "", "of the first weights, the sample order and the noise", ge=0)

    def settings(self, samples: int, architecture: str) -> "TrainingSettings":
        """The training's own settings; imports torch.

        Args:
            samples: of the training part.
            architecture: `mlp`, `cnn` or `transformer`; with the samples it chooses the recipe for
                what is not set.

        Raises:
            ConfigurationError: a value is out of range.
        """
        from protocol.models.recipes import usual_recipe
        from protocol.models.training import TrainingSettings

        own = self.model_dump()
        recipe = usual_recipe(samples, architecture)
        for name in ("epochs", "batch_size", "learning_rate", "label_smoothing"):
            if own[name] is None:
                own[name] = getattr(recipe, name)
        return TrainingSettings(**own)


class ReportSection(_Section):
    """The page that a run writes."""

    title: str = _setting("", "", "heading of the page; empty: made from model and data")


class Configuration(_Section):
    """All settings of a run."""

    link: LinkSection = Field(default_factory=LinkSection)
    protocol: ProtocolSection = Field(default_factory=ProtocolSection)
    ledger: LedgerSection = Field(default_factory=LedgerSection)
    leakage: LeakageSection = Field(default_factory=LeakageSection)
    training: TrainingSection = Field(default_factory=TrainingSection)
    report: ReportSection = Field(default_factory=ReportSection)
