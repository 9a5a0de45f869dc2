"""`headrace schedules`: schedules over HTTP."""
