"""The baselines of the suite with their outside references, and the methods that the papers are about, which claims and tests judge."""

from __future__ import annotations

import outside_audits
import outside_mixing
import outside_multimix
import outside_noisy
import outside_portfolio
import outside_private
import outside_sampling
import outside_sign
import outside_transport
import outside_two_layer
import outside_valuation
import outside_variational
import outside_vote

REFERENCES = {
    **outside_sign.REFERENCES,
    **outside_noisy.REFERENCES,
    **outside_portfolio.REFERENCES,
    **outside_variational.REFERENCES,
    **outside_two_layer.REFERENCES,
    **outside_mixing.REFERENCES,
    **outside_sampling.REFERENCES,
    **outside_valuation.REFERENCES,
    **outside_transport.REFERENCES,
    **outside_multimix.REFERENCES,
    **outside_vote.REFERENCES,
    **outside_audits.REFERENCES,
    **outside_private.REFERENCES,
}
SUBJECTS = (
    *("ssvr", "ssvr_fs", "ssvr_fs_spider"),
    *("ssvr_mv", "ssvr_mv_stochastic", "dvr_sign", "dvr_q"),
    *("doubly_sgd", "doubly_sgd_rr"),
    *("egab_u", "egab_n", "egab_p", "egab_eg", "egab_gd"),
    *("ngvi", "ngvi_average", "ngvi_constant", "ngvi_safe", "ngvi_sqrt", "expectation", "mean_scale"),
    *("sgdm", "sghmc", "cycsghmc", "resghmc", "r_sghmc", "r_cycsghmc", "r2sghmc"),
    *("regularised_gd", "regularised_sgd", "reuse_sgd", "reuse_sgd_renewed", "reuse_map", "all_layers_gd"),
    *("reflected_replica", "r2sgld", "r2sgld_released", "resgld_lorenz"),
    "sava",
    "dplora",
    *("multimix", "multimix_manifold", "multimix_cutmix", "multimix_puzzle"),
)
