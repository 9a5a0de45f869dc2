"""Request and response of the route of download tickets."""

from pydantic import Field
from typing_extensions import TypedDict

from app.auth.download_tickets.paths import DOWNLOAD_PATH
from app.http.body import StrictBody


class DownloadRequest(StrictBody):
    """The path of a file to download: the results of a job, a dataset, or the file of a model version."""

    path: str = Field(
        pattern=DOWNLOAD_PATH,
        max_length=2000,
        examples=["/jobs/019aa7c1-f3e2-7bd0-8c5d-3f1e2a4b6c8d/results?format=csv"],
    )


class DownloadTicketIssued(TypedDict):
    """The path with its ticket, and how many seconds it may wait until the download begins."""

    url: str
    expires_in: int
