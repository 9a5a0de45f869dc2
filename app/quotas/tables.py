"""The tables of quotas, as SQLModel sees them. The triggers that write them are in migration 0006."""

from uuid import UUID

from sqlalchemy import BigInteger, Column, Identity
from sqlmodel import Field, SQLModel


class StoredBytes(SQLModel, table=True):
    """One change of what a user stores; the sum over a user's rows is what is stored.

    Rows are only appended, so that writers never wait for each other; the keeper adds them up.
    """

    __tablename__ = "stored_bytes"

    owner_id: UUID = Field(primary_key=True)
    id: int = Field(sa_column=Column(BigInteger, Identity(always=True), primary_key=True))
    bytes: int = Field(sa_type=BigInteger)
