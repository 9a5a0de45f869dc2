"""The commands of `headrace models`. Each imports the client when it runs, so that `--help` stays fast."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from app.cli.datasets.options import DatasetOptions, FileOptions
from app.cli.jobs.options import JobOptions, ServerOptions, Watch
from app.cli.jobs.values import Pair, parse_pair
from app.cli.option_groups import with_option_groups
from app.cli.options import AsJson, examples

models = typer.Typer(help="Upload, inspect and manage models over HTTP.")

Visibility = Literal["public", "private"]
PlotFormat = Literal["png", "svg"]
ModelName = Annotated[str, typer.Argument(metavar="MODEL", help="name, or owner/name.")]
OwnModel = Annotated[str, typer.Argument(metavar="MODEL", help="The name of a model of yours.")]
Version = Annotated[
    str,
    typer.Argument(
        metavar="MODEL", help="name@version, name@alias, or name: the latest version; also owner/name…"
    ),
]

OwnVersion = Annotated[
    str, typer.Argument(metavar="MODEL", help="name, or name@version for one version, of a model of yours.")
]
Tags = Annotated[
    list[Pair] | None,
    typer.Option(metavar="KEY=VALUE", parser=parse_pair, help="Only those with this tag; repeatable."),
]


@models.command(
    epilog=examples(
        "headrace models upload churn churn.skops --alias prod",
        "headrace models upload pets pets.onnx --class cat --class dog",
    )
)
@with_option_groups
def upload(
    server: ServerOptions,
    model: OwnModel,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A skops, ONNX or zipped MLflow file.")],
    alias: Annotated[
        str | None, typer.Option("--alias", metavar="ALIAS", help="Alias to point to the new version.")
    ] = None,
    classes: Annotated[
        list[str] | None,
        typer.Option(
            "--class",
            metavar="NAME",
            help="Class of an ONNX model whose file names none, in the order of its scores; repeatable.",
        ),
    ] = None,
    idempotency_key: Annotated[
        str | None,
        typer.Option(metavar="KEY", help="Requests with the same key and file create one version."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Upload a file as the next version of a model; print its reference, such as churn@1.

    A worker inspects the file first. With --json, prints the version.
    """
    from app.cli.models import actions

    actions.upload(
        server,
        model=model,
        file=file,
        alias=alias,
        classes=classes or None,
        idempotency_key=idempotency_key,
        as_json=as_json,
    )


@models.command(
    "list", epilog=examples("headrace models list", "headrace models list --tag team=risk --tag stage=prod")
)
@with_option_groups
def list_models(
    server: ServerOptions,
    limit: Annotated[int, typer.Option(min=1, metavar="N", help="Number of models to list.")] = 100,
    tag: Tags = None,
    as_json: AsJson = False,
) -> None:
    """List the models that you can predict with, newest first: yours, public ones and the built-in one.

    With --json, prints one document: the models are in `items`.
    """
    from app.cli.models import actions

    actions.list_models(server, limit=limit, tags=dict(tag or ()), as_json=as_json)


@models.command(epilog=examples("headrace models show churn", "headrace models show churn@prod --json"))
@with_option_groups
def show(server: ServerOptions, model: Version, as_json: AsJson = False) -> None:
    """Show a version: what it takes and returns, its metrics, and where it comes from."""
    from app.cli.models import actions

    actions.show(server, model=model, as_json=as_json)


@models.command(epilog=examples("headrace models versions churn"))
@with_option_groups
def versions(
    server: ServerOptions,
    model: ModelName,
    limit: Annotated[int, typer.Option(min=1, metavar="N", help="Number of versions to list.")] = 20,
    tag: Tags = None,
    as_json: AsJson = False,
) -> None:
    """List the versions of a model with their aliases and metrics, newest first.

    With --json, prints one document: the versions are in `items`.
    """
    from app.cli.models import actions

    actions.versions(server, model=model, limit=limit, tags=dict(tag or ()), as_json=as_json)


