"""Lets in calls that bring a token of the file, as many as the token may make."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final, cast

import grpc
import structlog

from khulasa_server.errors import Reason, UnauthenticatedError
from khulasa_server.rpc.handlers import abort
from khulasa_server.rpc.wrapping import wrap

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from khulasa_server.rpc.allowance import Allowances
    from khulasa_server.rpc.tokens import Token, TokenBook
    from khulasa_server.rpc.wrapping import Behaviour, Context, Continuation, Handler

HEADER: Final = "authorization"
SCHEME: Final = "bearer"
OPEN_TO_ALL: Final = "/grpc.health.v1.Health/"
"""Balancers and probes have no token, and health says nothing about anybody."""


class TokenInterceptor(grpc.aio.ServerInterceptor):
    """Asks every call but those for health for a token; behind `RequestIdInterceptor`.

    Args:
        book: the tokens.
        allowances: what each has used.
    """

    def __init__(self, book: TokenBook, allowances: Allowances) -> None:
        self._book = book
        self._allowances = allowances

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> Handler | None:
        """Run the handler for callers with a token; what nothing serves stays as it is."""
        handler = await continuation(handler_call_details)
        if handler is None or handler_call_details.method.startswith(OPEN_TO_ALL):
            return handler
        token = self._token_in(handler_call_details.invocation_metadata)
        return wrap(handler, _Allowed(token, self._allowances, items=handler.request_streaming))

    def _token_in(
        self, metadata: Iterable[tuple[str, str | bytes]]
    ) -> Token | UnauthenticatedError:
        values = [value for name, value in metadata if name == HEADER]
        if not values:
            return _refusal("a bearer token is needed")
        scheme, _, token = str(values[0]).partition(" ")
        if len(values) > 1 or scheme.lower() != SCHEME:
            return _refusal("the authorization is no bearer token")
        return self._book.find(token.strip()) or _refusal("the bearer token is not accepted")


def _refusal(message: str) -> UnauthenticatedError:
    return UnauthenticatedError(Reason.TOKEN_INVALID, message)


class _Allowed:
    """Runs a behaviour within what the token allows.

    Args:
        token: of the call, or why it has none.
        allowances: what tokens have used.
        items: each incoming message counts, since one stream could be all of a caller's work;
            too many are read later, not refused. Otherwise the call counts.
    """

    def __init__(
        self, token: Token | UnauthenticatedError, allowances: Allowances, *, items: bool
    ) -> None:
        self._token = token
        self._allowances = allowances
        self._items = items

    async def __call__(self, inner: Behaviour, request: object, context: Context, /) -> object:
        with ExitStack() as stack:
            try:
                token = await self._admitted(stack)
            except Exception as error:  # noqa: BLE001 - the table decides what callers see
                await abort(context, error)
            structlog.contextvars.bind_contextvars(caller=token.name)
            return await inner(self._paced(request, token), context)

    async def _admitted(self, stack: ExitStack) -> Token:
        if isinstance(self._token, UnauthenticatedError):
            raise self._token
        stack.enter_context(self._allowances.call(self._token))
        if not self._items:
            await self._allowances.spend(self._token)
        return self._token

    def _paced(self, request: object, token: Token) -> object:
        if not self._items:
            return request
        return _Paced(cast("AsyncIterator[Any]", request), token, self._allowances)


class _Paced:
    """Incoming messages, no faster than the token's rate."""

    def __init__(self, inner: AsyncIterator[Any], token: Token, allowances: Allowances) -> None:
        self._inner = inner
        self._token = token
        self._allowances = allowances

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:  # noqa: ANN401 - any message
        message = await anext(self._inner)
        await self._allowances.wait(self._token)
        return message
