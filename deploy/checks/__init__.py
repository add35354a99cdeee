"""The checks of deploy/check, by name."""
from . import chart, images, manifests, probes, units
from .tools import Failed, Missing

__all__ = ["ALL", "Failed", "Missing"]

ALL = {
    "images": images.check,
    "systemd": units.check,
    "schemas": manifests.schemas,
    "settings": manifests.accepted,
    "chart": chart.check,
    "probes": probes.check,
}
