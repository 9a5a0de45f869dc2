"""Checks of multilayer perceptrons: the shapes of consecutive layers must match."""

from typing import Final

from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.neural_network._stochastic_optimizers import AdamOptimizer, SGDOptimizer
from sklearn.preprocessing import LabelBinarizer

from worker.runtimes.sklearn.inspection.part import Part
from worker.runtimes.sklearn.inspection.trusted_type import TrustedType

ACTIVATIONS: Final = ("identity", "logistic", "tanh", "relu", "softmax")


def _check_network(part: Part) -> None:
    width, layers = part.columns(), part.count("n_layers_", 2)
    matrices = part.sequence("coefs_", layers - 1)
    biases = part.sequence("intercepts_", layers - 1)
    for matrix, bias in zip(matrices, biases, strict=True):
        width = part.as_array(matrix, "coefs_", (width, None)).shape[1]
        part.as_array(bias, "intercepts_", (width,))
    part.ensure(part.count("n_outputs_") == width, "n_outputs_", "the width of the last layer")
    part.choice("activation", ACTIVATIONS)
    part.choice("out_activation_", ACTIVATIONS)
    for name in ("_best_coefs", "_best_intercepts"):
        if part.has(name):
            part.sequence(name, layers - 1)
    if part.has("_optimizer"):
        part.object("_optimizer", (AdamOptimizer, SGDOptimizer))


def _check_classifier(part: Part) -> None:
    _check_network(part)
    classes = part.classes()
    width = part.count("n_outputs_")
    part.ensure(width == (1 if classes == 2 else classes), "n_outputs_", "one for each class")
    binarizer = part.object("_label_binarizer", (LabelBinarizer,))
    part.ensure(binarizer.classes() == classes, "_label_binarizer", "for the same classes")


_FITTED: Final = "n_features_in_ n_outputs_ n_layers_ out_activation_ coefs_ intercepts_"
_KEPT: Final = (
    "loss n_iter_ t_ _best_coefs _best_intercepts loss_curve_ _no_improvement_count best_loss_"
    " validation_scores_ best_validation_score_ _optimizer loss_ _random_state"
)
_OPTIMIZER: Final = "learning_rate_init learning_rate"

TRUSTED: Final = (
    TrustedType(MLPClassifier, f"{_FITTED} _label_binarizer", _check_classifier, f"{_KEPT} classes_"),
    TrustedType(MLPRegressor, _FITTED, _check_network, _KEPT),
    TrustedType(AdamOptimizer, kept=f"{_OPTIMIZER} beta_1 beta_2 epsilon t ms vs"),
    TrustedType(SGDOptimizer, kept=f"{_OPTIMIZER} lr_schedule momentum nesterov power_t velocities"),
)
