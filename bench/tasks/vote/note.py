"""What error lines and reports say of the vote of workers."""

from bench.run.notes import COST, Metric, TaskNote

NOTE = TaskNote(
    "descends by a vote of workers",
    "is a sum of workers' objectives",
    {
        "mean_grad_l2": Metric("mean gradient norm, l2", "lower"),
        "mean_grad_l1": Metric("mean gradient norm, l1", "lower"),
        "tail_grad_l2": Metric("mean gradient norm at the end, l2", "lower"),
        "tail_grad_l1": Metric("mean gradient norm at the end, l1", "lower"),
        "tail_grad_l1_per_dim": Metric("mean gradient norm at the end, l1 / d", "lower"),
        "tail_grad_mean": Metric("mean derivative at the end, signed"),
        "iterations": Metric("iterations T"),
        "bits_up": Metric("bits a coordinate and step, sent by a worker", "lower"),
        "bits_down": Metric("bits a coordinate and step, sent to a worker", "lower"),
        **COST,
    },
    ("horizons",),
    reached={"iterations": "task.horizons"},
    batch_tolerance=1e-9,
    batch_reason="double precision, sums over several seeds may add up in another order",
    words={
        "workers": "{} workers",
    },
)
