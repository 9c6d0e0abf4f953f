"""`/metrics`: what is measured, as Prometheus reads it. Names of metrics and labels stay from version to version."""

from collections.abc import Iterator
from importlib.metadata import version

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from store import background
from threadd.web.measuring import Measures


class _DaemonCollector(Collector):
    """Makes metrics of measures whenever it is asked.

    Args:
        measures: The measures.
    """

    def __init__(self, measures: Measures) -> None:
        self._measures = measures

    def collect(self) -> Iterator[Metric]:
        """See `Collector`."""
        yield InfoMetricFamily("threadd", "The daemon.", value={"version": version("threadd")})
        yield GaugeMetricFamily("threadd_ready", "Whether work is taken.", value=int(self._measures.is_ready()))
        yield GaugeMetricFamily(
            "threadd_start_time_seconds", "When the daemon began, since 1970.", value=self._measures.started
        )
        yield from self._calls()
        yield from self._store()
        failed = CounterMetricFamily(
            "threadd_background_task_failures",
            "Background tasks that failed unexpectedly; the log has the traces.",
            labels=["task"],
        )
        for task, number in background.failures().items():
            failed.add_metric([task], number)
        yield failed
        delays = HistogramMetricFamily("threadd_event_loop_delay_seconds", "How late the event loop is.")
        delays.add_metric([], self._measures.delays.buckets(), self._measures.delays.total)
        yield delays
        lag = GaugeMetricFamily(
            "threadd_peer_lag_records", "How many records of here a host is not known to have.", labels=["peer"]
        )
        for peer, records in self._measures.peers().items():
            lag.add_metric([peer], records)
        yield lag
        yield GaugeMetricFamily(
            "threadd_peers", "How many hosts serve threads here.", value=len(self._measures.peers())
        )

    def _calls(self) -> Iterator[Metric]:
        ended = CounterMetricFamily(
            "threadd_calls", "Calls that ended, by door, method and status code.", labels=["door", "method", "code"]
        )
        durations = HistogramMetricFamily(
            "threadd_call_duration_seconds", "How long calls took.", labels=["door", "method"]
        )
        running = GaugeMetricFamily("threadd_open_calls", "Calls that run now.", labels=["door", "method"])
        for door, counts in self._measures.calls.items():
            for (method, code), number in counts.ended_by.items():
                ended.add_metric([door, method, code.name], number)
            for method, taken in counts.durations.items():
                durations.add_metric([door, method], taken.buckets(), taken.total)
            for method, number in counts.open.items():
                running.add_metric([door, method], number)
        yield ended
        yield durations
        yield running

    def _store(self) -> Iterator[Metric]:
        batches, transactions = self._measures.batches()
        yield CounterMetricFamily("threadd_commit_batches", "Commits to the disk, each with one sync.", value=batches)
        yield CounterMetricFamily("threadd_commits", "Transactions that were in these.", value=transactions)
        yield GaugeMetricFamily("threadd_listeners", "Who follows databases.", value=self._measures.listeners())
        yield GaugeMetricFamily("threadd_databases", "Databases that are kept.", value=self._measures.databases())
        sizes = GaugeMetricFamily("threadd_disk_bytes", "What the repository takes on the disk.", labels=["part"])
        for part, size in self._measures.sizes().items():
            sizes.add_metric([part], size)
        yield sizes


def exposition(measures: Measures) -> bytes:
    """Give all metrics in the text format of Prometheus."""
    registry = CollectorRegistry()
    registry.register(_DaemonCollector(measures))
    return generate_latest(registry)
