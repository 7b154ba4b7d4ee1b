"""`veilight leakage`: what a setting leaks, to whom, and how many queries a budget allows."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from drivers.errors import ConfigurationError
from veilight.cli._screen import Screen
from veilight.cli._tables import bits, leakage_table, seconds

if TYPE_CHECKING:
    from drivers.backend import ServerOpticsInfo
    from protocol.leakage import ChannelEstimate
    from protocol.plan import Plan
    from protocol.verification import ReturnExpectation
    from veilight.config import Configuration

__all__ = ["run_leakage"]


@dataclass(frozen=True, kw_only=True)
class _Setting:
    """A plan on a calibrated link, without any light."""

    plan: "Plan"
    info: "ServerOpticsInfo"
    snr_factor: float
    expectation: "ReturnExpectation"

    def channel(self, modes: int, tested_symbols: int) -> "ChannelEstimate":
        """The channel that the server's tests of honest light would find on average."""
        from protocol.leakage import ChannelEstimate

        if not self.expectation.verifiable:
            return ChannelEstimate(transmittance=0.0)
        eta, honest = self.info.detection_efficiency, self.expectation
        electronics = 1 + self.info.electronic_noise_snu + self.info.converter_step_snu**2 / 12
        white = honest.white_variance - electronics
        return ChannelEstimate(
            transmittance=min(1.0, honest.gain**2 / eta),
            excess_noise_x_snu=(white + honest.data_mode_excess_x / modes) / eta,
            excess_noise_p_snu=(white + honest.data_mode_excess_p / modes) / eta,
            tested_symbols_x=(tested_symbols + 1) // 2,
            tested_symbols_p=tested_symbols // 2,
        )


def run_leakage(
    screen: Screen,
    configuration: "Configuration",
    *,
    model: Path | None,
    rows: tuple[int, ...] | None,
    modes: tuple[int, ...] | None,
    queries: int,
    tested_symbols: int,
) -> int:
    """Work out and show the leakage; no light is sent, not even simulated.

    Args:
        screen: where to write.
        configuration: link, encoding, photons, budget and confidence.
        model: model file whose layers are meant; None takes `rows` and `modes`.
        rows: weight rows per layer.
        modes: optical modes per row and layer.
        queries: samples that are sent.
        tested_symbols: per layer; half of them in X, half in P.

    Raises:
        ConfigurationError: layers or photons are missing or do not fit.
        ModelError: the model file cannot be used.
    """
    from protocol.accounting import data_leakage, layer_name, weight_leakage
    from protocol.budget import charge_for_layer, queries_within_budget

    setting = _setting(configuration, model, rows, modes)
    plan, receiver = setting.plan, configuration.link.client_receiver()
    channels = {layer.layer: setting.channel(layer.modes, tested_symbols) for layer in plan.layers}
    weights = weight_leakage(
        plan,
        receiver,
        channels,
        queries=queries,
        confidence=configuration.leakage.confidence,
    )
    data = data_leakage(
        plan,
        receiver,
        probe_photons_per_mode=configuration.leakage.probe_photons_per_mode,
        candidate_cosine=configuration.leakage.candidate_cosine,
    )
    budget = configuration.ledger.budget_bits_per_weight
    allowed = None
    if budget is not None:
        allowed = {
            layer_name(layer): queries_within_budget(
                charge_for_layer(layer, setting.expectation, setting.info.detection_efficiency),
                layer.photons_per_symbol * layer.positions,
                budget,
            )
            for layer in plan.layers
        }
    published = _published(configuration, plan)
    layers = _layers(setting)
    screen.result(
        {
            "receiver": {"kind": receiver.kind, "setting": receiver.setting},
            "encoding": configuration.protocol.encoding,
            "queries": queries,
            "tested_symbols_per_layer": tested_symbols,
            "layers": layers,
            "weights_leaked": [asdict(figure) for figure in weights],
            "data_leaked": [asdict(figure) for figure in data],
            "published_by_the_authors": published,
            "budget_bits_per_weight": budget,
            "queries_within_budget": None if allowed is None else min(allowed.values()),
            "queries_within_budget_by_layer": allowed,
        }
    )
    _show_layers(screen, layers, receiver.kind, receiver.setting)
    leakage_table(screen, f"Weights, after {queries:,} queries [bit per weight]", weights)
    leakage_table(screen, "Data of one input, to the server [bit per data value]", data)
    _show_published(screen, published)
    if allowed is not None:
        _show_budget(screen, allowed, budget)
    return 0


