"""What error lines and reports say of doubly stochastic."""

from bench.run.notes import COST, Metric, TaskNote

NOTE = TaskNote(
    "minimises a finite sum of noisy components",
    "is a finite sum with infinite data",
    {
        "variance": Metric("gradient variance", "lower"),
        "variance_mc": Metric("gradient variance, Monte Carlo", "lower"),
        "error": Metric("squared error", "lower"),
        "stationary_error": Metric("stationary error", "lower"),
        "distance": Metric("distance to the optimum", "lower"),
        "iterations_to_epsilon": Metric("iterations to epsilon", "lower"),
        "subsampling_variance": Metric("variance by subsampling", "lower"),
        "monte_carlo_variance": Metric("variance by Monte Carlo", "lower"),
        "excess_variance": Metric("variance over the best split's", "lower"),
        "variance_ratio": Metric("Monte Carlo over formula"),
        "monte_carlo_share": Metric("share of Monte Carlo in the variance"),
        "tau2": Metric("heterogeneity tau^2"),
        "mean_s": Metric("mean s_i"),
        "var_s": Metric("variance of s_i"),
        "noise_correlation": Metric("correlation of components' noise"),
        "best_batch_size": Metric("best batch size b"),
        "optimal_batch_size": Metric("optimal batch size b*"),
        "smallest_over_best": Metric("V(smallest b) / V(best b)"),
        "largest_over_best": Metric("V(largest b) / V(best b)"),
        "largest_increase": Metric("largest V(next b) / V(b)"),
        "batch_size": Metric("batch size b"),
        "mc_samples": Metric("noise draws m"),
        "lr": Metric("step size"),
        "epsilon": Metric("epsilon"),
        "tuned_lr": Metric("best step size"),
        "iterations": Metric("iterations"),
        **COST,
    },
    ("steps",),
    {"iterations": "task.steps", "epsilon": "task.epsilons"},
)
