"""The guards of a training that chooses: what chooses, what measures, and what an attempt repeats."""

from typing import Final

from tests.mutants.mutant import Mutant

COMPETITION: Final = "worker/training/competition.py"
TRAINER: Final = "worker/training/trainer.py"
HANDLER: Final = "worker/handlers/train_model.py"
ARTIFACT: Final = "worker/training/artifact.py"


def _competition(test: str) -> tuple[str, ...]:
    return (f"tests/worker/training/test_competition.py::{test}",)


def _handler(test: str) -> tuple[str, ...]:
    return (f"tests/worker/handlers/test_train_model.py::{test}",)


_SAME_BYTES: Final = _competition("test_an_attempt_killed_after_any_step_ends_with_the_same_bytes")

TRAINING_GUARDS: Final = (
    Mutant(
        "competition: the worst candidate wins",
        COMPETITION,
        "return 1 if self.metric in LOWER_IS_BETTER else -1",
        "return 1",
        _competition("test_the_best_candidate_is_chosen_and_the_result_says_why"),
    ),
    Mutant(
        "competition: nothing is pruned",
        COMPETITION,
        "return [record.candidate for record in previous[: self._rounds[in_round]]]",
        "return list(range(self._rounds[in_round]))",
        _competition("test_a_search_prunes_the_worst_on_few_rows"),
    ),
    Mutant(
        "competition: accuracy compares imbalanced classes",
        COMPETITION,
        'return "f1_macro" if counts.max() >= IMBALANCE * counts.sum() else "accuracy"',
        'return "accuracy"',
        _competition("test_imbalanced_classes_are_compared_by_f1"),
    ),
    Mutant(
        "training: the refitted model is measured on rows that it learnt",
        TRAINER,
        "unseen = self._unseen(model)",
        "unseen = self._unseen(model := self._refitted or model)",
        _competition("test_the_test_rows_neither_choose_nor_train_what_is_measured"),
    ),
    Mutant(
        "training: what the memory limit refuses ends the training",
        TRAINER,
        "                continue\n            self._winner = number",
        "                break\n            self._winner = number",
        _competition("test_a_candidate_that_the_memory_limit_refuses_is_not_chosen"),
    ),
    Mutant(
        "training: a fold learns the rows that it predicts",
        TRAINER,
        "model = self._fit_again(fold)",
        "model = self._fit_again(Fold(fold.test, NO_ROWS, NO_ROWS))",
        _competition("test_cross_validation_finds_nothing_in_noise"),
    ),
    Mutant(
        "training: a row chooses the candidate that measures it",
        COMPETITION,
        "if fold != index and score is not None",
        "if score is not None",
        _competition("test_a_fold_is_predicted_by_the_candidate_that_was_best_on_the_others"),
    ),
    Mutant(
        "training: margins and probabilities make one curve",
        COMPETITION,
        "return other if are_alike(own, other) else own",
        "return other",
        _competition("test_scores_of_another_kind_do_not_replace_those_of_the_winner"),
    ),
    Mutant(
        "training: the importance is that for rows that the model has learnt",
        TRAINER,
        "return Unseen(self._competition.model_without_first_fold(self._winner), first.test)",
        "return Unseen(model, first.test)",
        _competition("test_auto_measures_few_rows_on_all_of_them"),
    ),
    Mutant(
        "training: a fold that lacks a class fails the training",
        "worker/training/plan.py",
        "        return split(FOLDS_OF_CHOICE)\n    except BadInput:",
        "        return split(FOLDS_OF_CHOICE)\n    except KeyError:",
        _competition("test_folds_do_not_measure_if_one_would_lack_a_class"),
    ),
    Mutant(
        "training: the file shows what was in memory between the fields of records",
        ARTIFACT,
        "    if array.dtype.names is None:\n",
        "    if True:\n",
        (
            "tests/worker/training/test_trainer.py"
            "::test_every_algorithm_resumes_from_a_checkpoint_to_the_same_model",
        ),
    ),
    Mutant(
        "training: the file tells what came from a checkpoint",
        ARTIFACT,
        "        if may_be_resumed:\n",
        "        if False:\n",
        _SAME_BYTES,
    ),
    Mutant(
        "training: the file has the addresses of its objects",
        ARTIFACT,
        'numbered["__id__"] = self._objects.setdefault(key, count)',
        "pass",
        _SAME_BYTES,
    ),
    Mutant(
        "training: a step that is repeated is committed again",
        HANDLER,
        "if training.steps <= committed:",
        "if False:",
        _handler(
            "test_a_killed_attempt_computes_the_steps_since_its_checkpoint_again_and_commits_none_twice"
        ),
    ),
    Mutant(
        "training: an older plan is exceeded",
        HANDLER,
        "outputs = [step.record] if job.done < (job.total or 0) else []",
        "outputs = [step.record]",
        _handler("test_a_training_that_an_older_version_planned_commits_no_more_than_its_total"),
    ),
)
