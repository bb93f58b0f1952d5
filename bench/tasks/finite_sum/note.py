"""What error lines and reports say of finite sum."""

from bench.run.notes import COST, Metric, TaskNote

NOTE = TaskNote(
    "minimises a sum of components",
    "is a stochastic or finite-sum objective",
    {
        "mean_grad_l1_per_dim": Metric("mean gradient norm, l1 / d", "lower"),
        "mean_grad_l1": Metric("mean gradient norm, l1", "lower"),
        "mean_grad_l2": Metric("mean gradient norm, l2", "lower"),
        "last_grad_l1": Metric("last gradient norm, l1", "lower"),
        "tracking_mse": Metric("mean squared error of the estimate", "lower"),
        "iterations": Metric("iterations T"),
        **COST,
    },
    ("horizons",),
    {"iterations": "task.horizons"},
    batch_tolerance=1e-9,
    batch_reason="double precision, products of several seeds' matrices add up in another order",
    words={
        "num_components": "{} components",
    },
)
