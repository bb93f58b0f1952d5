"""What error lines and reports say of private budgets."""

from bench.run.notes import COST, Metric, TaskNote

NOTE = TaskNote(
    "tunes a denoiser privately",
    "is the shape of a private set",
    {
        "trainable_parameters": Metric("trainable parameters", "lower"),
        "adapter_parameters": Metric("parameters of adapters", "lower"),
        "adapted_projections": Metric("share of the attention's projections that have an adapter", "higher"),
        "adapted_outputs": Metric("share of the attention's output projections that have an adapter", "higher"),
        "noise_multiplier": Metric("noise multiplier, of what an image can add", "lower"),
        "noise_multiplier_rdp": Metric("noise multiplier by RDP", "lower"),
        "rdp_excess": Metric("noise multiplier by RDP over that by the accountant"),
        "epsilon": Metric("epsilon of the releases", "lower"),
        "budget_share": Metric("epsilon of the releases over the budget"),
        "steps": Metric("steps"),
        "rate": Metric("sampling rate q"),
        "delta_times_n": Metric("delta times the private examples", "lower"),
        **COST,
        "noise_norm": Metric("norm of a release's noise over sigma C", "lower"),
    },
    container="bench.tasks.private_budget.shape.PrivateShape",
    batch_reason="nothing but noise is drawn, each seed's own",
    words={
        "epsilon": "epsilon {}",
        "rank": "rank {}",
        "targets=attention": "adapters on all projections of attention",
        "targets=qkv": "adapters on query, key and value",
    },
)
