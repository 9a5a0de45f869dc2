"""The errors of notifications. Each docstring is the detail that the user reads."""

from app.core.errors import AppError, Conflict, NotFound, Unprocessable


class SubscriptionNotFound(NotFound):
    """You have no subscription {subscription_id}."""

    code = "subscription_not_found"
    title = "Subscription not found"


class DeliveryNotFound(NotFound):
    """You have no delivery {delivery_id}."""

    code = "delivery_not_found"
    title = "Delivery not found"


class TooManySubscriptions(Conflict):
    """You have {subscriptions} subscriptions; the limit is {limit}. Delete one that you no longer need."""

    code = "too_many_subscriptions"
    title = "Too many subscriptions"


class UrlNotAllowed(Unprocessable):
    """The service does not send webhooks to this URL: {reason}."""

    code = "url_not_allowed"
    title = "URL not allowed"


class NoSecret(Conflict):
    """The channel `{channel}` signs nothing, so its subscriptions have no secret."""

    code = "no_secret"
    title = "No secret"


class SubscriptionDisabled(Conflict):
    """This subscription is disabled, so nothing is delivered. Set its status to `active` first."""

    code = "subscription_disabled"
    title = "Subscription disabled"


class AddressNotConfirmed(Conflict):
    """The address of this subscription is not confirmed. Open the link in the message that was sent to it."""

    code = "address_not_confirmed"
    title = "Address not confirmed"


class TooManyConfirmations(AppError):
    """This address was asked for its confirmation {limit} times within a day. Try again tomorrow."""

    status = 429
    code = "too_many_confirmations"
    title = "Too many confirmations"
    retry_after = 86_400


class DeliveryPending(Conflict):
    """This delivery is still being tried. Replay it once it has ended."""

    code = "delivery_pending"
    title = "Delivery pending"
