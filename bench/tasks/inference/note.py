"""What error lines and reports say of inference."""

from bench.run.notes import COST, Metric, TaskNote

NOTE = TaskNote(
    "fits a Gaussian by variational inference",
    "is a Bayesian model",
    {
        "kl": Metric("KL(q || q*)", "lower"),
        "kl_reverse": Metric("KL(q* || q)", "lower"),
        "elbo_gap": Metric("ELBO gap", "lower"),
        "lost_pd": Metric("share of seeds that lost positive-definiteness", "lower"),
        "lost_pd_steps": Metric("steps that lost positive-definiteness", "lower"),
        "gap_error": Metric("ELBO gap minus KL(q || q*), absolute"),
        "slope": Metric("log-log slope of KL(q || q*)"),  # left out where KL is not above 0 at every report
        "chosen_lr": Metric("step size of the best setting"),
        "chosen_decay": Metric("its decay"),
        "iterations": Metric("iterations"),
        **COST,
    },
    ("grid",),  # the best of a whole family against one setting
    {"iterations": "task.reports"},
    batch_tolerance=1e-9,
    batch_reason="double precision, factors and products of several seeds' matrices add up in another order",
    words={
        "condition": "condition number {}",
        "estimator=gradient": "estimate from the gradient alone",
        "estimator=monte_carlo": "Monte Carlo estimate",
        "estimator=quadrature": "exact quadrature",
        "lr": "step size {}",
        "start=prior": "start at the prior",
        "start=random": "random start",
    },
)
