"""Guards of the inspection of model files."""

from typing import Final

from tests.mutants.mutant import Mutant

_FOLDER: Final = "worker/runtimes/sklearn/inspection"


def _attack(test: str) -> str:
    return f"tests/worker/runtimes/sklearn/inspection/test_attacks.py::{test}"


def _loader(test: str) -> str:
    return f"tests/worker/runtimes/sklearn/inspection/test_loader.py::{test}"


_TESTS: Final = "tests/worker/runtimes"
_REBUILT: Final = f"{_TESTS}/sklearn/inspection/test_rebuilt.py::test_a_part_that_does_not_match_is_refused"
_FIT: Final = _attack("test_a_model_whose_parts_do_not_match_is_refused")


def _of(module: str, name: str, text: str, replacement: str, *tests: str) -> Mutant:
    return Mutant(f"models: {name}", f"{_FOLDER}/{module}.py", text, replacement, tests)


MODELS: Final = (
    Mutant(
        "models: a search by name has wildcards",
        "app/models/queries.py",
        "starts_with(lower(m.name), lower(:prefix))",
        "lower(m.name) LIKE lower(:prefix) || '%'",
        ("tests/models/test_http.py::test_models_are_found_by_the_beginning_of_their_name",),
    ),
    Mutant(
        "models: a list has the scores of any number of versions",
        "app/models/queries.py",
        "ORDER BY v.version DESC LIMIT :scores",
        "ORDER BY v.version DESC LIMIT :scores + 100",
        ("tests/models/test_http.py::test_a_list_includes_the_scores_of_the_latest_versions_on_request",),
    ),
    _of(
        "loader",
        "an object goes unchecked",
        "        _check(instance, trusted)\n",
        "",
        _FIT,
    ),
    _of(
        "loader",
        "attributes that a class does not declare",
        "            if name in trusted.attributes:\n                instance",
        "            if True:\n                instance",
        _loader("test_undeclared_attributes_are_not_constructed"),
    ),
    _of(
        "part",
        "a count of any type",
        "if type(value) is not int or not least <= value <= most:",
        "if not least <= value <= most:",
        _attack("test_a_count_that_is_not_a_plain_integer_is_refused"),
    ),
    _of(
        "part",
        "an array of any shape",
        "        if not fits:\n",
        "        if False:\n",
        _FIT,
    ),
    _of(
        "trees",
        "a tree for other columns than its estimator",
        "if width != tree.n_features or columns not in (None, width):",
        "if columns not in (None, width):",
        _attack("test_a_member_of_an_ensemble_is_checked_like_a_model"),
    ),
    _of(
        "trees",
        "more nodes than there are",
        " and len(nodes) == count):",
        "):",
        _loader("test_a_tree_with_a_wrong_node_count_is_refused"),
    ),
    _of(
        "trees",
        "more outputs than numbers of classes",
        " and len(classes) == outputs and",
        " and",
        _loader("test_a_tree_with_a_wrong_number_of_outputs_is_refused"),
    ),
    _of(
        "forests",
        "more trees in a stage than columns",
        'part.array("estimators_", (None, per_stage), "O")',
        'part.array("estimators_", (None, None), "O")',
        _attack("test_more_trees_in_a_stage_than_output_columns_are_refused"),
    ),
    _of(
        "forests",
        "a first estimate for fewer classes",
        'part.ensure(first.count("n_classes_") == classes, "init_", "for the same number of classes")',
        "pass",
        _FIT,
    ),
    _of(
        "hist_boosting",
        "a narrow step before the trees",
        'part.ensure(width == columns, "_preprocessor", "for all columns")',
        "pass",
        _FIT,
    ),
    _of(
        "svm",
        "fewer coefficients than support vectors",
        'part.array("_dual_coef_", (classes - 1, count), dtype',
        'part.array("_dual_coef_", (classes - 1, None), dtype',
        _attack("test_fewer_coefficients_than_support_vectors_are_refused"),
    ),
    _of(
        "neighbors",
        "labels beyond the classes",
        'part.ensure(is_class, "_y", "indices of its classes")',
        "pass",
        _FIT,
    ),
    _of(
        "encoders",
        "widths that are not counted",
        "are_integers and [int(width) for width in widths] == expected",
        "are_integers",
        _FIT,
    ),
    _of(
        "text",
        "places beyond the vocabulary",
        'part.ensure(is_permutation, "vocabulary_", "a dictionary with a different index for each word")',
        "pass",
        _FIT,
    ),
    _of(
        "arrays",
        "a header of another length than it claims",
        "usual is not None and usual.end() == 10 + int.from_bytes",
        "usual is not None or 10 + int.from_bytes",
        f"{_TESTS}/sklearn/inspection/test_arrays.py::test_a_header_of_a_wrong_length_is_refused",
    ),
    _of(
        "arrays",
        "a header that ends too soon is an error of ours",
        "except tokenize.TokenError:",
        "except ImportError:",
        f"{_TESTS}/sklearn/inspection/test_arrays.py::test_a_header_of_a_wrong_length_is_refused",
    ),
    _of(
        "archive",
        "a schema of any depth",
        "    for _ in range(MAX_DEPTH + 1):\n",
        "    while True:\n",
        f"{_TESTS}/sklearn/test_refusals.py::test_a_schema_nested_deeper_than_any_model_is_refused",
    ),
    _of(
        "untrusted_types",
        "types in lists",
        "if isinstance(value, (dict, list))]",
        "if isinstance(value, dict)]",
        f"{_TESTS}/sklearn/test_refusals.py::test_a_refusal_names_every_type_at_once_wherever_it_is",
    ),
    _of(
        "arrays",
        "a sparse matrix with places beyond its shape",
        "    if not is_consistent:\n",
        "    if False:\n",
        _FIT,
    ),
    _of(
        "random_states",
        "a position behind the state",
        'or not _is_int(inner.get("pos"), MT19937_WORDS)',
        'or not _is_int(inner.get("pos"), 2**31)',
        _loader("test_a_random_state_with_a_position_beyond_its_end_is_refused"),
    ),
    Mutant(
        "models: an ONNX node without an input",
        "worker/runtimes/onnx/file.py",
        "            check_inputs(message, versions)\n",
        "            pass\n",
        ("tests/worker/runtimes/onnx/test_operators.py::test_a_node_without_a_variadic_input_is_refused",),
    ),
    Mutant(
        "models: an ONNX file with data elsewhere",
        "worker/runtimes/onnx/file.py",
        "            case onnx.TensorProto() if _is_external(message):",
        "            case onnx.TensorProto() if False:",
        ("tests/worker/runtimes/onnx/test_file.py::test_external_data_is_refused_wherever_it_is",),
    ),
    Mutant(
        "models: an ONNX file with options of its session",
        "worker/__init__.py",
        'os.environ["ORT_LOAD_CONFIG_FROM_MODEL"] = "0"',
        "",
        ("tests/worker/runtimes/onnx/test_file.py::test_a_file_cannot_set_session_options",),
    ),
    Mutant(
        "models: an ONNX tree that leads back",
        "worker/runtimes/onnx/file.py",
        "            check_trees(message)\n",
        "",
        ("tests/worker/runtimes/onnx/test_trees.py::test_a_tree_with_invalid_branches_is_refused",),
    ),
    _of(
        "mixtures",
        "a mixture of other columns",
        '    part.array("means_", (count, columns))\n',
        "",
        _FIT,
    ),
    _of(
        "factors",
        "factors by the batch",
        "    part.value.__class__ = RowByRow\n",
        "",
        f"{_TESTS}/sklearn/inspection/test_registry.py::test_the_factors_of_a_row_do_not_depend_on_its_batch",
    ),
    _of(
        "factors",
        "factors of other columns",
        'part.array("components_", (None, columns))',
        'part.array("components_", (None, None))',
        _FIT,
    ),
    _of(
        "neighbors",
        "a label of no class for rows without neighbours",
        'part.plain_values([label.item() if isinstance(label, np.generic) else label], "outlier_label_")',
        "pass",
        _FIT,
    ),
    _of(
        "linear",
        "a generalised model by the loss of another",
        "_GENERALISED[type(part.value)])",
        "[kind for kinds in _GENERALISED.values() for kind in kinds])",
        _FIT,
    ),
    _of(
        "outliers",
        "columns behind the row",
        '        part.ensure(is_valid, "estimators_features_", "indices of its columns")\n',
        "",
        _REBUILT,
    ),
    _of(
        "splines",
        "room for fewer splines than there are",
        'part.count("n_features_out_", 0) == width * columns,',
        'part.count("n_features_out_", 0) >= 0,',
        _REBUILT,
    ),
    _of(
        "clusters",
        "centres of other columns",
        "(None, columns))",
        "(None, None))",
        _REBUILT,
    ),
    _of(
        "compose",
        "a function of another class for a transformer",
        "isinstance(part.get(name), np.ufunc | partial)",
        "callable(part.get(name))",
        f"{_TESTS}/sklearn/inspection/test_rebuilt.py::test_a_metric_is_refused_as_the_function_of_a_transformer",
    ),
    Mutant(
        "models: one that cannot predict is accepted",
        "worker/runtimes/probing.py",
        "if reason is not None and not has_answered:",
        "if False:",
        (f"{_TESTS}/test_probing.py::test_a_model_that_fails_on_every_row_is_refused_with_the_reason",),
    ),
    Mutant(
        "models: several values as one",
        "worker/runtimes/onnx/outputs.py",
        "return self.task if _width(values[0], count) == 1 else None",
        "return self.task",
        (
            f"{_TESTS}/onnx/test_outputs.py"
            "::test_a_model_of_several_targets_returns_all_of_them_whatever_it_declares",
        ),
    ),
)
