"""The HTTP API, over a real uvicorn on loopback and a real MongoDB."""
