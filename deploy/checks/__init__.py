"""The checks of deploy/check, by name."""
from . import chart, compose, documents, drill, images, manifests, network, probes, queries, scrape, units
from .tools import Failed, Missing

__all__ = ["ALL", "Failed", "Missing"]

ALL = {
    "images": images.check,
    "systemd": units.check,
    "schemas": manifests.schemas,
    "settings": manifests.accepted,
    "chart": chart.check,
    "compose": compose.check,
    "network": network.check,
    "alerts": queries.alerts,
    "documents": documents.check,
    "probes": probes.check,
    "scrape": scrape.check,
    "drill": drill.check,
}
