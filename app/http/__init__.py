"""What every HTTP route stands on: dependencies, errors, the middleware, the checks at the border."""
