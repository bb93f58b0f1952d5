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
            f"bma_{part}{name}": Metric(f"{words}{label} of the average", better)  # type: ignore[arg-type]
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
        "test_top5_accuracy": Metric("test accuracy among the first five", "higher"),
        "test_adaptive_ece": Metric("test ECE, 15 bins of equally many", "lower"),
        "fgsm_accuracy": Metric("test accuracy under FGSM, 8/255", "higher"),
        "corruption_error": Metric("error on corrupted test images", "lower"),
        **{
            f"corruption_error_{family}": Metric(f"error on corrupted test images, {words}", "lower")
            for family, words in (
                *((name, name) for name in ("noise", "blur", "weather", "digital")),
                ("extra", "extra corruptions"),
            )
        },
        **{
            f"reliability_{name}_{number:02}": Metric(f"{words} of the images of confidence in bin {number} of 15")
            for number in range(1, 16)
            for name, words in (("confidence", "mean confidence"), ("accuracy", "accuracy"), ("share", "share"))
        },
        **{
            f"gradient_variance_{name}k{k}": Metric(f"{words}, K = {k}", better)  # type: ignore[arg-type]
            for name, words, better in (
                ("", "gradient variance of a mixed pair", "lower"),
                ("ratio_", "gradient variance of a mixed pair relative to K = 1", "lower"),
                ("predicted_", "gradient variance of a mixed pair as predicted", None),
            )
            for k in (1, 2, 5, 10, 20)
            if (name, k) != ("ratio_", 1)
        },
        "gradient_variance_ratio_stratified_k5": Metric(
            "gradient variance of a mixed pair relative to K = 1, stratified K = 5", "lower"
        ),
        "gradient_variance_rise": Metric(
            "largest ratio of the gradient variance at one K to that at the K before", "lower"
        ),
        "gradient_variance_stratified_gain": Metric("gradient variance at K = 5, stratified over independent", "lower"),
        "gradient_variance_pairs": Metric("gradient variance of pairs"),
        "gradient_variance_lambda": Metric("gradient variance of lambda"),
        "gradient_variance_interaction": Metric("gradient variance of pairs with lambda"),
        "gradient_variance_off_law": Metric(
            "largest relative distance of gradient variances to the prediction", "lower"
        ),
        "gradient_variance_off_line": Metric(
            "largest relative distance of gradient variances to a line in 1/K", "lower"
        ),
        **{
            f"batch_variance_{name}{what}": Metric(f"gradient variance of a batch{words}{label}", better)  # type: ignore[arg-type]
            for name, words in (("", ""), ("shared_", " that shares lambdas"))
            for what, label, better in (
                *((f"k{k}", f", K = {k}", "lower") for k in (1, 5)),
                *((f"predicted_k{k}", f" as predicted, K = {k}", None) for k in (1, 5)),
                ("ratio_k5", ", K = 5 over K = 1", "lower"),
                ("equal_compute", ", five times the pairs at K = 1", "lower"),
                ("equal_compute_ratio", ", five times the pairs at K = 1 over K = 5", "lower"),
            )
        },
        "batch_variance_shared_gain": Metric("ratio of K = 5 to K = 1, shared lambdas over own ones", "lower"),
        "batch_variance_off_law": Metric(
            "largest relative distance of batches' gradient variances to the prediction", "lower"
        ),
        "mixup_loss": Metric("loss of mixup, expected", "lower"),
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
    processes="slices",
    words={
        "alpha": "alpha {}",
        "batch_norm=concatenated": "batch statistics of all K together",
        "batch_norm=passes": "batch statistics of each K",
        "batch_size": "batches of {}",
        "beta": "beta {}",
        "epochs": "{} epochs",
        "k": "K = {}",
        "lr": "step size {}",
        "shared_lambda=True": "lambdas shared by the batch",
        "shared_lambda=False": "a pair's own lambdas",
        "swap=metropolis": "Metropolis swaps",
        "swap=released": "swaps as released",
    },
)
