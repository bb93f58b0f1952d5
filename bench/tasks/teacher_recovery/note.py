"""What error lines and reports say of teacher recovery."""

from bench.run.notes import COST, Metric, TaskNote

NOTE = TaskNote(
    "trains a two-layer network on a two-layer teacher",
    "is a two-layer teacher",
    {
        "loss": Metric("loss", "lower"),
        "far_mass": Metric("share of far mass", "lower"),
        "weighted_cosine": Metric("mean cosine to the nearest teacher", "higher"),
        "recovery_error": Metric("largest error of a teacher's weight", "lower"),
        "features_loss": Metric("loss after stages 1 and 2", "lower"),
        "recovered_share": Metric("share of teachers recovered", "higher"),
        "subspace_share": Metric("share of rows in the teachers' span", "higher"),
        "max_certificate": Metric("largest |eta|", "lower"),
        "min_teacher_certificate": Metric("smallest |eta| at a teacher", "higher"),
        "balance": Metric("largest |a^2 - ||w||^2|", "lower"),
        "subspace_share_start": Metric("share of rows in the teachers' span, at the start"),
        "total_mass": Metric("total mass"),
        "loss_over_lam2": Metric("loss / lam^2"),
        "loss_constant": Metric("limit of loss / lam^2, theory"),
        "constant_ratio": Metric("loss / lam^2 over its limit"),
        "regularised_time": Metric("regularised time, lr x sum of lam"),
        "signed_mass": Metric("signed mass a ||w||"),
        "teacher_weight": Metric("teacher's weight"),
        "certificate": Metric("dual certificate eta"),
        "angle": Metric("angle from teacher 1, degrees"),
        "x": Metric("along teacher 1"),
        "y": Metric("across, in the plane of teacher 2"),
        "stage": Metric("stage"),
        "lam": Metric("weight decay lam"),
        "lr": Metric("step size"),
        "iterations": Metric("iterations"),
        **COST,
    },
    ("steps", "grid", "points", "drawn_seed", "circle_points"),
)
