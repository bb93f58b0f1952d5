"""What error lines and reports say of private steps."""

from bench.run.notes import COST, Metric, TaskNote

NOTE = TaskNote(
    "tunes a denoiser privately",
    "is a pair of image sets on which private steps are looked at",
    {
        "sensitivity": Metric("largest change of the sum by one image, over C", "lower"),
        "noise_ratio": Metric("noise of a release over sigma C, root mean square"),
        "draw_variance": Metric("variance of the gradient at fixed images", "lower"),
        "cosine": Metric("cosine of the clipped gradient with the true one", "higher"),
        "start_difference": Metric("largest difference from the public network before the first step", "lower"),
        "tuned_difference": Metric("the same after the first steps"),
        "merged_difference": Metric("largest difference of the merged network from that with adapters", "lower"),
        "releases": Metric("releases that were looked at"),
        "trainable_parameters": Metric("trainable parameters", "lower"),
        **COST,
    },
    container="bench.tasks.generation.pair.Pair",
    words={
        "noise_multiplicity": "{} draws of noise an image",
    },
)
