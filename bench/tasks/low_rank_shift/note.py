"""What error lines and reports say of low-rank shifts."""

from bench.run.notes import COST, Metric, TaskNote

NOTE = TaskNote(
    "tunes a denoiser privately",
    "is private data whose best linear denoiser is near the public one",
    {
        "excess": Metric("squared distance from the best denoiser", "lower"),
        "start_excess": Metric("the same of the public one", "lower"),
        "epsilon": Metric("epsilon spent"),
        "noise_multiplier": Metric("noise multiplier"),
        "steps": Metric("steps"),
        "trainable_parameters": Metric("trainable parameters", "lower"),
        **COST,
    },
    container="bench.tasks.low_rank_shift.shift.LowRankShift",
    words={
        "epsilon": "epsilon {}",
    },
)
