"""`headrace datasets`: files of rows over HTTP."""
