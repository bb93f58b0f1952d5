"""What error lines and reports say of sampling."""

from bench.run.notes import COST, Metric, TaskNote

NOTE = TaskNote(
    "samples a law on a bounded domain",
    "is an energy on a bounded domain",
    {
        "kl_coarse": Metric("KL on 25 x 25 cells", "lower"),
        "kl_grid": Metric("KL as released", "lower"),
        "mode_tv": Metric("total variation of the modes' masses", "lower"),
        "modes_covered": Metric("core modes covered", "higher"),
        "modes_core": Metric("core modes"),
        "share_outside": Metric("share of samples outside", "lower"),
        "swap_rate": Metric("swap rate", "higher"),
        "ess": Metric("effective sample size", "higher"),
        "mixing_time": Metric("mixing time in steps", "lower"),
        "diameter": Metric("diameter of the domain"),
        "energy_mean": Metric("mean energy of the samples"),
        "energy_evaluations": Metric("energy evaluations", "lower"),
        "x": Metric("x"),
        "y": Metric("y"),
        "max_error": Metric("largest error of a coefficient's mean", "lower"),
        "rms_error": Metric("root mean square error of the coefficients' means", "lower"),
        "covered": Metric("share of coefficients whose 95 % interval holds the truth", "higher"),
        "mean_offset": Metric("largest offset of a mean from the exact law's, in its standard deviations", "lower"),
        "spread_min": Metric("smallest ratio of a standard deviation to the exact law's"),
        "spread_max": Metric("largest ratio of a standard deviation to the exact law's"),
        "valid_time": Metric("time until a sample's trajectory parts from the true one", "higher"),
        **{
            f"{name}{suffix}": Metric(f"{name}{label}", better)  # type: ignore[arg-type]
            for name in ("sigma", "rho", "beta")
            for suffix, label, better in (
                ("", ", posterior mean", None),
                ("_error", ", error of the mean", "lower"),
                ("_mode", ", posterior mode", None),
                ("_low", ", lower end of the 95 % interval", None),
                ("_high", ", upper end of the 95 % interval", None),
            )
        },
        "coefficient": Metric("coefficient"),
        "mean": Metric("posterior mean"),
        "low": Metric("lower end of the 95 % interval"),
        "high": Metric("upper end of the 95 % interval"),
        "truth": Metric("true value"),
        "time": Metric("time"),
        "trajectory": Metric("x(t) of a sample"),
        "true_trajectory": Metric("x(t), true"),
        "rim_x": Metric("boundary, x"),
        "rim_y": Metric("boundary, y"),
        **COST,
    },
    ("evaluations",),
    {"gradient_evaluations": "task.evaluations"},
    batch_tolerance=1e-6,
    batch_reason="double precision, vector instructions round sines of other batch shapes differently, and chains are chaotic in the long run",
    words={
        "correction=0.0": "swaps without correction",
        "correction=None": "corrected swaps",
        "mirror=normal": "mirrored along the normal",
        "mirror=parameters": "mirrored in the parameters",
        "mirror=reset": "reset instead of mirrored",
        "normals=exact": "exact normals",
        "normals=released": "the released code's normals",
        "reflect=True": "reflected",
        "reflect=False": "not reflected",
    },
)
