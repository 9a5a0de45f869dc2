"""Tables of quotas. The triggers that write them are in migration 0006."""

from uuid import UUID

from sqlalchemy import BigInteger, Column, Identity
from sqlmodel import Field, SQLModel


class StoredBytes(SQLModel, table=True):
    """One change of the bytes that a user stores. Their sum is what the user stores.

    Rows are only appended, so that writers never wait for each other; maintenance adds them up.
    """

    __tablename__ = "stored_bytes"

    owner_id: UUID = Field(primary_key=True)
    id: int = Field(sa_column=Column(BigInteger, Identity(always=True), primary_key=True))
    bytes: int = Field(sa_type=BigInteger)
