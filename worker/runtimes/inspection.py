"""A look into a skops file before and after it is loaded. All of it is somebody's upload until proven
otherwise.

A skops file is a zip: `schema.json` says what to construct, the other members hold the arrays. Before:
nothing is inflated that is out of proportion. After: what was constructed is of trusted types only, but its
content may still be made up, so whatever is followed without looking, reads files or starts processes is seen
to here.
"""

import io
import lzma
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator
from sklearn.ensemble._hist_gradient_boosting.predictor import TreePredictor
from sklearn.tree._tree import Tree

from worker.runtimes.runtime import BrokenModel, UnsafeModel

SCHEMA: Final = "schema.json"

MAX_INFLATED_BYTES: Final = 1024 * 1024 * 1024
MAX_MEMBERS: Final = 100_000
MAX_SCHEMA_BYTES: Final = 128 * 1024 * 1024
MAX_DEPTH: Final = 200

FREE_BYTES: Final = 32 * 1024 * 1024
MAX_RATIO: Final = 100
"""A file may inflate to so many times its size, or to `FREE_BYTES`."""


_DAMAGED: Final = (
    zipfile.BadZipFile,  # its structure, or a checksum
    EOFError,  # what is compressed ends too soon
    zlib.error,  # what is deflated makes no sense
    lzma.LZMAError,  # the same, by LZMA
    OSError,  # the same, by bzip2; and a place before the start of the file
    ValueError,  # a place before the start of an inner archive, or a name that is no UTF-8
    RuntimeError,  # a member that is encrypted, or of a later version of the format than zipfile reads
)
"""What `zipfile` raises for a file that is damaged, or made up, each of them seen.

They have nothing in common. The file has its SHA-256, so that none of them is the disk's fault.
"""


def check_file(path: Path) -> None:
    """Look at a file without loading it. Raises BrokenModel."""
    try:
        with zipfile.ZipFile(path) as archive:
            _check_archive(archive, path.stat().st_size)
    except _DAMAGED as error:
        said = str(error) or "it ends too soon"  # EOFError says nothing
        raise BrokenModel(f"the file is no skops file: {said}") from None


def versions(path: Path) -> dict[str, str]:
    """The libraries that a file was made with, as far as it says. Look at the file first."""
    with zipfile.ZipFile(path) as archive:
        schema = msgspec.json.decode(archive.read(SCHEMA))
    found = {"skops": schema.get("_skops_version")}
    with suppress(KeyError, TypeError, msgspec.MsgspecError):
        written = schema["content"]["content"]["_sklearn_version"]["content"]
        found["scikit-learn"] = msgspec.json.decode(written)
    return {library: said for library, said in found.items() if isinstance(said, str) and len(said) < 100}


def check_model(model: Any) -> None:
    """Look at what was loaded, and have it compute in one thread. Raises UnsafeModel, BrokenModel."""
    for part in parts(model):
        _check_part(part)


def _check_archive(archive: zipfile.ZipFile, file_bytes: int) -> None:
    members = archive.infolist()
    if len(members) > MAX_MEMBERS:
        raise BrokenModel(f"the file has {len(members)} members, more than {MAX_MEMBERS}")
    sizes = {member.filename: member.file_size for member in members}
    if len(sizes) < len(members):
        raise BrokenModel("the file has two members of the same name")
    if SCHEMA not in sizes:
        raise BrokenModel(f"the file has no {SCHEMA}, so it is no skops file")
    if sizes[SCHEMA] > MAX_SCHEMA_BYTES:
        raise BrokenModel(f"its {SCHEMA} has {sizes[SCHEMA]} bytes, more than {MAX_SCHEMA_BYTES}")
    limit = min(MAX_INFLATED_BYTES, max(FREE_BYTES, MAX_RATIO * file_bytes))
    _ensure_inflates_to(sum(sizes.values()), limit)
    # A schema may name the same member again and again, and each time it is read.
    named = list(_members_named(archive.read(SCHEMA)))
    _ensure_inflates_to(sum(sizes.get(name, 0) for name in named), limit)
    for name in {name for name in named if name.endswith(".npz") and name in sizes}:
        with zipfile.ZipFile(io.BytesIO(archive.read(name))) as inner:
            _ensure_inflates_to(sum(member.file_size for member in inner.infolist()), limit)


def _ensure_inflates_to(inflated_bytes: int, limit: int) -> None:
    if inflated_bytes > limit:
        raise BrokenModel(f"the file would inflate to {inflated_bytes} bytes, more than {limit}")


