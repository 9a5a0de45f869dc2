"""Hyperparameters of each algorithm, with bounds and defaults.

`GET /algorithms` shows these schemas, and the API validates `params` of training jobs with them, as does the
worker. They need no ML library.
"""

import math
from typing import Annotated, Final, Literal, Self

from pydantic import ConfigDict, Field

from app.http.body import CleanStr, StrictBody

FOREST_SHARE: Final = 0.3
"""The share of its trees that a forest grows when it competes."""

BOOSTING_SHARE: Final = 0.4
"""The share of its rounds. With fewer, it predicts the rare class of imbalanced data too often."""

Width = Annotated[int, Field(ge=1, le=2048)]
Weight = Annotated[float, Field(gt=0, le=1e6, allow_inf_nan=False)]


class Hyperparameters(StrictBody):
    """Hyperparameters that every algorithm has."""

    model_config = ConfigDict(frozen=True)

    patience: int = Field(
        5,
        ge=0,
        le=1000,
        description="Stop after this many epochs without a lower validation loss; 0: never. Only for"
        " algorithms that keep the best epoch: `linear_svm`, `hist_gradient_boosting` and `mlp`.",
    )

    def fault(self, epochs: int) -> str | None:
        """Return why these values do not fit this number of epochs, or None if they do."""
        return None

    def for_epochs(self, epochs: int) -> Self:
        """Return a copy that fits this number of epochs."""
        return self

    def for_competition(self) -> Self:
        """Return a copy that is cheaper to train, and nearly as good: to compare candidates with."""
        return self

    def shortened(self, share: float) -> Self:
        """Return a copy for this share of the epochs, if the epochs divide the work."""
        return self


class Balanced(Hyperparameters):
    """Hyperparameters of algorithms that can weight rows."""

    balance_classes: bool = Field(
        False, description="Weight each row by the inverse frequency of its class. Ignored for regression."
    )
    class_weights: dict[CleanStr, Weight] | None = Field(
        None,
        max_length=1000,
        description='Weight of the rows of each class: `{"fraud": 10}`; 1 for the classes not named.'
        " Multiplies those of `balance_classes`. Ignored for regression.",
    )


class Logistic(Balanced):
    """Multinomial logistic regression by L-BFGS; by SAGA if the penalty is not `l2`."""

    alpha: float | None = Field(
        None, ge=0, le=10, description="Weight of the penalty. Default: 1 / number of training rows."
    )
    penalty: Literal["l2", "l1", "elasticnet"] = "l2"
    l1_ratio: float = Field(0.15, ge=0, le=1, description="Share of L1 in `elasticnet`.")
    steps: int = Field(
        25, ge=1, le=1000, description="Iterations in an epoch. Training ends when it has converged."
    )


class Linear(Balanced):
    """A linear model by stochastic gradient descent; an epoch is one pass, or several over few rows."""

    alpha: float = Field(1e-5, ge=0, le=10, description="Weight of the penalty.")
    penalty: Literal["l2", "l1", "elasticnet"] = "l2"
    l1_ratio: float = Field(0.15, ge=0, le=1, description="Share of L1 in `elasticnet`.")
    step: float = Field(
        1.0,
        gt=0,
        le=100,
        description="Step size, as a multiple of the inverse mean squared length of a row.",
    )


class MultinomialBayes(Balanced):
    """Multinomial naive Bayes; it needs one pass over the rows, so training ends after one epoch."""

    alpha: float = Field(
        1.0, gt=0, le=1000, description="Added to each count (Laplace or Lidstone smoothing)."
    )
    fit_prior: bool = Field(
        True, description="Learn class frequencies; otherwise all classes are equally likely."
    )


class RandomForest(Balanced):
    """Trees grown independently of each other; each epoch adds an equal share."""

    n_estimators: int = Field(100, ge=1, le=2000, description="Number of trees after all epochs.")
    max_depth: int | None = Field(None, ge=1, le=100)
    min_samples_leaf: int = Field(1, ge=1, le=10_000)
    max_features: Literal["auto", "sqrt", "log2", "all"] = Field(
        "auto",
        description="How many columns of the encoded rows a split considers; `auto`: the square root for a"
        " classification, all for a regression.",
    )

    def fault(self, epochs: int) -> str | None:
        """Return why there are fewer trees than epochs, or None."""
        return _too_few("n_estimators", self.n_estimators, epochs)

    def for_epochs(self, epochs: int) -> Self:
        """Return a copy with at least one per epoch."""
        return self.model_copy(update={"n_estimators": max(self.n_estimators, epochs)})

    def for_competition(self) -> Self:
        """Return a copy with 30 % of the trees."""
        return self.shortened(FOREST_SHARE)

    def shortened(self, share: float) -> Self:
        """Return a copy with this share of the trees."""
        return self.model_copy(update={"n_estimators": math.ceil(share * self.n_estimators)})


class HistGradientBoosting(Balanced):
    """Trees that each correct the ones before; each epoch adds an equal share of the rounds."""

    max_iter: int = Field(100, ge=1, le=2000, description="Number of rounds after all epochs.")
    learning_rate: float = Field(0.1, gt=0, le=1)
    max_leaf_nodes: int = Field(31, ge=2, le=1024)
    max_depth: int | None = Field(None, ge=1, le=100)
    min_samples_leaf: int = Field(20, ge=1, le=10_000)
    l2_regularization: float = Field(0.0, ge=0, le=1000)
    max_features: float = Field(1.0, gt=0, le=1, description="Share of columns that a split considers.")

    def fault(self, epochs: int) -> str | None:
        """Return why there are fewer rounds than epochs, or None."""
        return _too_few("max_iter", self.max_iter, epochs)

    def for_epochs(self, epochs: int) -> Self:
        """Return a copy with at least one per epoch."""
        return self.model_copy(update={"max_iter": max(self.max_iter, epochs)})

    def for_competition(self) -> Self:
        """Return a copy with 40 % of the rounds, each of which learns accordingly more."""
        learning_rate = min(1.0, self.learning_rate / BOOSTING_SHARE)
        return self.shortened(BOOSTING_SHARE).model_copy(update={"learning_rate": learning_rate})

    def shortened(self, share: float) -> Self:
        """Return a copy with this share of the rounds."""
        return self.model_copy(update={"max_iter": math.ceil(share * self.max_iter)})


class Ridge(Hyperparameters):
    """Least squares with an L2 penalty, by conjugate gradients; each step is one pass over the rows."""

    alpha: float = Field(1.0, ge=0, le=1e9, description="Weight of the penalty.")
    steps: int = Field(
        10, ge=1, le=100, description="Steps in an epoch. Training ends at the exact solution."
    )


class Network(Balanced):
    """A multilayer perceptron trained by Adam; an epoch is one pass, or several over few rows."""

    hidden_layer_sizes: list[Width] = Field([64], min_length=1, max_length=5)
    activation: Literal["relu", "tanh", "logistic"] = "relu"
    alpha: float = Field(1e-4, ge=0, le=10, description="Weight of the L2 penalty.")
    learning_rate: float = Field(0.003, gt=0, le=1)
    batch_size: int = Field(64, ge=1, le=10_000, description="Rows per step.")


def _too_few(name: str, got: int, epochs: int) -> str | None:
    return f"{name} is {got}, but each of the {epochs} epochs needs one" if got < epochs else None
