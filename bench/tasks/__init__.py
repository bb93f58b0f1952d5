"""The protocols. Each task's module holds its loop and computes every metric; a method never grades itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Metric:
    """How reports speak of a number: its label, and which direction is better (None: neither)."""

    label: str
    better: Literal["higher", "lower"] | None = None


@dataclass(frozen=True)
class TaskNote:
    """How error lines and reports speak of a task: what its methods do, what its data sets are, what it measures (main metrics first).

    length: the task's keys that say how long a run is; runs compared at an equal budget may differ in them.
    """

    method: str
    data: str
    metrics: dict[str, Metric]
    length: tuple[str, ...] = ()


COST = {"gradient_evaluations": Metric("gradient evaluations", "lower")}

TASKS = {
    "classification": TaskNote(
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
            "epoch": Metric("epoch"),
            "lr": Metric("step size"),
            **COST,
        },
        ("epochs",),
    ),
    "finite_sum": TaskNote(
        "minimises a sum of components",
        "is a stochastic or finite-sum objective",
        {
            "mean_grad_l1_per_dim": Metric("mean gradient norm, l1 / d", "lower"),
            "mean_grad_l1": Metric("mean gradient norm, l1", "lower"),
            "mean_grad_l2": Metric("mean gradient norm, l2", "lower"),
            "last_grad_l1": Metric("last gradient norm, l1", "lower"),
            "tracking_mse": Metric("mean squared error of the estimate", "lower"),
            "iterations": Metric("iterations T"),
            **COST,
        },
        ("horizons",),
    ),
    "doubly_stochastic": TaskNote(
        "minimises a finite sum of noisy components",
        "is a finite sum with infinite data",
        {
            "variance": Metric("gradient variance", "lower"),
            "variance_mc": Metric("gradient variance, Monte Carlo", "lower"),
            "error": Metric("squared error", "lower"),
            "stationary_error": Metric("stationary error", "lower"),
            "distance": Metric("distance to the optimum", "lower"),
            "iterations_to_epsilon": Metric("iterations to epsilon", "lower"),
            "subsampling_variance": Metric("variance by subsampling", "lower"),
            "monte_carlo_variance": Metric("variance by Monte Carlo", "lower"),
            "excess_variance": Metric("variance over the best split's", "lower"),
            "variance_ratio": Metric("Monte Carlo over formula"),
            "monte_carlo_share": Metric("share of Monte Carlo in the variance"),
            "tau2": Metric("heterogeneity tau^2"),
            "mean_s": Metric("mean s_i"),
            "var_s": Metric("variance of s_i"),
            "noise_correlation": Metric("correlation of components' noise"),
            "best_batch_size": Metric("best batch size b"),
            "optimal_batch_size": Metric("optimal batch size b*"),
            "smallest_over_best": Metric("V(smallest b) / V(best b)"),
            "largest_over_best": Metric("V(largest b) / V(best b)"),
            "largest_increase": Metric("largest V(next b) / V(b)"),
            "batch_size": Metric("batch size b"),
            "mc_samples": Metric("noise draws m"),
            "lr": Metric("step size"),
            "epsilon": Metric("epsilon"),
            "tuned_lr": Metric("best step size"),
            "iterations": Metric("iterations"),
            **COST,
        },
        ("steps",),
    ),
    "portfolio": TaskNote(
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
    ),
    "inference": TaskNote(
        "fits a Gaussian by variational inference",
        "is a Bayesian model",
        {
            "kl": Metric("KL(q || q*)", "lower"),
            "kl_reverse": Metric("KL(q* || q)", "lower"),
            "elbo_gap": Metric("ELBO gap", "lower"),
            "lost_pd": Metric("share of seeds that lost positive-definiteness", "lower"),
            "lost_pd_steps": Metric("steps that lost positive-definiteness", "lower"),
            "gap_error": Metric("ELBO gap minus KL(q || q*), absolute"),
            "slope": Metric("log-log slope of KL(q || q*)"),
            "chosen_lr": Metric("step size of the best setting"),
            "chosen_decay": Metric("its decay"),
            "iterations": Metric("iterations"),
            **COST,
        },
        ("grid",),  # the best of a whole family against one setting
    ),
    "curvature": TaskNote(
        "is a parameterisation of a Gaussian",
        "is a model of one weight, whose objective can be mapped",
        {
            "share_nonconvex": Metric("share of the map, not convex", "lower"),
            "min_eigenvalue": Metric("smallest eigenvalue of the Hessian on the map", "higher"),
            "jensen_gap": Metric("-ELBO at the midpoint minus its mean at the ends", "lower"),
            "closed_form_error": Metric("relative error of the closed form of the Hessian", "lower"),
            "low_eigenvalue": Metric("smaller eigenvalue of the Hessian", "higher"),
            "high_eigenvalue": Metric("larger eigenvalue of the Hessian", "higher"),
            "relative_curvature": Metric("smallest eigenvalue, relative, cut to [-1, 1]"),
            "m": Metric("mean m"),
            "v": Metric("variance v"),
            **COST,
        },
    ),
    "feature_learning": TaskNote(
        "trains the first layer of a two-layer network",
        "is a Gaussian index model",
        {
            "overlap_mean": Metric("mean overlap of neurons", "higher"),
            "test_error": Metric("test error of the second phase", "lower"),
            "hitting_time": Metric("samples to recovery", "lower"),
            "hitting_slope": Metric("log-log slope of samples to recovery over d", "lower"),
            "theory_slope": Metric("exponent of d in theory", "lower"),
            "tuned_hitting_time": Metric("samples to recovery, best setting", "lower"),
            "tuned_hitting_slope": Metric("log-log slope of samples to recovery over d, best settings", "lower"),
            "overlap_max": Metric("largest overlap of a neuron", "higher"),
            "tuned_overlap_max": Metric("largest overlap of a neuron, best setting", "higher"),
            "tuned_overlap_mean": Metric("mean overlap, best setting", "higher"),
            "overlap_1": Metric("largest overlap with direction 1", "higher"),
            "overlap_2": Metric("largest overlap with direction 2", "higher"),
            "overlap_3": Metric("largest overlap with direction 3", "higher"),
            "projection": Metric("projection on the linear part", "higher"),
            "aligned": Metric("share of aligned neurons", "higher"),
            "network_error": Metric("test error of the network as trained", "lower"),
            "train_error": Metric("training error", "lower"),
            "test_loss": Metric("test loss of the network as trained", "lower"),
            "population_loss": Metric("population loss", "lower"),
            "norm_error": Metric("largest error of a row's unit norm"),
            "samples": Metric("samples n", "lower"),
            "samples_per_dim": Metric("samples n / d"),
            "dimension": Metric("dimension d"),
            "lr": Metric("step size kappa, times the power of d"),
            "inner_lr": Metric("inner step c, of c / d"),
            "tuned_lr": Metric("best step size"),
            "tuned_inner_lr": Metric("best inner step"),
            "iterations": Metric("steps"),
            "information_exponent": Metric("information exponent"),
            "generative_exponent": Metric("generative exponent"),
            **COST,
        },
        ("grid",),
    ),
    "teacher_recovery": TaskNote(
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
    ),
}
