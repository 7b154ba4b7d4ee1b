"""The light of a leakage question: layers of a model or of given sizes on a calibrated link."""

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from drivers.errors import ConfigurationError
from veilight.cli._photons import with_photons

if TYPE_CHECKING:
    from drivers.backend import ServerOpticsInfo
    from protocol.leakage import ChannelEstimate
    from protocol.plan import Plan
    from protocol.verification import ReturnExpectation
    from veilight.config import Configuration

__all__ = ["Setting", "setting_of"]


@dataclass(frozen=True, kw_only=True)
class Setting:
    """A plan on a calibrated link, without any light."""

    plan: "Plan"
    info: "ServerOpticsInfo"
    snr_factor: float
    expectation: "ReturnExpectation"
    x_share: float = 0.5

    def channel(self, modes: int, tested_symbols: int) -> "ChannelEstimate":
        """The channel that the server's tests of honest light would find on average."""
        from protocol.leakage import ChannelEstimate

        if not self.expectation.verifiable:
            return ChannelEstimate(transmittance=0.0)
        eta, honest = self.info.detection_efficiency, self.expectation
        electronics = 1 + self.info.electronic_noise_snu + self.info.converter_step_snu**2 / 12
        white = honest.white_variance - electronics
        symbols_p = math.floor(tested_symbols * (1 - self.x_share))
        return ChannelEstimate(
            transmittance=min(1.0, honest.gain**2 / eta),
            excess_noise_x_snu=(white + honest.data_mode_excess_x / modes) / eta,
            excess_noise_p_snu=(white + honest.data_mode_excess_p / modes) / eta,
            tested_symbols_x=tested_symbols - symbols_p,
            tested_symbols_p=symbols_p,
        )


def setting_of(
    configuration: "Configuration",
    model: Path | None,
    rows: tuple[int, ...] | None,
    modes: tuple[int, ...] | None,
) -> Setting:
    """The plan and the calibration that the configuration, a model file or sizes describe.

    Args:
        configuration: link, encoding and photons.
        model: model file whose layers are meant; None takes `rows` and `modes`.
        rows: weight rows per layer.
        modes: optical modes per row and layer.

    Raises:
        ConfigurationError: layers or photons are missing or do not fit.
        ModelError: the model file cannot be used.
    """
    from protocol.leakage import check_encoding
    from protocol.verification import expected_return
    from sim_backend.symbol_link import SymbolLink

    settings = configuration.link.settings()
    check_encoding(settings.receiver, configuration.protocol.encoding)
    link = SymbolLink(replace(settings, device="cpu"))
    info, snr_factor = link.server.describe(), link.client.describe().snr_factor
    if model is not None:
        if rows is not None or modes is not None:
            raise ConfigurationError("give --model, or --rows and --modes, not both")
        plan = _plan_of_model(configuration, model, snr_factor)
    else:
        plan = _plan_of_sizes(configuration, rows, modes, snr_factor)
    return Setting(
        plan=plan,
        info=info,
        snr_factor=snr_factor,
        expectation=expected_return(
            info, settings.receiver, dither_snu=configuration.protocol.dither_snu
        ),
        x_share=configuration.protocol.x_share,
    )


def _plan_of_model(configuration: "Configuration", path: Path, snr_factor: float) -> "Plan":
    from protocol.encoding import make_plan
    from protocol.models.files import load_model

    model = load_model(path)
    protocol = with_photons(configuration, model).protocol
    photons = _photons(
        protocol.photons_per_symbol, protocol.signal_to_noise, configuration, snr_factor
    )
    return make_plan(
        model,
        photons,
        encoding=protocol.encoding,
        modes_per_frame=configuration.link.modes_per_frame,
    )


def _plan_of_sizes(
    configuration: "Configuration",
    rows: tuple[int, ...] | None,
    modes: tuple[int, ...] | None,
    snr_factor: float,
) -> "Plan":
    from protocol.plan import LayerPlan, Plan, tile_sizes

    protocol = configuration.protocol
    if rows is None or modes is None:
        raise ConfigurationError(
            "which layers? Give --rows and --modes, such as --rows 784,10 --modes 784,784, or "
            "--model FILE"
        )
    photons = _photons(
        protocol.photons_per_symbol, protocol.signal_to_noise, configuration, snr_factor
    )
    if not photons:
        raise ConfigurationError("how much light? Give --photons or --signal-to-noise per layer")
    if not len(rows) == len(modes) == len(photons):
        raise ConfigurationError(
            f"--rows names {len(rows)} layers, --modes {len(modes)} and the light {len(photons)}; "
            "give one number per layer in each"
        )
    per_mode = 2 if protocol.encoding == "complex" else 1
    return Plan(
        layers=tuple(
            LayerPlan(
                layer=index,
                rows=rows[index],
                entries=modes[index] * per_mode,
                positions=1,
                encoding=protocol.encoding,
                photons_per_symbol=photons[index],
                # No weights are known, and leakage depends on photons alone.
                scale_snu=1.0,
                tiles=tile_sizes(modes[index], configuration.link.modes_per_frame),
            )
            for index in range(len(rows))
        )
    )


def _photons(
    photons: tuple[float, ...],
    signal_to_noise: tuple[float, ...],
    configuration: "Configuration",
    snr_factor: float,
) -> tuple[float, ...]:
    from protocol.encoding import photons_for_signal_to_noise

    return photons or tuple(
        photons_for_signal_to_noise(value, snr_factor, configuration.protocol.encoding)
        for value in signal_to_noise
    )
