"""What each algorithm may be told: its hyperparameters, with their bounds and defaults.

These are the schemas that `GET /algorithms` shows and that `params` of a training job is checked against; the
handler reads the same ones. They are pure: the libraries that do the work are known in the worker only.
"""

from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field

from app.http.body import StrictBody

Width = Annotated[int, Field(ge=1, le=2048)]


class Hyperparameters(StrictBody):
    """What every algorithm may be told."""

    model_config = ConfigDict(frozen=True)

    patience: int = Field(
        5,
        ge=0,
        le=1000,
        description="Stop after so many epochs without a lower validation loss; 0: never. "
        "Whichever epoch was best is kept.",
    )

    def fault(self, epochs: int) -> str | None:
        """What does not go together with this number of epochs, as a sentence."""
        return None

    def for_epochs(self, epochs: int) -> Self:
        """The same, changed where it does not go together with this number of epochs."""
        return self


class Balanced(Hyperparameters):
    """For those that can weigh rows."""

    balance_classes: bool = Field(
        False, description="Weigh each row by how rare its class is. Not for regression."
    )


class Linear(Balanced):
    """Stochastic gradient descent on a linear function; an epoch is a pass, with few rows several."""

    alpha: float = Field(1e-5, ge=0, le=10, description="The weight of the penalty.")
    penalty: Literal["l2", "l1", "elasticnet"] = "l2"
    l1_ratio: float = Field(0.15, ge=0, le=1, description="The share of L1 in `elasticnet`.")
    step: float = Field(
        1.0,
        gt=0,
        le=100,
        description="The length of a step, as a multiple of what the size of the rows suggests.",
    )


class MultinomialBayes(Balanced):
    """Counting; it is done after one pass over the rows, so one epoch is all there is."""

    alpha: float = Field(1.0, gt=0, le=1000, description="Added to each count (Laplace, Lidstone).")
    fit_prior: bool = Field(True, description="Learn how frequent the classes are, or take them as equal.")


class RandomForest(Balanced):
    """Trees grown independently of each other; each epoch adds its share of them."""

    n_estimators: int = Field(100, ge=1, le=2000, description="How many trees there are after all epochs.")
    max_depth: int | None = Field(None, ge=1, le=100)
    min_samples_leaf: int = Field(1, ge=1, le=10_000)
    max_features: Literal["sqrt", "log2", "all"] = Field(
        "sqrt", description="How many columns of the encoded rows a split may choose from."
    )

    def fault(self, epochs: int) -> str | None:
        """Each epoch needs a tree."""
        return _too_few("n_estimators", self.n_estimators, epochs)

    def for_epochs(self, epochs: int) -> Self:
        """One for each epoch at least."""
        return self.model_copy(update={"n_estimators": max(self.n_estimators, epochs)})


class HistGradientBoosting(Balanced):
    """Trees that each correct those before; every epoch adds its share of the rounds."""

    max_iter: int = Field(100, ge=1, le=2000, description="How many rounds there are after all epochs.")
    learning_rate: float = Field(0.1, gt=0, le=1)
    max_leaf_nodes: int = Field(31, ge=2, le=1024)
    max_depth: int | None = Field(None, ge=1, le=100)
    min_samples_leaf: int = Field(20, ge=1, le=10_000)
    l2_regularization: float = Field(0.0, ge=0, le=1000)
    max_features: float = Field(1.0, gt=0, le=1, description="The share of columns a split may choose from.")

    def fault(self, epochs: int) -> str | None:
        """Each epoch needs a round."""
        return _too_few("max_iter", self.max_iter, epochs)

    def for_epochs(self, epochs: int) -> Self:
        """One for each epoch at least."""
        return self.model_copy(update={"max_iter": max(self.max_iter, epochs)})


class Ridge(Hyperparameters):
    """Least squares with an L2 penalty, by conjugate gradients; one step is one pass over the rows."""

    alpha: float = Field(1.0, ge=0, le=1e9, description="The weight of the penalty.")
    steps: int = Field(
        5, ge=1, le=100, description="Steps in an epoch. It ends when nothing is left to gain."
    )


class Network(Hyperparameters):
    """A multilayer perceptron, trained by Adam; an epoch is a pass, with few rows several."""

    hidden_layer_sizes: list[Width] = Field([64], min_length=1, max_length=5)
    activation: Literal["relu", "tanh", "logistic"] = "relu"
    alpha: float = Field(1e-4, ge=0, le=10, description="The weight of the L2 penalty.")
    learning_rate: float = Field(0.003, gt=0, le=1)
    batch_size: int = Field(64, ge=1, le=10_000, description="Rows in a step.")


def _too_few(name: str, got: int, epochs: int) -> str | None:
    return f"{name} is {got}, but each of the {epochs} epochs needs one" if got < epochs else None
