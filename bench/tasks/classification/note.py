"""What error lines and reports say of classification."""

from bench.run.notes import COST, Metric, TaskNote

NOTE = TaskNote(
    "trains a classifier",
    "is a set of labelled images",
    {
        "test_accuracy": Metric("test accuracy", "higher"),
        "val_accuracy": Metric("validation accuracy", "higher"),
        "train_loss": Metric("train loss", "lower"),
        "grad_l1": Metric("gradient norm, l1", "lower"),
        "test_nll": Metric("test NLL", "lower"),
        "test_ece": Metric("test ECE", "lower"),
        "grad_l2": Metric("gradient norm, l2", "lower"),
        "val_nll": Metric("validation NLL", "lower"),
        "val_ece": Metric("validation ECE", "lower"),
        "epoch": Metric("epoch"),
        "lr": Metric("step size"),
        "skipped_steps": Metric("steps skipped for a NaN or infinite gradient", "lower"),
        "nonfinite_losses": Metric("NaN or infinite losses in the epoch", "lower"),
        **COST,
    },
    ("epochs",),
    {"epoch": "task.epochs"},
    "bench.tasks.classification.images.LabelledImages",
)
