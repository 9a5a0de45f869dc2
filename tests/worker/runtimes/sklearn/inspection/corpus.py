"""A fitted model of every trusted class with rows for it, as material for mutations and attacks."""

import functools
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import sparse
from sklearn import ensemble, linear_model, naive_bayes, preprocessing, svm, tree
from sklearn import feature_selection as selection
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import KMeans, MiniBatchKMeans
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.decomposition import NMF, PCA, IncrementalPCA, TruncatedSVD
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis, QuadraticDiscriminantAnalysis
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.experimental import enable_halving_search_cv  # noqa: F401  # or the two cannot be imported
from sklearn.feature_extraction.text import (
    CountVectorizer,
    HashingVectorizer,
    TfidfTransformer,
    TfidfVectorizer,
)
from sklearn.feature_selection import SelectFromModel, VarianceThreshold
from sklearn.frozen import FrozenEstimator
from sklearn.gaussian_process import GaussianProcessClassifier, GaussianProcessRegressor, kernels
from sklearn.impute import KNNImputer, SimpleImputer
from sklearn.metrics import f1_score, make_scorer
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import (
    FixedThresholdClassifier,
    GridSearchCV,
    HalvingGridSearchCV,
    HalvingRandomSearchCV,
    RandomizedSearchCV,
    TunedThresholdClassifierCV,
)
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier
from sklearn.multioutput import MultiOutputRegressor
from sklearn.naive_bayes import MultinomialNB
from sklearn.neighbors import (
    KNeighborsClassifier,
    KNeighborsRegressor,
    LocalOutlierFactor,
    NearestCentroid,
    RadiusNeighborsClassifier,
    RadiusNeighborsRegressor,
)
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, OrdinalEncoder, StandardScaler

_random = np.random.default_rng(7)
KINDS = np.arange(60) % 3
ROWS = np.abs(_random.normal(KINDS[:, None], 0.7, (60, 4)))
PAIR = (KINDS == 1).astype(int)
VALUES = ROWS @ np.array([1.0, 2.0, 0.5, 3.0]) + 1
CODES = np.column_stack([KINDS, np.arange(60) % 5, ROWS[:, 0]])
WITH_GAPS = np.where(_random.random(ROWS.shape) < 0.2, np.nan, ROWS)
TEXTS = [
    ("good fine", "bad slow", "so so it is")[kind] + f" word{index % 7}" for index, kind in enumerate(KINDS)
]


def _quietly(deprecated: Callable[[], Any]) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return deprecated()


_logistic = functools.partial(linear_model.LogisticRegression, max_iter=50)

