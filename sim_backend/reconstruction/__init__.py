"""What curious parties really reconstruct from the light that they may see, measured.

`inputs_from_return` is the server who looks for the data in the returned noise, `dictionary_law`
its attack with more candidates than can be drawn, `photon_counting` the one with a better receiver,
`probing` the one who adds light in P; `weights_from_queries` is the client who asks for the
weights, `student` the one who trains on what it was told. Laws of the symbol tier; quadratures in
shot-noise units, vacuum variance 1. No leakage formula is known here: whoever compares a gain with
a bound brings the bound.
"""

from sim_backend.reconstruction.dictionary_law import (
    DictionaryLaw,
    Geometry,
    SuccessProbability,
    identified_bits,
)
from sim_backend.reconstruction.inputs_from_return import (
    bits_of_squared_overlaps,
    candidates_with_cosine,
    count_found,
    expected_squared_overlap,
    log_likelihoods,
    principal_direction,
    residual_rows,
    returned_rows,
    squared_overlaps,
)
from sim_backend.reconstruction.photon_counting import (
    LocalEstimates,
    count_found_by_photons,
    counted_photons,
    counting_log_likelihoods,
    estimate_locally,
)
from sim_backend.reconstruction.probing import (
    count_found_by_probing,
    probed_directions,
    restored_deficit,
)
from sim_backend.reconstruction.student import (
    TwoLayers,
    matched_rows,
    matching_bits,
    train_student,
)
from sim_backend.reconstruction.weights_from_queries import (
    WeightGain,
    kept_light_estimate,
    least_squares,
    orthogonal_queries,
    posterior_mean,
    query_outcomes,
    random_queries,
    weight_gain,
)

__all__ = [
    "DictionaryLaw",
    "Geometry",
    "LocalEstimates",
    "SuccessProbability",
    "TwoLayers",
    "WeightGain",
    "bits_of_squared_overlaps",
    "candidates_with_cosine",
    "count_found",
    "count_found_by_photons",
    "count_found_by_probing",
    "counted_photons",
    "counting_log_likelihoods",
    "estimate_locally",
    "expected_squared_overlap",
    "identified_bits",
    "kept_light_estimate",
    "least_squares",
    "log_likelihoods",
    "matched_rows",
    "matching_bits",
    "orthogonal_queries",
    "posterior_mean",
    "principal_direction",
    "probed_directions",
    "query_outcomes",
    "random_queries",
    "residual_rows",
    "restored_deficit",
    "returned_rows",
    "squared_overlaps",
    "train_student",
    "weight_gain",
]