def _setting(
    configuration: "Configuration",
    model: Path | None,
    rows: tuple[int, ...] | None,
    modes: tuple[int, ...] | None,
) -> _Setting:
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
    return _Setting(
        plan=plan,
        info=info,
        snr_factor=snr_factor,
        expectation=expected_return(info, settings.receiver),
    )


def _plan_of_model(configuration: "Configuration", path: Path, snr_factor: float) -> "Plan":
    from protocol.encoding import make_plan
    from protocol.models.files import load_model
    from veilight.cli._photons import with_photons

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


def _layers(setting: _Setting) -> list[dict[str, object]]:
    from protocol.accounting import layer_name
    from protocol.encoding import signal_to_noise

    return [
        {
            "name": layer_name(layer),
            "rows": layer.rows,
            "modes": layer.modes,
            "positions": layer.positions,
            "photons_per_symbol": layer.photons_per_symbol,
            "signal_to_noise": signal_to_noise(
                layer.photons_per_symbol, setting.snr_factor, layer.encoding
            ),
            "light_time_per_query_s": layer.rows
            * layer.modes
            * layer.positions
            / setting.info.symbol_rate_hz,
        }
        for layer in setting.plan.layers
    ]


def _published(configuration: "Configuration", plan: "Plan") -> list[dict[str, object]] | None:
    """The authors' own formulas, where they apply: amplifier and complex encoding."""
    from protocol.leakage import (
        published_data_bits_server_homodynes,
        published_weight_bits_client_verified,
    )

    link, encoding = configuration.link, configuration.protocol.encoding
    if link.receiver != "amplifier" or encoding != "complex":
        return None
    gain = link.receiver_setting
    return [
        {
            "layer": layer.layer,
            "weight_bits_client_verified": published_weight_bits_client_verified(
                layer.photons_per_symbol, gain, layer.modes
            ),
            "data_bits_server_homodynes": published_data_bits_server_homodynes(
                gain, layer.rows, layer.modes
            ),
        }
        for layer in plan.layers
    ]


def _show_layers(
    screen: Screen, layers: list[dict[str, object]], receiver: str, setting: float
) -> None:
    rows = [
        (
            str(layer["name"]),
            str(layer["modes"]),
            bits(float(str(layer["photons_per_symbol"]))),
            bits(float(str(layer["signal_to_noise"]))),
            seconds(float(str(layer["light_time_per_query_s"]))),
        )
        for layer in layers
    ]
    columns = ("layer", "modes", "photons per mode", "F^2", "light per query")
    screen.table(f"The light: {receiver} at {setting:g}", columns, rows, numbers=(1, 2, 3, 4))


def _show_published(screen: Screen, published: list[dict[str, object]] | None) -> None:
    if published is None:
        return
    rows = [
        (
            f"layer {entry['layer']}",
            bits(float(str(entry["weight_bits_client_verified"]))),
            bits(float(str(entry["data_bits_server_homodynes"]))),
        )
        for entry in published
    ]
    screen.table(
        "As the protocol's authors published it (arXiv 2408.05629), one query, for comparison only",
        ("layer", "weights, client verified [bit]", "data, server homodynes [bit]"),
        rows,
        numbers=(1, 2),
    )


def _show_budget(screen: Screen, allowed: dict[str, int], budget: float | None) -> None:
    screen.table(
        f"Verified queries that a budget of {budget:g} bit per weight allows",
        ("layer", "queries"),
        [(name, f"{count:,}") for name, count in allowed.items()],
        numbers=(1,),
    )
    screen.tell(f"All layers together: {min(allowed.values()):,} queries.")
