"""The Ray engine with Ray: a head on this machine, in a network of its own, for `make test-ray` alone."""
