"""HTTP building blocks that all domains share: errors, middleware, bodies, files, dependencies."""
