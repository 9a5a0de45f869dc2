"""How a model is trained: from a table and a wish to an artifact, epoch by epoch, resumable after each."""
