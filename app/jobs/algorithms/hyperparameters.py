"""Hyperparameters of each algorithm, with bounds and defaults.

`GET /algorithms` shows these schemas, and the API validates `params` of training jobs with them, as does the
worker. They need no ML library.
"""

from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field

from app.http.body import StrictBody

Width = Annotated[int, Field(ge=1, le=2048)]


class Hyperparameters(StrictBody):
    """Hyperparameters that every algorithm has."""

    model_config = ConfigDict(frozen=True)

    patience: int = Field(
        5,
        ge=0,
        le=1000,
        description="Stop after this many epochs without a lower validation loss; 0: never. "
        "The model of the best epoch is kept.",
    )

    def fault(self, epochs: int) -> str | None:
        """Return why these values do not fit this number of epochs, or None if they do."""
        return None

    def for_epochs(self, epochs: int) -> Self:
        """Return a copy that fits this number of epochs."""
        return self


class Balanced(Hyperparameters):
    """Hyperparameters of algorithms that can weight rows."""

    balance_classes: bool = Field(
        False, description="Weight each row by the inverse frequency of its class. Ignored for regression."
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
    max_features: Literal["sqrt", "log2", "all"] = Field(
        "sqrt", description="How many columns of the encoded rows a split considers."
    )

    def fault(self, epochs: int) -> str | None:
        """Return why there are fewer trees than epochs, or None."""
        return _too_few("n_estimators", self.n_estimators, epochs)

    def for_epochs(self, epochs: int) -> Self:
        """Return a copy with at least one per epoch."""
        return self.model_copy(update={"n_estimators": max(self.n_estimators, epochs)})


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


class Ridge(Hyperparameters):
    """Least squares with an L2 penalty, by conjugate gradients; each step is one pass over the rows."""

    alpha: float = Field(1.0, ge=0, le=1e9, description="Weight of the penalty.")
    steps: int = Field(5, ge=1, le=100, description="Steps in an epoch. Training ends at the exact solution.")


class Network(Hyperparameters):
    """A multilayer perceptron trained by Adam; an epoch is one pass, or several over few rows."""

    hidden_layer_sizes: list[Width] = Field([64], min_length=1, max_length=5)
    activation: Literal["relu", "tanh", "logistic"] = "relu"
    alpha: float = Field(1e-4, ge=0, le=10, description="Weight of the L2 penalty.")
    learning_rate: float = Field(0.003, gt=0, le=1)
    batch_size: int = Field(64, ge=1, le=10_000, description="Rows per step.")


def _too_few(name: str, got: int, epochs: int) -> str | None:
    return f"{name} is {got}, but each of the {epochs} epochs needs one" if got < epochs else None
