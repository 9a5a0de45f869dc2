"""Reports of trained versions, and the model cards made of them."""