@models.command(
    epilog=examples("headrace models evaluations churn", "headrace models evaluations churn@prod --json")
)
@with_option_groups
def evaluations(
    server: ServerOptions,
    model: Annotated[
        str,
        typer.Argument(metavar="MODEL", help="name: all versions; name@version or name@alias: one of them."),
    ],
    dataset: Annotated[
        str | None, typer.Option(metavar="ID", help="Only evaluations on the dataset with this id.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, metavar="N", help="Number of evaluations to list.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List your evaluations of a model, or of the version that you name, newest first.

    With --json, prints one document: the evaluations are in `items`.
    """
    from app.cli.models import actions

    actions.evaluations(server, model=model, dataset=dataset, limit=limit, as_json=as_json)


@models.command(epilog=examples("headrace models alias churn@3 prod"))
@with_option_groups
def alias(
    server: ServerOptions,
    model: Version,
    alias: Annotated[str, typer.Argument(metavar="ALIAS", help="Such as prod.")],
    as_json: AsJson = False,
) -> None:
    """Point an alias to a version of a model of yours. With --json, prints the model."""
    from app.cli.models import actions

    actions.set_alias(server, model=model, alias=alias, as_json=as_json)


@models.command(epilog=examples("headrace models unalias churn prod"))
@with_option_groups
def unalias(
    server: ServerOptions,
    model: OwnModel,
    alias: Annotated[str, typer.Argument(metavar="ALIAS", help="The alias to delete.")],
    as_json: AsJson = False,
) -> None:
    """Delete an alias; its version is kept. With --json, prints {"model", "alias", "deleted"}."""
    from app.cli.models import actions

    actions.delete_alias(server, model=model, alias=alias, as_json=as_json)


@models.command(epilog=examples("headrace models visibility churn public"))
@with_option_groups
def visibility(
    server: ServerOptions,
    model: OwnModel,
    visibility: Annotated[Visibility, typer.Argument(help="public lets every user predict with it.")],
    as_json: AsJson = False,
) -> None:
    """Make a model public or private. With --json, prints the model."""
    from app.cli.models import actions

    actions.set_visibility(server, model=model, visibility=visibility, as_json=as_json)


@models.command(
    epilog=examples(
        "headrace models download churn@3 > churn.skops",
        "headrace models download churn@prod --output churn.skops",
    )
)
@with_option_groups
def download(
    server: ServerOptions,
    model: Version,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="File to write instead of stdout.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Download the file of a version: skops or ONNX.

    With --json, which needs --output, prints one document with the size of the file.
    """
    from app.cli.models import actions

    actions.download(server, model=model, output=output, as_json=as_json)


@models.command(
    epilog=examples(
        'headrace models describe churn "Who leaves within a month?"', "headrace models describe churn@3 ''"
    )
)
@with_option_groups
def describe(
    server: ServerOptions,
    model: OwnVersion,
    description: Annotated[str, typer.Argument(metavar="TEXT", help="Empty to remove the description.")],
    as_json: AsJson = False,
) -> None:
    """Describe a model or a version. With --json, prints it."""
    from app.cli.models import actions

    actions.describe(server, model=model, description=description or None, as_json=as_json)


@models.command(
    epilog=examples("headrace models tag churn@3 stage=prod data=june", "headrace models tag churn")
)
@with_option_groups
def tag(
    server: ServerOptions,
    model: OwnVersion,
    tags: Annotated[
        list[Pair] | None,
        typer.Argument(metavar="KEY=VALUE...", parser=parse_pair, help="All tags; none removes them."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Replace the tags of a model or a version. With --json, prints it."""
    from app.cli.models import actions

    actions.tag(server, model=model, tags=dict(tags or ()), as_json=as_json)


@models.command(epilog=examples("headrace models export churn@3 --output churn.zip"))
@with_option_groups
def export(
    server: ServerOptions,
    model: Version,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="File to write instead of stdout.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Download a version as an MLflow model directory, in a zip archive.

    With --json, which needs --output, prints one document with the size of the file.
    """
    from app.cli.models import actions

    actions.export(server, model=model, output=output, as_json=as_json)


@models.command(
    epilog=examples(
        "headrace models convert churn@3 --watch",
        "headrace models convert churn@3 --name churn-edge --dataset-name june.csv",
    )
)
@with_option_groups
def convert(
    server: ServerOptions,
    source: DatasetOptions,
    file_options: FileOptions,
    job: JobOptions,
    model: Version,
    name: Annotated[
        str | None,
        typer.Option("--name", metavar="NAME", help="Name to register under; default: NAME-onnx."),
    ] = None,
    watch: Watch = False,
    as_json: AsJson = False,
) -> None:
    """Convert a scikit-learn version to ONNX, if it then predicts the same; print the job's id.

    Both models predict rows of the dataset, or rows made for this. With --json, prints the job that was
    created, and with --watch then one event per line.
    """
    from app.cli.models import actions

    actions.convert(
        server,
        model=model,
        name=name,
        source=source,
        file_options=file_options.given,
        options=job.given,
        watch=watch,
        as_json=as_json,
    )


@models.command(epilog=examples("headrace models report churn@3", "headrace models report churn@prod --json"))
@with_option_groups
def report(server: ServerOptions, model: Version, as_json: AsJson = False) -> None:
    """Show what a training measured: metrics, importance of columns, scores of each class.

    With --json, prints the whole report, with its curves.
    """
    from app.cli.models import actions

    actions.report(server, model=model, as_json=as_json)


@models.command(epilog=examples("headrace models card churn@3 > churn.md"))
@with_option_groups
def card(server: ServerOptions, model: Version, as_json: AsJson = False) -> None:
    """Print the model card of a version, as Markdown. With --json, it is in `card`."""
    from app.cli.models import actions

    actions.card(server, model=model, as_json=as_json)


@models.command(
    epilog=examples(
        "headrace models plots churn@3 --output plots", "headrace models plots churn --format svg"
    )
)
@with_option_groups
def plots(
    server: ServerOptions,
    model: Version,
    output: Annotated[
        Path, typer.Option(metavar="FOLDER", help="Folder to write to; made if it does not exist.")
    ] = Path(),
    file_format: Annotated[PlotFormat, typer.Option("--format", help="Format of the files.")] = "png",
    as_json: AsJson = False,
) -> None:
    """Draw all plots of a training into files, such as roc.png; print their paths."""
    from app.cli.models import actions

    actions.plots(server, model=model, folder=output, file_format=file_format, as_json=as_json)


@models.command(epilog=examples("headrace models delete churn@3", "headrace models delete churn --yes"))
@with_option_groups
def delete(
    server: ServerOptions,
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="name@version, or name: the model with all its versions.")
    ],
    yes: Annotated[
        bool, typer.Option("--yes", help="Do not ask before a whole model is deleted.", show_default=False)
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Delete a version of a model of yours, or the whole model. Fails while a job needs it.

    With --json, prints {"model", "deleted"}.
    """
    from app.cli.models import actions

    actions.delete(server, model=model, is_confirmed=yes, as_json=as_json)


@models.command(epilog=examples("headrace models algorithms"))
@with_option_groups
def algorithms(server: ServerOptions, as_json: AsJson = False) -> None:
    """List the algorithms of trainings, with their hyperparameters.

    With --json, prints one document: the algorithms are in `items`.
    """
    from app.cli.models import actions

    actions.algorithms(server, as_json=as_json)
