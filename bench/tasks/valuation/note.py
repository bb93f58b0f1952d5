"""What error lines and reports say of valuation."""

from bench.run.notes import Metric, TaskNote

NOTE = TaskNote(
    "gives each training point a value",
    "is a set of training points beside a clean reference set",
    {
        "auc": Metric("ROC-AUC of detection", "higher"),
        "average_precision": Metric("average precision", "higher"),
        "detection_rate": Metric("share of corrupted points among as many lowest values", "higher"),
        "inspected": Metric("points inspected, lowest first"),
        "detected": Metric("corrupted points found", "higher"),
        "spearman": Metric("rank correlation with the values of another method", "higher"),
        "distinct_values": Metric("distinct values, as a share of the points"),
        "value_sum": Metric("sum of the values"),
        "pruned": Metric("share of points left out of training, lowest values first"),
        "pruned_accuracy": Metric("test accuracy after pruning", "higher"),
        "place": Metric("place from the lowest value, below zero from the highest"),
        "value": Metric("value", "higher"),
        "given_label": Metric("label as given"),
        "point": Metric("id"),
        "known_corrupted": Metric("known to be corrupted"),
        "thumbnail": Metric("small image, PNG as base64"),
        "points": Metric("training points N"),
        "reference_points": Metric("reference points M"),
        "seconds": Metric("seconds of valuation", "lower"),
        "peak_bytes": Metric("memory beyond the data, bytes", "lower"),
    },
    container="bench.tasks.valuation.points.Points",
)
