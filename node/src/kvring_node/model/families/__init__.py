"""One file a family: where its decoder departs from Llama's, and what its config.json may leave out."""