def _members_named(schema: bytes) -> Iterator[str]:
    try:
        waiting: list[tuple[Any, int]] = [(msgspec.json.decode(schema), 0)]
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise BrokenModel(f"its {SCHEMA} cannot be read: {error}") from None
    if not isinstance(waiting[0][0], dict):
        raise BrokenModel(f"its {SCHEMA} is no JSON object")
    while waiting:
        part, depth = waiting.pop()
        if depth > MAX_DEPTH:
            raise BrokenModel(f"its {SCHEMA} is nested deeper than {MAX_DEPTH} levels")
        if isinstance(part, dict):
            if isinstance(named := part.get("file"), str):
                yield named
            waiting += ((inner, depth + 1) for inner in part.values())
        elif isinstance(part, list):
            waiting += ((inner, depth + 1) for inner in part)


def parts(model: Any) -> Iterator[Any]:
    """Everything that a model consists of, each once; arrays of numbers are not looked into."""
    seen: set[int] = set()
    waiting = [model]
    while waiting:
        part = waiting.pop()
        if id(part) in seen or isinstance(part, str | bytes | int | float | None):
            continue
        seen.add(id(part))
        yield part
        if isinstance(part, np.ndarray):
            waiting += part.ravel().tolist() if part.dtype == object else ()
        elif isinstance(part, dict):
            waiting += [*part.keys(), *part.values()]
        elif isinstance(part, list | tuple | set):
            waiting += part
        else:
            waiting += getattr(part, "__dict__", {}).values()


def _check_part(part: Any) -> None:
    match part:
        case Tree():
            _check_tree(part)
        case TreePredictor():
            _check_predictor(part)
        case BaseEstimator():
            _check_estimator(part)


def _check_estimator(estimator: Any) -> None:
    state = vars(estimator)
    if state.get("input", "content") != "content":
        # It would read the files that a row names, other users' among them.
        raise UnsafeModel([type(estimator).__name__], "it takes its input from files")
    if "n_jobs" in state:
        estimator.n_jobs = None
    columns = state.get("n_features_in_")
    tree = state.get("tree_")
    if isinstance(tree, Tree) and tree.n_features != columns:
        raise BrokenModel("the model has a tree for another number of columns")
    # An ensemble checks rows once, and its trees no more; bagging checks again.
    if "estimators_" in state and "estimators_features_" not in state:
        for member in parts(list(np.ravel(np.asarray(state["estimators_"], dtype=object)))):
            if isinstance(getattr(member, "tree_", None), Tree) and member.n_features_in_ != columns:
                raise BrokenModel("the model has a tree for another number of columns")
    for predictor in parts(state.get("_predictors")):
        if isinstance(predictor, TreePredictor):
            _check_boosting(predictor, columns, getattr(state.get("_bin_mapper"), "is_categorical_", None))


def _check_boosting(predictor: TreePredictor, columns: Any, are_categorical: Any) -> None:
    asked = predictor.nodes[~_is_leaf(predictor)]
    _check_columns(asked["feature_idx"], columns)
    for_categories = asked["feature_idx"][asked["is_categorical"] != 0]
    if for_categories.size and not (
        np.shape(are_categorical) == (columns,) and np.asarray(are_categorical)[for_categories].all()
    ):
        raise BrokenModel("the model has a tree that takes a number for a category")


def _check_tree(tree: Tree) -> None:
    is_inner = tree.children_left != -1
    places = np.arange(tree.node_count)
    for children in (tree.children_left, tree.children_right):
        _check_children(children[is_inner], places[is_inner], tree.node_count)
    _check_columns(tree.feature[is_inner], tree.n_features)


def _check_predictor(predictor: TreePredictor) -> None:
    nodes = predictor.nodes
    is_inner = ~_is_leaf(predictor)
    places = np.arange(len(nodes))
    if len(nodes) == 0:
        raise BrokenModel("the model has a tree without nodes")
    for side in ("left", "right"):
        _check_children(nodes[side][is_inner].astype(np.int64), places[is_inner], len(nodes))
    bitsets = nodes["bitset_idx"][is_inner & (nodes["is_categorical"] != 0)]
    if bitsets.size and int(bitsets.max()) >= len(predictor.raw_left_cat_bitsets):
        raise BrokenModel("the model has a tree that asks for categories it does not have")


def _is_leaf(predictor: TreePredictor) -> npt.NDArray[np.bool_]:
    return np.asarray(predictor.nodes["is_leaf"] != 0)


def _check_children(children: npt.NDArray[Any], parents: npt.NDArray[Any], count: int) -> None:
    """Children come after their parents, in all trees that were grown: no way leads round in circles."""
    if children.size and (np.any(children <= parents) or int(children.max()) >= count):
        raise BrokenModel("the model has a tree whose branches lead nowhere")


def _check_columns(features: npt.NDArray[Any], columns: Any) -> None:
    if not isinstance(columns, int | np.integer):
        raise BrokenModel("the model does not say how many columns it takes")
    if features.size and (int(features.min()) < 0 or int(features.max()) >= columns):
        raise BrokenModel("the model has a tree that asks for a column it does not have")
