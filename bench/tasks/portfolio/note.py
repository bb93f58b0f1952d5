"""What error lines and reports say of portfolio."""

from bench.run.notes import Metric, TaskNote

NOTE = TaskNote(
    "chooses portfolio weights for the next period",
    "is a series of price relatives",
    {
        "wealth": Metric("final wealth", "higher"),
        "annual_return": Metric("annual return", "higher"),
        "sharpe": Metric("Sharpe ratio", "higher"),
        "max_drawdown": Metric("maximum drawdown", "lower"),
        "turnover": Metric("turnover a period", "lower"),
        "calmar": Metric("Calmar ratio", "higher"),
        "annual_std": Metric("annual standard deviation", "lower"),
        "excess_return": Metric("mean excess return a period", "higher"),
        "gross_wealth": Metric("final wealth before costs", "higher"),
        "log_wealth": Metric("log final wealth", "higher"),
        "log10_wealth": Metric("wealth, log10"),
        "best_log_wealth": Metric("log final wealth, best of the other keys", "higher"),
        "regret": Metric("log-wealth regret a period", "lower"),
        "simplex_error": Metric("largest error of the simplex", "lower"),
        "cost": Metric("cost of a full turnover"),
        "period": Metric("period"),
        "periods": Metric("periods T"),
    },
    (
        "grid",
        "selection",
        "landscape",
    ),  # a whole family, and how one of it is chosen, against a member or a single strategy
    {"cost": "task.costs"},
    "bench.tasks.portfolio.market.Market",
    words={
        "drop_first=True": "without the first period",
        "toolbox_annualisation=True": "years rounded as in the toolbox",
        "toolbox_annualisation=False": "years with their fractions",
    },
)
