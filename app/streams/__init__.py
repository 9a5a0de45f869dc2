"""Event streams: job events pushed to clients as server-sent events or over WebSocket."""
