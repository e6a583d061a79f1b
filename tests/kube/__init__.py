"""The Kubernetes adapter, on a real control plane and on servers that misbehave."""
