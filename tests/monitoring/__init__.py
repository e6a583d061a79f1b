"""What operators see of it: alerts and runbooks, the dashboard, the metrics as a real Prometheus has them."""
