"""What error lines and reports say of sampling."""

from bench.run.notes import COST, Metric, TaskNote

NOTE = TaskNote(
    "samples a law on a bounded domain",
    "is an energy on a bounded domain",
    {
        "kl_coarse": Metric("KL, 25 x 25 cells, nats", "lower"),
        "kl_grid": Metric("KL, 100 x 100 cells, scaled as released", "lower"),
        "mode_tv": Metric("total variation of the modes' masses", "lower"),
        "modes_covered": Metric("core modes covered", "higher"),
        "modes_core": Metric("core modes"),
        "share_outside": Metric("share of samples outside", "lower"),
        "swap_rate": Metric("swap rate", "higher"),
        "ess": Metric("effective sample size", "higher"),
        "mixing_time": Metric("mixing time in steps", "lower"),
        "radius": Metric("radius of the domain"),
        "diameter": Metric("diameter of the domain"),
        "energy_mean": Metric("mean energy of the samples"),
        "energy_evaluations": Metric("energy evaluations", "lower"),
        "x": Metric("x"),
        "y": Metric("y"),
        "rim_x": Metric("boundary, x"),
        "rim_y": Metric("boundary, y"),
        **COST,
    },
    ("evaluations",),
    {"gradient_evaluations": "task.evaluations"},
    batch_tolerance=1e-6,
    batch_reason="double precision, vector instructions round sines of other batch shapes differently, and chains are chaotic in the long run",
)
