"""Options of trainings."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import typer

from app.cli.errors import UsageError
from app.cli.jobs.options import without_none
from app.cli.jobs.values import Pair, parse_param, parse_split

_TRAINING = "Training"

Task = Literal["auto", "classification", "regression"]

Folds = Annotated[
    int | None,
    typer.Option(
        "--folds",
        metavar="K",
        help="Measure by cross-validation over many workers: a job for each of K folds.",
        rich_help_panel=_TRAINING,
    ),
]


@dataclass(frozen=True)
class TrainingOptions:
    """Options of a training job."""

    feature: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN",
            help="Column to predict from; repeatable. Default: all useful columns.",
            rich_help_panel=_TRAINING,
        ),
    ] = None
    task: Annotated[Task | None, typer.Option(rich_help_panel=_TRAINING)] = None
    algorithm: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="One of GET /algorithms; default auto.", rich_help_panel=_TRAINING),
    ] = None
    param: Annotated[
        list[Pair] | None,
        typer.Option(
            metavar="NAME=VALUE",
            parser=parse_param,
            help="Hyperparameter of the algorithm; repeatable.",
            rich_help_panel=_TRAINING,
        ),
    ] = None
    epochs: Annotated[
        int | None, typer.Option(metavar="N", help="Default 10.", rich_help_panel=_TRAINING)
    ] = None
    split: Annotated[
        Pair | None,
        typer.Option(
            metavar="METHOD[=NAME]",
            parser=parse_split,
            help="How rows are held out: random, stratified, time=COLUMN, group=COLUMN or dataset=NAME.",
            rich_help_panel=_TRAINING,
        ),
    ] = None
    validation_fraction: Annotated[
        float | None,
        typer.Option(
            metavar="X",
            help="Fraction of the rows that choose the best epoch; default 0.2.",
            rich_help_panel=_TRAINING,
        ),
    ] = None
    test_fraction: Annotated[
        float | None,
        typer.Option(
            metavar="X", help="Fraction of the rows to measure on; default 0.2.", rich_help_panel=_TRAINING
        ),
    ] = None
    cv: Annotated[
        int | None,
        typer.Option(
            "--cv",
            metavar="K",
            help="Measure by cross-validation with K folds, instead of on a fraction of the rows.",
            rich_help_panel=_TRAINING,
        ),
    ] = None
    refit: Annotated[
        bool | None,
        typer.Option(
            "--refit/--no-refit",
            help="Fit the registered model on all rows, after it was measured. Default: with auto.",
            rich_help_panel=_TRAINING,
        ),
    ] = None
    held_out_dataset: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Keep the predictions for the test rows as a dataset of this name.",
            rich_help_panel=_TRAINING,
        ),
    ] = None
    seed: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="Trainings with the same seed give the same model.", rich_help_panel=_TRAINING
        ),
    ] = None
    model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Name of the model; default: named after the job.",
            rich_help_panel=_TRAINING,
        ),
    ] = None
    promote: Annotated[
        str | None,
        typer.Option(
            metavar="ALIAS",
            help="Alias that the new version takes if it beats the version that has it.",
            rich_help_panel=_TRAINING,
        ),
    ] = None
    promote_metric: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Metric that --promote compares; default accuracy, or r2.",
            rich_help_panel=_TRAINING,
        ),
    ] = None

    @property
    def given(self) -> dict[str, Any]:
        """The options that were given, by their names in the client. Raises UsageError."""
        if self.promote is None and self.promote_metric is not None:
            raise UsageError("--promote-metric: name the alias with --promote.")
        promote = without_none(alias=self.promote, metric=self.promote_metric) or None
        return without_none(
            promote=promote,
            features=self.feature or None,
            task=self.task,
            algorithm=self.algorithm,
            params=dict(self.param or ()) or None,
            epochs=self.epochs,
            split=self.split and _split(self.split),
            validation_fraction=self.validation_fraction,
            test_fraction=self.test_fraction,
            cv=self.cv,
            refit=self.refit,
            seed=self.seed,
            model=self.model,
            held_out_dataset=self.held_out_dataset,
        )


def _split(wanted: Pair) -> dict[str, Any]:
    """The member `split` of a request: a split by dataset names a dataset, the others a column."""
    member = "dataset" if wanted.key == "dataset" else "column"
    return without_none(method=wanted.key, **{member: wanted.value})
