"""What a skops file may hold, in one place: uploads, our own artifacts and checkpoints alike.

skops itself trusts scikit-learn's estimators, losses and links, numbers, texts and containers, and the
universal functions of NumPy and SciPy. Beyond that only what is listed here is constructed, whatever a file
asks for; the file's own list of types is never asked.
"""

from typing import Final

TRUSTED: Final = (
    # Data types; an imputer keeps the one that it was fitted with.
    "numpy.dtype",
    # Trees. skops leaves them out because their arrays hold places that scikit-learn follows without looking;
    # `worker.runtimes.inspection` looks first.
    "sklearn.tree._tree.Tree",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    # Histogram boosting with categories passes its numbers through `partial(check_array, …)`. A partial is
    # nothing but the function in it, which has to be a trusted one too.
    "functools.partial",
    "sklearn.utils.validation.check_array",
    # What a network that is still learning needs.
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
)