NUMERIC_CLASSIFIERS: dict[str, Any] = {
    "logistic": _logistic(),
    "logistic cv": linear_model.LogisticRegressionCV(Cs=[1.0], cv=2, max_iter=20),
    "ridge classifier": linear_model.RidgeClassifier(),
    "ridge classifier cv": linear_model.RidgeClassifierCV(),
    "sgd": linear_model.SGDClassifier(average=5),
    "perceptron": linear_model.Perceptron(),
    "passive": _quietly(linear_model.PassiveAggressiveClassifier),
    "linear svc": svm.LinearSVC(),
    "svc": svm.SVC(),
    "svc with probabilities": svm.SVC(kernel="poly", probability=True),
    "nu svc": svm.NuSVC(nu=0.3),
    "tree": tree.DecisionTreeClassifier(max_depth=3),
    "extra tree": tree.ExtraTreeClassifier(max_depth=3),
    "forest": ensemble.RandomForestClassifier(3, max_depth=3),
    "extra trees": ensemble.ExtraTreesClassifier(3, max_depth=3),
    "boosting": ensemble.GradientBoostingClassifier(n_estimators=2, max_depth=2),
    "hist boosting": ensemble.HistGradientBoostingClassifier(max_iter=2, min_samples_leaf=5),
    "bagging": ensemble.BaggingClassifier(tree.DecisionTreeClassifier(max_depth=2), 3, max_features=0.5),
    "ada boost": ensemble.AdaBoostClassifier(n_estimators=3),
    "voting": ensemble.VotingClassifier(
        [("a", _logistic()), ("b", tree.DecisionTreeClassifier(max_depth=2))]
    ),
    "stacking": ensemble.StackingClassifier([("a", _logistic())], _logistic(), cv=2),
    "one to rest": OneVsRestClassifier(_logistic()),
    "one to one": OneVsOneClassifier(_logistic()),
    "grid search": GridSearchCV(_logistic(), {"C": [1.0, 2.0]}, cv=2),
    "random search": RandomizedSearchCV(_logistic(), {"C": [1.0, 2.0]}, n_iter=2, cv=2),
    "network": MLPClassifier((5,), max_iter=5),
    "network by sgd": MLPClassifier((5,), max_iter=5, solver="sgd"),
    "neighbours": KNeighborsClassifier(3, algorithm="brute", weights="distance"),
    "centroids": NearestCentroid(),
    "gaussian": naive_bayes.GaussianNB(),
    "multinomial": MultinomialNB(),
    "bernoulli": naive_bayes.BernoulliNB(),
    "complement": naive_bayes.ComplementNB(),
    "linear discriminant": LinearDiscriminantAnalysis(),
    "quadratic discriminant": QuadraticDiscriminantAnalysis(),
    "dummy": DummyClassifier(),
    "scaler": make_pipeline(StandardScaler(), _logistic()),
    "min max": make_pipeline(preprocessing.MinMaxScaler(), _logistic()),
    "max abs": make_pipeline(preprocessing.MaxAbsScaler(), _logistic()),
    "robust": make_pipeline(preprocessing.RobustScaler(), _logistic()),
    "normalizer": make_pipeline(preprocessing.Normalizer(), _logistic()),
    "binarizer": make_pipeline(preprocessing.Binarizer(), MultinomialNB()),
    "power": make_pipeline(preprocessing.PowerTransformer(), _logistic()),
    "quantiles": make_pipeline(preprocessing.QuantileTransformer(n_quantiles=5), _logistic()),
    "polynomial": make_pipeline(preprocessing.PolynomialFeatures(2), _logistic()),
    "bins": make_pipeline(preprocessing.KBinsDiscretizer(3), _logistic()),
    "bins, sparse": make_pipeline(preprocessing.KBinsDiscretizer(3), svm.SVC()),
    "pca": make_pipeline(PCA(2), _logistic()),
    "svd": make_pipeline(TruncatedSVD(2), _logistic()),
    "variances": make_pipeline(VarianceThreshold(), _logistic()),
    "selection": make_pipeline(SelectFromModel(_logistic()), _logistic()),
    "function": make_pipeline(FunctionTransformer(np.log1p), _logistic()),
    "union": make_pipeline(FeatureUnion([("a", StandardScaler()), ("b", PCA(2))]), _logistic()),
    "calibrated": CalibratedClassifierCV(_logistic(), cv=2),
    "calibrated, isotonic": CalibratedClassifierCV(svm.LinearSVC(), method="isotonic", cv=2),
    "calibrated by temperature": CalibratedClassifierCV(_logistic(), method="temperature", cv=2),
    "neighbours in a tree": KNeighborsClassifier(3, algorithm="kd_tree", weights="distance"),
    "neighbours in a ball tree": KNeighborsClassifier(3, algorithm="ball_tree", metric="manhattan"),
    "neighbours as they come": KNeighborsClassifier(3, p=3),
    "neighbours within a radius": RadiusNeighborsClassifier(1.5, weights="distance", outlier_label=2),
    "neighbours within a radius, by hand": RadiusNeighborsClassifier(
        1.5, algorithm="brute", outlier_label="most_frequent"
    ),
    "neighbours within a radius, in a tree": RadiusNeighborsClassifier(9.0, algorithm="ball_tree"),
    "halving": HalvingGridSearchCV(_logistic(), {"C": [1.0, 2.0]}, cv=2, min_resources=30, random_state=1),
    "halving at random": HalvingRandomSearchCV(
        _logistic(), {"C": [1.0, 2.0]}, cv=2, n_candidates=2, min_resources=30, random_state=1
    ),
    "factors": make_pipeline(NMF(2, init="nndsvda", max_iter=500), _logistic()),
    "neighbours for gaps": make_pipeline(KNNImputer(n_neighbors=2, add_indicator=True), _logistic()),
    "best columns": make_pipeline(selection.SelectKBest(k=2), _logistic()),
    "best by chi2": make_pipeline(selection.SelectKBest(selection.chi2, k="all"), _logistic()),
    "best share": make_pipeline(selection.SelectPercentile(percentile=50), _logistic()),
    "false positives": make_pipeline(selection.SelectFpr(), _logistic()),
    "false discoveries": make_pipeline(selection.SelectFdr(), _logistic()),
    "family-wise": make_pipeline(selection.SelectFwe(), _logistic()),
    "univariate": make_pipeline(selection.GenericUnivariateSelect(mode="k_best", param=2), _logistic()),
    "elimination": selection.RFE(_logistic(), n_features_to_select=2),
    "elimination in a pipeline": make_pipeline(selection.RFECV(_logistic(), cv=2), _logistic()),
    "sequential": make_pipeline(
        selection.SequentialFeatureSelector(_logistic(), cv=2, n_features_to_select=2), _logistic()
    ),
    "splines": make_pipeline(preprocessing.SplineTransformer(), _logistic()),
    "splines, sparse": make_pipeline(
        preprocessing.SplineTransformer(
            degree=2, sparse_output=True, extrapolation="linear", include_bias=False
        ),
        _logistic(),
    ),
    "splines, periodic": make_pipeline(
        preprocessing.SplineTransformer(extrapolation="periodic"), _logistic()
    ),
    "batches of components": make_pipeline(IncrementalPCA(2), _logistic()),
    "process of classes": GaussianProcessClassifier(1.0 * kernels.RBF(1.0), optimizer=None),
    "grid of scores": GridSearchCV(
        _logistic(), {"C": [1.0]}, cv=2, scoring=make_scorer(f1_score, average="macro")
    ),
    "frozen": Pipeline([("a", FrozenEstimator(StandardScaler().fit(ROWS))), ("b", _logistic())]),
}

