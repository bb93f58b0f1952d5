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
        "test_brier": Metric("test Brier score", "lower"),
        "val_brier": Metric("validation Brier score", "lower"),
        **{
            f"bma_{part}{name}": Metric(f"{words}{label} of the average", better)
            for part, words in (("", "test "), ("val_", "validation "))
            for name, label, better in (
                ("accuracy", "accuracy", "higher"),
                ("nll", "NLL", "lower"),
                ("brier", "Brier score", "lower"),
                ("ece", "ECE", "lower"),
            )
        },
        "ood_auroc": Metric("AUROC of the average's entropy, other data against test images", "higher"),
        "logit_average_excess": Metric("more of the test NLL where logits are averaged", "lower"),
        "brier_of_logits": Metric("test Brier score of logits, as released", "lower"),
        "bma_models": Metric("networks averaged"),
        "swap_rate": Metric("exchanges made of those tried"),
        **{f"swap_rate_{pair}": Metric(f"the same, chains {pair} and {pair + 1}") for pair in (1, 2, 3)},
        "epoch": Metric("epoch"),
        "lr": Metric("step size"),
        "skipped_steps": Metric("steps skipped for a NaN or infinite gradient", "lower"),
        "nonfinite_losses": Metric("NaN or infinite losses in the epoch", "lower"),
        **COST,
    },
    ("epochs",),
    {"epoch": "task.epochs"},
    "bench.tasks.classification.images.LabelledImages",
    measured=("evaluate_every",),
)
