"""`headrace train` and `headrace evaluate`: trainings and evaluations over HTTP."""