NUMERIC_REGRESSORS: dict[str, Any] = {
    "linear": linear_model.LinearRegression(),
    "ridge": linear_model.Ridge(),
    "ridge cv": linear_model.RidgeCV(),
    "lasso": linear_model.Lasso(),
    "lasso cv": linear_model.LassoCV(cv=2),
    "elastic net": linear_model.ElasticNet(),
    "elastic net cv": linear_model.ElasticNetCV(cv=2),
    "lars": linear_model.Lars(),
    "lars cv": linear_model.LarsCV(cv=2),
    "lasso lars": linear_model.LassoLars(),
    "lasso lars cv": linear_model.LassoLarsCV(cv=2),
    "lasso lars ic": linear_model.LassoLarsIC(),
    "matching pursuit": linear_model.OrthogonalMatchingPursuit(),
    "matching pursuit cv": linear_model.OrthogonalMatchingPursuitCV(cv=2),
    "bayesian ridge": linear_model.BayesianRidge(),
    "ard": linear_model.ARDRegression(),
    "huber": linear_model.HuberRegressor(),
    "quantile": linear_model.QuantileRegressor(),
    "theil sen": linear_model.TheilSenRegressor(),
    "poisson": linear_model.PoissonRegressor(),
    "gamma": linear_model.GammaRegressor(),
    "tweedie": linear_model.TweedieRegressor(power=1.5),
    "tweedie by identity": linear_model.TweedieRegressor(power=0),
    "tweedie by logarithm": linear_model.TweedieRegressor(power=3, link="log"),
    "sgd regressor": linear_model.SGDRegressor(average=5),
    "passive regressor": _quietly(linear_model.PassiveAggressiveRegressor),
    "consensus": linear_model.RANSACRegressor(random_state=1),
    "linear svr": svm.LinearSVR(),
    "svr": svm.SVR(),
    "nu svr": svm.NuSVR(),
    "tree regressor": tree.DecisionTreeRegressor(max_depth=3),
    "extra tree regressor": tree.ExtraTreeRegressor(max_depth=3),
    "forest regressor": ensemble.RandomForestRegressor(3, max_depth=3),
    "extra trees regressor": ensemble.ExtraTreesRegressor(3, max_depth=3),
    "boosting regressor": ensemble.GradientBoostingRegressor(n_estimators=2, max_depth=2),
    "boosting of quantiles": ensemble.GradientBoostingRegressor(n_estimators=2, max_depth=2, loss="quantile"),
    "boosting by huber": ensemble.GradientBoostingRegressor(n_estimators=2, max_depth=2, loss="huber"),
    "boosting of errors": ensemble.GradientBoostingRegressor(
        n_estimators=2, max_depth=2, loss="absolute_error", init="zero"
    ),
    "hist boosting regressor": ensemble.HistGradientBoostingRegressor(max_iter=2, min_samples_leaf=5),
    "hist boosting of counts": ensemble.HistGradientBoostingRegressor(
        max_iter=2, min_samples_leaf=5, loss="poisson"
    ),
    "bagging regressor": ensemble.BaggingRegressor(tree.DecisionTreeRegressor(max_depth=2), 3),
    "ada boost regressor": ensemble.AdaBoostRegressor(n_estimators=3),
    "voting regressor": ensemble.VotingRegressor([("a", linear_model.Ridge())]),
    "stacking regressor": ensemble.StackingRegressor(
        [("a", linear_model.Ridge())], linear_model.Ridge(), cv=2
    ),
    "network regressor": MLPRegressor(hidden_layer_sizes=(5,), max_iter=5),
    "neighbours regressor": KNeighborsRegressor(3, algorithm="brute"),
    "neighbours regressor in a tree": KNeighborsRegressor(3, algorithm="ball_tree", leaf_size=5),
    "neighbours regressor within a radius": RadiusNeighborsRegressor(2.0, weights="distance"),
    "neighbours regressor within a radius, by hand": RadiusNeighborsRegressor(9.0, algorithm="brute"),
    "process": GaussianProcessRegressor(
        2.0 * kernels.RBF(np.ones(4)) + kernels.WhiteKernel(0.1), optimizer=None, normalize_y=True
    ),
    "process of Matern": GaussianProcessRegressor(
        kernels.Matern(nu=1.5) + kernels.RationalQuadratic() + kernels.ExpSineSquared(),
        alpha=1000.0,
        optimizer=None,
    ),
    "dummy regressor": DummyRegressor(),
    "target": TransformedTargetRegressor(linear_model.Ridge(), transformer=StandardScaler()),
    "target by function": TransformedTargetRegressor(
        linear_model.Ridge(), func=np.log1p, inverse_func=np.expm1
    ),
}

