"""The API documentation in a browser: the OpenAPI document, Swagger UI and ReDoc, from our own files."""
