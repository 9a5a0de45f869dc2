"""The Ray actor of a host. Ray imports it on a node; the worker never does."""

import os


class HostActor:
    """Runs one host for as long as it lives. Nothing that its methods return is read."""

    def wait_for_node(self) -> None:
        """Return: that Ray runs this means that the actor has its process."""

    def main(self, address: str, secret: str, gpus: int) -> None:
        """Connect to the worker at `address` and serve it until it hangs up."""
        from worker.engines.ray import host  # on the node only

        if not gpus:
            # Ray sets it for actors that have GPUs, and lets all others see all GPUs of the node.
            os.environ["CUDA_VISIBLE_DEVICES"] = ""
        host.main(address, secret)
