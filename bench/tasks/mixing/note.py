"""What error lines and reports say of mixing."""

from bench.run.notes import COST, Metric, TaskNote

NOTE = TaskNote(
    "is a diffusion whose generator has a spectrum",
    "is a potential on an interval, on which a diffusion mixes",
    {
        "gap": Metric("spectral gap", "higher"),
        "mixing_time": Metric("relaxation time 1 / gap", "lower"),
        "gap_product": Metric("spectral gap times squared diameter", "higher"),
        "slope": Metric("slope of log gap by log diameter"),  # of two or more diameters
        "flat_gap_error": Metric(
            "relative error of the closed form of the gap", "lower"
        ),  # where the potential is flat
        "detailed_balance_error": Metric("largest relative difference of two states' flows into each other", "lower"),
        "diameter": Metric("diameter D"),
        "states": Metric("states of the generator"),
        **COST,
    },
    batch_tolerance=0.0,
    batch_reason="nothing is drawn: all seeds have the same numbers",
    words={
        "swap_intensity": "swap intensity {}",
    },
)
