"""The HTTP surface: FastAPI lives here only."""
