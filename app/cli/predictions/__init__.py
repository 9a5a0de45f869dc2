"""`headrace predict`: predictions over HTTP, from the rows to the results."""
