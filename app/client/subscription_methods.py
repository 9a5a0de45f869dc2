"""The methods of both clients for subscriptions and deliveries: the same, with and without await."""

from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import datetime
from typing import Unpack

from app.client.methods import AsyncMethods, Methods
from app.client.subscriptions import (
    AnyDelivery,
    AnySubscription,
    Delivery,
    PingResult,
    RotatedSecret,
    Subscription,
    SubscriptionChanges,
    SubscriptionOptions,
)


class SubscriptionMethods(Methods):
    """The methods of `Headrace` for subscriptions."""

    def create_subscription(
        self,
        name: str,
        events: Sequence[str],
        *,
        url: str | None = None,
        **options: Unpack[SubscriptionOptions],
    ) -> Subscription:
        """Subscribe to events; the `secret` that verifies webhooks is returned only now.

            created = client.create_subscription(
                "CI", ["job.failed"], url="https://ci.example.com/hooks/ml", filter={"kind": "train_model"}
            )

        Never retried: if the connection breaks, look in `subscriptions` whether it was created.
        """
        return self._run(self._core.subscriptions.create(name, events, url, options))

    def subscription(self, subscription: AnySubscription) -> Subscription:
        """Return a subscription. Raises NotFound."""
        return self._run(self._core.subscriptions.get(subscription))

    def subscriptions(
        self, *, status: str | None = None, channel: str | None = None, page_size: int = 100
    ) -> Iterator[Subscription]:
        """Iterate over your subscriptions, newest first."""
        return self._iterate(self._core.subscriptions.list(status, channel, page_size))

    def change_subscription(
        self, subscription: AnySubscription, **changes: Unpack[SubscriptionChanges]
    ) -> Subscription:
        """Change a subscription, and return it.

        client.change_subscription(subscription, status="active")
        """
        return self._run(self._core.subscriptions.change(subscription, changes))

    def delete_subscription(self, subscription: AnySubscription) -> None:
        """Delete a subscription with all its deliveries. Raises NotFound."""
        self._run(self._core.subscriptions.delete(subscription))

    def rotate_subscription_secret(
        self, subscription: AnySubscription, *, overlap_hours: int | None = None
    ) -> RotatedSecret:
        """Give a subscription a new secret; the previous one signs, too, for so many hours (default: 24).

        Never retried. Raises Conflict for a channel that signs nothing.
        """
        return self._run(self._core.subscriptions.rotate(subscription, overlap_hours))

    def test_subscription(self, subscription: AnySubscription) -> PingResult:
        """Send a test, and return how it ended. Raises Conflict if the subscription is not active."""
        return self._run(self._core.subscriptions.test(subscription))

    def deliveries(
        self,
        subscription: AnySubscription | None = None,
        *,
        status: str | None = None,
        page_size: int = 100,
    ) -> Iterator[Delivery]:
        """Iterate over the deliveries of one subscription, or of all, newest first."""
        return self._iterate(self._core.subscriptions.deliveries(subscription, status, page_size))

    def delivery(self, delivery: AnyDelivery) -> Delivery:
        """Return a delivery, with its body and its tries. Raises NotFound."""
        return self._run(self._core.subscriptions.delivery(delivery))

    def replay_delivery(self, delivery: AnyDelivery) -> str:
        """Deliver again what a delivery says, and return the id of the new one. Never retried."""
        return self._run(self._core.subscriptions.replay(delivery))

    def replay_deliveries(
        self,
        subscription: AnySubscription,
        since: datetime,
        until: datetime | None = None,
        *,
        status: str = "failed",
    ) -> int:
        """Deliver again what failed, or was `dropped`, since then. Return how many, at most 10 000."""
        return self._run(self._core.subscriptions.replay_many(subscription, since, until, status))


class AsyncSubscriptionMethods(AsyncMethods):
    """The methods of `AsyncHeadrace` for subscriptions."""

    async def create_subscription(
        self,
        name: str,
        events: Sequence[str],
        *,
        url: str | None = None,
        **options: Unpack[SubscriptionOptions],
    ) -> Subscription:
        """Subscribe to events; the `secret` that verifies webhooks is returned only now.

            created = await client.create_subscription(
                "CI", ["job.failed"], url="https://ci.example.com/hooks/ml", filter={"kind": "train_model"}
            )

        Never retried: if the connection breaks, look in `subscriptions` whether it was created.
        """
        return await self._run(self._core.subscriptions.create(name, events, url, options))

    async def subscription(self, subscription: AnySubscription) -> Subscription:
        """Return a subscription. Raises NotFound."""
        return await self._run(self._core.subscriptions.get(subscription))

    def subscriptions(
        self, *, status: str | None = None, channel: str | None = None, page_size: int = 100
    ) -> AsyncIterator[Subscription]:
        """Iterate over your subscriptions, newest first."""
        return self._iterate(self._core.subscriptions.list(status, channel, page_size))

    async def change_subscription(
        self, subscription: AnySubscription, **changes: Unpack[SubscriptionChanges]
    ) -> Subscription:
        """Change a subscription, and return it.

        await client.change_subscription(subscription, status="active")
        """
        return await self._run(self._core.subscriptions.change(subscription, changes))

    async def delete_subscription(self, subscription: AnySubscription) -> None:
        """Delete a subscription with all its deliveries. Raises NotFound."""
        await self._run(self._core.subscriptions.delete(subscription))

    async def rotate_subscription_secret(
        self, subscription: AnySubscription, *, overlap_hours: int | None = None
    ) -> RotatedSecret:
        """Give a subscription a new secret; the previous one signs, too, for so many hours (default: 24).

        Never retried. Raises Conflict for a channel that signs nothing.
        """
        return await self._run(self._core.subscriptions.rotate(subscription, overlap_hours))

    async def test_subscription(self, subscription: AnySubscription) -> PingResult:
        """Send a test, and return how it ended. Raises Conflict if the subscription is not active."""
        return await self._run(self._core.subscriptions.test(subscription))

    def deliveries(
        self,
        subscription: AnySubscription | None = None,
        *,
        status: str | None = None,
        page_size: int = 100,
    ) -> AsyncIterator[Delivery]:
        """Iterate over the deliveries of one subscription, or of all, newest first."""
        return self._iterate(self._core.subscriptions.deliveries(subscription, status, page_size))

    async def delivery(self, delivery: AnyDelivery) -> Delivery:
        """Return a delivery, with its body and its tries. Raises NotFound."""
        return await self._run(self._core.subscriptions.delivery(delivery))

    async def replay_delivery(self, delivery: AnyDelivery) -> str:
        """Deliver again what a delivery says, and return the id of the new one. Never retried."""
        return await self._run(self._core.subscriptions.replay(delivery))

    async def replay_deliveries(
        self,
        subscription: AnySubscription,
        since: datetime,
        until: datetime | None = None,
        *,
        status: str = "failed",
    ) -> int:
        """Deliver again what failed, or was `dropped`, since then. Return how many, at most 10 000."""
        return await self._run(self._core.subscriptions.replay_many(subscription, since, until, status))