TWO_CLASSES: dict[str, Any] = {
    "logistic of two": _logistic(),
    "svc of two": svm.SVC(probability=True),
    "boosting of two": ensemble.GradientBoostingClassifier(n_estimators=2, max_depth=2),
    "exponential boosting": ensemble.GradientBoostingClassifier(
        n_estimators=2, max_depth=2, loss="exponential"
    ),
    "hist boosting of two": ensemble.HistGradientBoostingClassifier(max_iter=2, min_samples_leaf=5),
    "fixed threshold": FixedThresholdClassifier(_logistic(), threshold=0.3),
    "tuned threshold": TunedThresholdClassifierCV(_logistic(), cv=2, scoring="f1"),
    "calibrated of two": CalibratedClassifierCV(svm.LinearSVC(), cv=2),
    "process of two": GaussianProcessClassifier(kernels.DotProduct(1.0), optimizer=None),
    "network of two": MLPClassifier((5,), max_iter=5),
}

SEVERAL_VALUES: dict[str, Any] = {
    "multi task lasso": linear_model.MultiTaskLasso(),
    "several regressors": MultiOutputRegressor(linear_model.Ridge()),
    "multi task elastic net": linear_model.MultiTaskElasticNet(),
    "forest of several values": ensemble.RandomForestRegressor(2, max_depth=2),
}

NO_TARGET: dict[str, Any] = {
    "clusters": KMeans(3, random_state=1, n_init=1),
    "clusters by batches": MiniBatchKMeans(3, random_state=1, n_init=1),
    "mixture": GaussianMixture(3, random_state=1),
    "mixture, tied": GaussianMixture(2, covariance_type="tied", random_state=1),
    "mixture, diagonal": GaussianMixture(2, covariance_type="diag", random_state=1),
    "mixture, spherical": GaussianMixture(2, covariance_type="spherical", random_state=1),
    "factors alone": NMF(2, max_iter=1000, random_state=1),
    "factors by divergence": NMF(
        3, solver="mu", beta_loss="kullback-leibler", alpha_W=0.01, max_iter=1000, random_state=1
    ),
    "isolation forest": ensemble.IsolationForest(n_estimators=3, max_features=0.5, random_state=1),
    "isolation of all columns": ensemble.IsolationForest(n_estimators=3, random_state=1),
    "local outliers": LocalOutlierFactor(5, novelty=True),
    "one class": make_pipeline(StandardScaler(), svm.OneClassSVM()),
    "components": make_pipeline(StandardScaler(), PCA(2)),
}

