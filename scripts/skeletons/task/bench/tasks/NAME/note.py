"""What error lines and reports say of NAME."""

from bench.run.notes import COST, Metric, TaskNote

NOTE = TaskNote(
    "averages numbers",  # FILL IN: "method 'm' ..."
    "is a stream of numbers",  # FILL IN: "data set 'd' ..."
    {"error": Metric("squared error", "lower"), **COST},  # FILL IN: what is measured, the main metric first
    ("samples",),  # the keys that say how long a run is
)
