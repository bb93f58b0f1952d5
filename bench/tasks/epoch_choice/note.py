"""What error lines and reports say of the choice of an epoch."""

from bench.run.notes import COST, Metric, TaskNote

NOTE = TaskNote(
    "chooses an epoch of a classifier",
    "is a set of images in four parts, on which a classifier's epochs are compared",
    {
        "overstatement": Metric("accuracy on test images minus that on fresh ones", "lower"),
        "test_accuracy": Metric("test accuracy of the chosen epoch", "higher"),
        "fresh_accuracy": Metric("accuracy of the chosen epoch on fresh images", "higher"),
        "chosen_epoch": Metric("epoch that is chosen"),
        "validation_accuracy": Metric("validation accuracy", "higher"),
        "epoch": Metric("epoch"),
        **COST,
    },
    ("epochs",),
    container="bench.tasks.epoch_choice.split.FourParts",
)