OF_CODES: dict[str, Any] = {
    "one-hot": make_pipeline(OneHotEncoder(handle_unknown="ignore"), _logistic()),
    "one-hot of few": make_pipeline(
        ColumnTransformer(
            [("few", OneHotEncoder(max_categories=3, handle_unknown="infrequent_if_exist"), [0, 1])],
            remainder="passthrough",
        ),
        _logistic(),
    ),
    "one-hot without the first": make_pipeline(
        ColumnTransformer([("codes", OneHotEncoder(drop="first"), slice(0, 2))]), svm.SVC()
    ),
    "ordinal": make_pipeline(
        OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1), tree.DecisionTreeClassifier()
    ),
    "target encoder": make_pipeline(preprocessing.TargetEncoder(cv=2), _logistic()),
    "categories": ensemble.HistGradientBoostingClassifier(
        max_iter=2, min_samples_leaf=3, categorical_features=[0, 1]
    ),
    "categorical bayes": make_pipeline(
        ColumnTransformer([("codes", "passthrough", [0, 1])]), naive_bayes.CategoricalNB()
    ),
}

OF_GAPS: dict[str, Any] = {
    "imputer": make_pipeline(SimpleImputer(add_indicator=True), _logistic()),
    "imputer of texts": make_pipeline(
        SimpleImputer(strategy="constant", fill_value=-1.0), tree.DecisionTreeClassifier()
    ),
    "hist boosting of gaps": ensemble.HistGradientBoostingClassifier(max_iter=2, min_samples_leaf=5),
}

OF_TEXTS: dict[str, Any] = {
    "counts": make_pipeline(CountVectorizer(), MultinomialNB()),
    "tf-idf": make_pipeline(TfidfVectorizer(), _logistic()),
    "hashing": make_pipeline(
        HashingVectorizer(n_features=64), TfidfTransformer(), linear_model.SGDClassifier(random_state=1)
    ),
    "union of texts": make_pipeline(
        FeatureUnion([("words", TfidfVectorizer()), ("letters", CountVectorizer(analyzer="char"))]),
        _logistic(),
    ),
    "svc of texts": make_pipeline(TfidfVectorizer(), svm.SVC()),
    "neighbours of texts": make_pipeline(TfidfVectorizer(), KNeighborsClassifier(3)),
    "forest of texts": make_pipeline(CountVectorizer(), ensemble.RandomForestClassifier(2, max_depth=3)),
    "boosting of texts": make_pipeline(
        CountVectorizer(), ensemble.GradientBoostingClassifier(n_estimators=2, max_depth=2)
    ),
}

_GROUPS: tuple[tuple[dict[str, Any], Any, Any], ...] = (
    (NUMERIC_CLASSIFIERS, ROWS, KINDS),
    (TWO_CLASSES, ROWS, PAIR),
    (NUMERIC_REGRESSORS, ROWS, VALUES),
    (SEVERAL_VALUES, ROWS, np.column_stack([VALUES, -VALUES])),
    (NO_TARGET, ROWS, None),
    (OF_CODES, CODES, KINDS),
    (OF_GAPS, WITH_GAPS, KINDS),
    (OF_TEXTS, TEXTS, KINDS),
)

BY_THE_BATCH = frozenset({"factors", "factors alone", "factors by divergence"})
"""In scikit-learn the factors of a row depend on its batch; here each row is transformed alone."""

NAMES = [name for group, _, _ in _GROUPS for name in group]


@functools.cache
def fitted(name: str) -> tuple[Any, list[Any]]:
    """A fitted model, and rows for it."""
    for group, rows, truth in _GROUPS:
        if name in group:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                model = group[name].fit(rows, truth)
            return model, rows[::7] if isinstance(rows, list) else rows[::7].tolist()
    raise KeyError(name)


def sparse_rows() -> Any:
    """Rows as a sparse matrix."""
    return sparse.csr_matrix(ROWS)
