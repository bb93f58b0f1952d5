"""What error lines and reports say of curvature."""

from bench.run.notes import COST, Metric, TaskNote

NOTE = TaskNote(
    "is a parameterisation of a Gaussian",
    "is a model of one weight, whose objective can be mapped",
    {
        "share_nonconvex": Metric("share of the map, not convex", "lower"),
        "min_eigenvalue": Metric("smallest eigenvalue of the Hessian on the map", "higher"),
        "jensen_gap": Metric("-ELBO at the midpoint minus its mean at the ends", "lower"),
        "closed_form_error": Metric("relative error of the closed form of the Hessian", "lower"),
        "low_eigenvalue": Metric("smaller eigenvalue of the Hessian", "higher"),
        "high_eigenvalue": Metric("larger eigenvalue of the Hessian", "higher"),
        "relative_curvature": Metric("smallest eigenvalue, relative, cut to [-1, 1]"),
        "m": Metric("mean m"),
        "v": Metric("variance v"),
        **COST,
    },
    batch_tolerance=0.0,
    batch_reason="nothing is drawn: all seeds have the same numbers",
    words={
        "copies": "{} copies of the datum",
        "likelihood=bernoulli": "Bernoulli likelihood",
        "likelihood=normal": "normal likelihood",
    },
)
