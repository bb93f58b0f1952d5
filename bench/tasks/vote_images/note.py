"""What error lines and reports say of the vote of workers that have images."""

from bench.run.notes import COST, Metric, TaskNote

NOTE = TaskNote(
    "trains by a vote of workers",
    "is a set of labelled images",
    {
        "test_accuracy": Metric("test accuracy", "higher"),
        "val_accuracy": Metric("validation accuracy", "higher"),
        "train_loss": Metric("train loss, mean over workers", "lower"),
        "grad_l1": Metric("gradient norm, l1", "lower"),
        "grad_l2": Metric("gradient norm, l2", "lower"),
        "test_nll": Metric("test NLL", "lower"),
        "test_ece": Metric("test ECE", "lower"),
        "val_nll": Metric("validation NLL", "lower"),
        "val_ece": Metric("validation ECE", "lower"),
        "wire_saving": Metric("times fewer bytes than single-precision gradients up and down", "higher"),
        "wire_megabytes": Metric("megabytes sent by and to all workers", "lower"),
        "bits_up": Metric("bits a coordinate and step, sent by a worker", "lower"),
        "bits_down": Metric("bits a coordinate and step, sent to a worker", "lower"),
        "smallest_shard": Metric("images of the worker that has fewest"),
        "largest_shard": Metric("images of the worker that has most"),
        "epoch": Metric("epoch"),
        "lr": Metric("step size"),
        "skipped_steps": Metric("steps skipped for a worker's NaN or infinite gradient", "lower"),
        **COST,
    },
    ("epochs",),
    {"epoch": "task.epochs"},
    "bench.tasks.classification.images.LabelledImages",
    measured=("evaluate_every",),
    takes=("classification",),
    processes="own",
    words={
        "split=dirichlet": "classes differ between workers",
        "split=iid": "workers alike",
        "workers": "{} workers",
    },
)
