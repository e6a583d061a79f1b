"""What the program tells: its logs and every metric, each declared once. Used by everything but `core`."""

from controller.telemetry.logs import Logger, get_logger, set_up_logs
from controller.telemetry.metrics import Metrics

__all__ = ["Logger", "Metrics", "get_logger", "set_up_logs"]
