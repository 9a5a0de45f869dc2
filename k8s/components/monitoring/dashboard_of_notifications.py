"""The row of the dashboard about notifications: what is delivered, how late, and for whom."""

from typing import Final

from k8s.components.monitoring.dashboard_panels import Panel, Query, Row
from k8s.components.monitoring.dashboard_queries import measured, quantile, select, sum_of_rates

NOTIFICATIONS: Final = Row(
    "Notifications",
    across=3,
    panels=(
        Panel(
            "Oldest due notification",
            "s",
            "How long the oldest notification of each channel has been due. Held subscriptions do not count.",
            (
                Query(
                    f"max by (channel) ({select('headrace_delivery_oldest_seconds')})",
                    "{{channel}}",
                ),
            ),
            bad_above=120,
        ),
        Panel(
            "Deliveries by outcome",
            "suffix: tries/s",
            "Tries of deliveries. A retry is tried again; if all are retries, no receiver is reached.",
            (Query(sum_of_rates("headrace_deliveries_total", by="outcome"), "{{outcome}}"),),
            is_stacked=True,
        ),
        Panel(
            "Deliveries by channel",
            "suffix: tries/s",
            "Tries that the receiver accepted, by channel.",
            (
                Query(
                    sum_of_rates("headrace_deliveries_total", 'outcome="delivered"', by="channel"),
                    "{{channel}}",
                ),
            ),
            is_stacked=True,
        ),
        Panel(
            "Duration of a try p95",
            "s",
            "From the start of a try to the receiver's answer, by channel. A try ends after 15 seconds.",
            (Query(quantile(0.95, "headrace_delivery_seconds", by="channel"), "{{channel}}"),),
        ),
        Panel(
            "Subscriptions by status",
            "short",
            "Subscriptions: active, waiting for the confirmation of their address, or disabled.",
            (
                Query(
                    f"sum by (status) ({measured('headrace_subscriptions', by='channel, status')})",
                    "{{status}}",
                ),
            ),
            is_stacked=True,
        ),
        Panel(
            "SMTP server usable",
            "percentunit",
            "Share of the processes that send e-mail that could use the SMTP server for their last message.",
            (Query(f"avg({select('headrace_mail_up')})", "SMTP server"),),
            bad_below=1,
        ),
    ),
)
