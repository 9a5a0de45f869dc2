"""`headrace jobs`: submit, watch and manage jobs over HTTP."""
