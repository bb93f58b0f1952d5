"""What error lines and reports say of private generation."""

from bench.run.notes import Metric, TaskNote

NOTE = TaskNote(
    "generates images from a private set",
    "is a public set of images beside a private one",
    {
        "frechet": Metric("Frechet distance (features of a classifier of the public images)", "lower"),
        "accuracy_cnn": Metric("test accuracy of a CNN trained on samples", "higher"),
        "accuracy_mlp": Metric("test accuracy of an MLP trained on samples", "higher"),
        "accuracy_logreg": Metric("test accuracy of logistic regression trained on samples", "higher"),
        "epsilon": Metric("epsilon spent"),
        "delta": Metric("delta"),
        "noise_multiplier": Metric("noise multiplier"),
        "releases": Metric("private releases"),
        "steps": Metric("steps"),
        "trainable_parameters": Metric("trainable parameters", "lower"),
        "frechet_inception": Metric("Frechet distance (Inception features)", "lower"),
        "precision": Metric("precision", "higher"),
        "recall": Metric("recall", "higher"),
        "density": Metric("density", "higher"),
        "coverage": Metric("coverage", "higher"),
        "samples": Metric("samples"),
        "reference_images": Metric("private images that samples are compared with"),
        "membership_auc": Metric("AUC of a membership attack by the loss"),
        "membership_tpr_at_1_percent": Metric("members found at 1 % false ones"),
        "membership_tpr_at_0.1_percent": Metric("members found at 0.1 % false ones"),
        "epsilon_lower_bound": Metric("lower bound on epsilon by an audit"),
        "canary_guesses": Metric("guesses of the audit"),
        "canary_right": Metric("right guesses of the audit"),
        "public_loss": Metric("denoising loss on public images", "lower"),
        "label": Metric("class of a sample"),
        "place": Metric("place in the class's row"),
        "thumbnail": Metric("small image, PNG as base64"),
    },
    container="bench.tasks.generation.pair.Pair",
)
