"""Reads Prometheus' text format on stdin by its own client library, and prints it as JSON.

A list of [metric, type, [[sample, {label: value}, value], ...]].
"""

import json
import sys

from prometheus_client.parser import text_string_to_metric_families

if __name__ == "__main__":
    families = text_string_to_metric_families(sys.stdin.read())
    json.dump([[family.name, family.type,
                [[sample.name, sample.labels, sample.value] for sample in family.samples]]
               for family in families], sys.stdout)
