"""Outside references of valuation baselines: the Shapley value by its definition, torch's gradients and optimizers, scikit-learn."""

from __future__ import annotations

from outside_made import of_test

KNN, HEADS, PROTOTYPES = (f"methods/valuation/test_{name}.py" for name in ("knn_shapley", "heads", "prototypes"))
REFERENCES = {
    "random": of_test(PROTOTYPES, "test_random_values_are_uniform_and_independent_of_the_points"),
    "knn_shapley": of_test(KNN, "test_the_recursion_is_the_shapley_value", 6, 2),
    "el2n": of_test(HEADS, "test_el2n_is_the_mean_error_of_networks_trained_one_by_one", 8),
    "prototypes": of_test(PROTOTYPES, "test_clusters_that_are_plain_to_see_are_those_of_k_means"),
    "tracin": of_test(HEADS, "test_tracin_is_the_product_of_autograd_s_gradients_at_each_checkpoint"),
    "influence": of_test(HEADS, "test_influence_is_what_leaving_a_point_out_does"),
    "nearest_cost": of_test("methods/valuation/test_nearest_cost.py", "test_the_cost_is_that_of_the_best_pair"),
}
