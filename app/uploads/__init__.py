"""Takes in uploaded files: reads the request body, checks it and writes it to local disk."""
