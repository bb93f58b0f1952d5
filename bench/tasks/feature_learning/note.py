"""What error lines and reports say of feature learning."""

from bench.run.notes import COST, Metric, TaskNote

NOTE = TaskNote(
    "trains the first layer of a two-layer network",
    "is a Gaussian index model",
    {
        "overlap_mean": Metric("mean overlap of neurons", "higher"),
        "test_error": Metric("test error of the second phase", "lower"),
        "hitting_time": Metric(
            "samples to recovery", "lower"
        ),  # left out where it was not reached, as all that follows from it
        "hitting_slope": Metric("log-log slope of samples to recovery over d", "lower"),
        "theory_slope": Metric("exponent of d in theory", "lower"),
        "tuned_hitting_time": Metric("samples to recovery, best setting", "lower"),
        "tuned_hitting_slope": Metric("log-log slope of samples to recovery over d, best settings", "lower"),
        "overlap_max": Metric("largest overlap of a neuron", "higher"),
        "tuned_overlap_max": Metric("largest overlap of a neuron, best setting", "higher"),
        "tuned_overlap_mean": Metric("mean overlap, best setting", "higher"),
        "overlap_1": Metric("largest overlap with direction 1", "higher"),
        "overlap_2": Metric("largest overlap with direction 2", "higher"),
        "overlap_3": Metric("largest overlap with direction 3", "higher"),
        "projection": Metric("projection on the linear part", "higher"),
        "aligned": Metric("share of aligned neurons", "higher"),
        "network_error": Metric("test error of the network as trained", "lower"),
        "train_error": Metric("training error", "lower"),
        "test_loss": Metric("test loss of the network as trained", "lower"),
        "population_loss": Metric("population loss", "lower"),
        "norm_error": Metric("largest error of a row's unit norm"),
        "ridge_width": Metric("neurons N of the second phase"),
        "ridge_samples": Metric("samples T_2 of the second phase", "lower"),
        "samples": Metric("samples n", "lower"),
        "samples_per_dim": Metric("samples n / d"),
        "dimension": Metric("dimension d"),
        "lr": Metric("step size kappa, times the power of d"),
        "inner_lr": Metric("inner step c, of c / d"),
        "tuned_lr": Metric("best step size"),
        "tuned_inner_lr": Metric("best inner step"),
        "iterations": Metric("steps"),
        "information_exponent": Metric("information exponent"),
        "generative_exponent": Metric("generative exponent"),
        "label_power": Metric("smallest power of the link with an information exponent of at most 2 (1 if not even)"),
        "label_power_exponent": Metric("information exponent of that power"),
        **COST,
    },
    ("grid",),
    {"dimension": "dataset.d"},
    batch_tolerance=1e-9,
    batch_reason="products of several seeds' matrices add up in another order (with task.precision=double); with task.stop=all or any a "
    "dimension ends when all its seeds have hit, and only hitting times are a seed's own",
    words={
        "activation=relu": "ReLU neurons",
        "activation=polynomial": "polynomial neurons",
        "fresh=True": "a fresh sample each step",
        "fresh=False": "one sample used again",
        "inner_lr": "inner step {}",
        "link": "link {}",
        "smoothing=0.0": "no smoothing",
        "smoothing": "smoothing {} d^(1/4)",
    },
)
