"""Who is asking, for routes: `CurrentUser` is the signed-in user, or the answer is 401."""

from typing import Annotated

from fastapi import Depends
from fastapi.security import OAuth2PasswordBearer
from starlette.requests import HTTPConnection

from app.auth.gate import Gate
from app.auth.identities import Identity
from app.core.errors import Unauthorized

# We raise our own error, so that whatever is wrong with a token gets the same answer.
bearer = OAuth2PasswordBearer(tokenUrl="token", auto_error=False)


async def get_gate(connection: HTTPConnection) -> Gate:
    """What this process needs to know who is asking."""
    gate: Gate = connection.app.state.gate
    return gate


GateDep = Annotated[Gate, Depends(get_gate)]


async def get_current_user(token: Annotated[str | None, Depends(bearer)], gate: GateDep) -> Identity:
    """The user whose bearer token came with the request; raises Unauthorized without a valid one."""
    if token is None:
        raise Unauthorized
    identity = await gate.identities.identify(token)
    gate.usage.count(identity.id)
    return identity


CurrentUser = Annotated[Identity, Depends(get_current_user)]
