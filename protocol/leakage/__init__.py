"""What leaks to whom, in bits: every formula of the project's leakage accounting.

Each function names its adversary and says what it assumes. Shot-noise units throughout (vacuum
variance 1); photon numbers become variances in `protocol.leakage.conventions` and nowhere else.
Weights are the server's secret (adversary: client or eavesdropper), data the client's (adversary:
server). `weight_figures_for_layer`, `data_figures_for_layer` and `summarise` put a report together.
"""

from protocol.leakage.conventions import (
    Encoding,
    signal_variance_snu,
    weights_per_mode,
)
from protocol.leakage.copies import weight_bits_with_memory
from protocol.leakage.data import (
    data_bits_server_any_measurement,
    data_bits_server_any_measurement_cap,
    data_bits_server_heterodynes_rows,
    data_bits_server_homodynes_rows,
    data_bits_server_homodynes_rows_cap,
    data_bits_server_uses_marginal_variances,
    excess_noise_after_loss_snu,
    fisher_server_any_measurement,
    fisher_server_heterodynes_rows,
    fisher_server_homodynes_rows,
    local_data_bits,
)
from protocol.leakage.data_layer import (
    PROBING_SERVER,
    data_figures_for_layer,
)
from protocol.leakage.dictionary import (
    dictionary_nats_per_row_server_homodynes,
    dictionary_rows_server_homodynes,
)
from protocol.leakage.dithering import (
    data_bits_any_cap_with_dither,
    data_bits_any_with_dither,
    data_bits_homodyne_dither,
    data_bits_homodyne_dither_cap,
    lost_p,
)
from protocol.leakage.entropy import (
    binary_entropy_bits,
    excess_noise_to_thermal_photons,
    gaussian_channel_bits,
    log1p_minus_argument,
    thermal_entropy_bits,
    two_mode_entropy_bits,
)
from protocol.leakage.extraction import (
    client_least_squares_weight_snr,
    client_queries_for_weight_snr,
    weight_bits_client_query_inside_rules,
)
from protocol.leakage.figures import (
    LayerLight,
    LeakageFigure,
    LeakageSummary,
    Secret,
    figure_for_layer,
    summarise,
)
from protocol.leakage.finite_size import (
    ChannelBounds,
    ChannelEstimate,
    VarianceLaw,
    channel_bounds,
    confidence_multiplier,
    excess_noise_upper_bound_snu,
    weight_bits_client_certified_complex,
    weight_bits_client_certified_real,
)
from protocol.leakage.probing import (
    ProbeStrategy,
    data_bits_server_probes_feed_forward_tap,
    fisher_server_probes_feed_forward_tap,
)
from protocol.leakage.published import (
    PUBLISHED_MODES,
    PUBLISHED_ROWS,
    published_data_bits_server_homodynes,
    published_weight_bits_client_verified,
    superseded_v1_data_bits_server_marginal,
)
from protocol.leakage.receivers import (
    ReceiverNoise,
    check_encoding,
    data_bits_server_any_measurement_of_receiver,
    data_bits_server_any_measurement_of_receiver_cap,
    data_bits_server_homodynes_receiver,
    data_bits_server_homodynes_receiver_cap,
    noisier_quadrature_snu,
    returned_channel,
)
from protocol.leakage.verified import (
    weight_bits_client_verified_complex,
    weight_bits_client_verified_real,
    weight_bits_client_x_only_tested_real,
)
from protocol.leakage.weight_layer import (
    DEFAULT_CONFIDENCE,
    weight_figures_for_layer,
)
from protocol.leakage.weights import (
    PhotonLeakage,
    photons_for_weight_bits,
    transmissions_for_weight_bits,
    weight_bits_client_homodynes_all_real,
    weight_bits_client_keeps_all_bpsk,
    weight_bits_client_keeps_all_gaussian_complex,
    weight_bits_client_keeps_all_gaussian_real,
    weight_bits_client_keeps_all_uniform_levels,
    weight_bits_client_keeps_fraction_complex,
    weight_bits_client_keeps_fraction_real,
    weight_bits_client_repeated,
)

__all__ = [
    "DEFAULT_CONFIDENCE",
    "PROBING_SERVER",
    "PUBLISHED_MODES",
    "PUBLISHED_ROWS",
    "ChannelBounds",
    "ChannelEstimate",
    "Encoding",
    "LayerLight",
    "LeakageFigure",
    "LeakageSummary",
    "PhotonLeakage",
    "ProbeStrategy",
    "ReceiverNoise",
    "Secret",
    "VarianceLaw",
    "binary_entropy_bits",
    "channel_bounds",
    "check_encoding",
    "client_least_squares_weight_snr",
    "client_queries_for_weight_snr",
    "confidence_multiplier",
    "data_bits_any_cap_with_dither",
    "data_bits_any_with_dither",
    "data_bits_homodyne_dither",
    "data_bits_homodyne_dither_cap",
    "data_bits_server_any_measurement",
    "data_bits_server_any_measurement_cap",
    "data_bits_server_any_measurement_of_receiver",
    "data_bits_server_any_measurement_of_receiver_cap",
    "data_bits_server_heterodynes_rows",
    "data_bits_server_homodynes_receiver",
    "data_bits_server_homodynes_receiver_cap",
    "data_bits_server_homodynes_rows",
    "data_bits_server_homodynes_rows_cap",
    "data_bits_server_probes_feed_forward_tap",
    "data_bits_server_uses_marginal_variances",
    "data_figures_for_layer",
    "dictionary_nats_per_row_server_homodynes",
    "dictionary_rows_server_homodynes",
    "excess_noise_after_loss_snu",
    "excess_noise_to_thermal_photons",
    "excess_noise_upper_bound_snu",
    "figure_for_layer",
    "fisher_server_any_measurement",
    "fisher_server_heterodynes_rows",
    "fisher_server_homodynes_rows",
    "fisher_server_probes_feed_forward_tap",
    "gaussian_channel_bits",
    "local_data_bits",
    "log1p_minus_argument",
    "lost_p",
    "noisier_quadrature_snu",
    "photons_for_weight_bits",
    "published_data_bits_server_homodynes",
    "published_weight_bits_client_verified",
    "returned_channel",
    "signal_variance_snu",
    "summarise",
    "superseded_v1_data_bits_server_marginal",
    "thermal_entropy_bits",
    "transmissions_for_weight_bits",
    "two_mode_entropy_bits",
    "weight_bits_client_certified_complex",
    "weight_bits_client_certified_real",
    "weight_bits_client_homodynes_all_real",
    "weight_bits_client_keeps_all_bpsk",
    "weight_bits_client_keeps_all_gaussian_complex",
    "weight_bits_client_keeps_all_gaussian_real",
    "weight_bits_client_keeps_all_uniform_levels",
    "weight_bits_client_keeps_fraction_complex",
    "weight_bits_client_keeps_fraction_real",
    "weight_bits_client_query_inside_rules",
    "weight_bits_client_repeated",
    "weight_bits_client_verified_complex",
    "weight_bits_client_verified_real",
    "weight_bits_client_x_only_tested_real",
    "weight_bits_with_memory",
    "weight_figures_for_layer",
    "weights_per_mode",
]
