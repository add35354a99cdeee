"""The checks of deploy/check, by name."""
from . import images, units
from .tools import Failed, Missing

__all__ = ["ALL", "Failed", "Missing"]

ALL = {
    "images": images.check,
    "systemd": units.check,
}
