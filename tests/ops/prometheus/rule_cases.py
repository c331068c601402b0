"""For each alert: what makes it fire, and what must leave it quiet.

A case is the state of the series, in promtool's notation: `1x20` is 1 and then the same 20 times more, a minute apart
(or a case's own `interval`), `0+5x20` grows by 5 each time, `_x9` is nothing.
"""

import dataclasses

HERE = {"namespace": "shop", "job": "quarry"}
A = {**HERE, "instance": "a:7480"}
B = {**HERE, "instance": "b:7480"}


def series(name, labels, **more):
    pairs = ", ".join(f'{key}="{value}"' for key, value in {**labels, **more}.items())
    return f"{name}{{{pairs}}}"


@dataclasses.dataclass
class Case:
    """The alert fires with `labels` at minute `at` under `fires`, still at minute `lasts`, and not around `at` under any of `quiet`."""
    at: int
    labels: dict
    fires: dict
    quiet: list
    interval: int = 1  # Minutes between two values.
    lasts: int = 0


def info(labels, values, version="1.0"):
    return {series("quarry_build_info", labels, version=version, deployment="shop"): values}


def gauge(name, labels, loud, calm, at, minutes=30, **more):
    """An alert on one gauge: `loud` throughout fires, `calm` throughout does not."""
    key = series(name, labels, **more)
    kept = {label: value for label, value in {**labels, **more}.items() if label not in ("instance", "state")}
    return Case(at, kept, {key: f"{loud}x{minutes}"}, [{key: f"{calm}x{minutes}"}])


def calls(good, bad, minutes, code="Unavailable", **more):
    """Calls of each minute, by code."""
    labels = {**A, "grpc_service": "quarry.v1.DataService", "grpc_method": "Get", **more}
    return {series("grpc_server_handled_total", labels, grpc_code="OK"): f"0+{good}x{minutes}",
            series("grpc_server_handled_total", labels, grpc_code=code): f"0+{bad}x{minutes}"}


def times(count, in_time, minutes, method="Get"):
    """Key calls of each minute, and those of them that took at most 100 ms."""
    labels = {**A, "grpc_service": "quarry.v1.DataService", "grpc_method": method}
    return {**calls(count, 0, minutes),
            series("grpc_server_handling_seconds_count", labels): f"0+{count}x{minutes}",
            series("grpc_server_handling_seconds_bucket", labels, le="0.1"): f"0+{in_time}x{minutes}"}


def shard_calls(good, bad, kind="read", code="Unavailable"):
    labels = {**A, "shard": "s1", "kind": kind}
    return {series("quarry_shard_calls_total", labels, code="OK"): f"0+{good}x30",
            series("quarry_shard_calls_total", labels, code=code): f"0+{bad}x30"}


S1 = {**HERE, "shard": "s1"}
FULL_POOL = {series("quarry_pool_sessions_leased", A, shard="s1"): "15x30",
             series("quarry_pool_sessions_max", A, shard="s1"): "16x30"}

CASES = {
    "QuarryNoGateway": Case(
        75, HERE, {**info(A, "1x10 stale"), **info(B, "1x9 stale"), series("up", A): "1x10 0x400"},
        [{**info(A, "1x10 stale"), **info(B, "1x60")}], interval=5, lasts=26 * 60),
    "QuarryGatewayDown": Case(
        15, A, {**info(A, "1x10 stale"), series("up", A): "1x10 0x600"},
        [{**info(A, "1x30"), series("up", A): "1x30"},
         {**info(A, "1x13 stale 1x20"), series("up", A): "1x13 0 1x20"},  # Too short.
         {series("up", {**A, "job": "another"}): "0x30"}],  # Was never a gateway.
        lasts=8 * 60),
    "QuarryGatewayRestarts": Case(
        12, A, {**info(A, "1x20"), series("process_start_time_seconds", A): "100 100 200 300 400x20"},
        [{**info(A, "1x20"), series("process_start_time_seconds", A): "100 100 200x20"},
         {series("process_start_time_seconds", {**A, "job": "another"}): "100 100 200 300 400x20"}]),
    "QuarryNoCatalog": Case(
        5, HERE, {series("quarry_catalog_ready", A): "0x20", series("quarry_catalog_ready", B): "0x20"},
        [{series("quarry_catalog_ready", A): "0x20", series("quarry_catalog_ready", B): "1x20"},
         {series("quarry_catalog_ready", A): "1x4 0 1x20"}]),  # It has just started.
    "QuarryCatalogNotReady": Case(
        7, A, {series("quarry_catalog_ready", A): "0x20", series("quarry_catalog_ready", B): "1x20"},
        [{series("quarry_catalog_ready", A): "1x20", series("quarry_catalog_ready", B): "1x20"},
         {series("quarry_catalog_ready", A): "0x3 1x20"}]),
    "QuarryPeerSilent": dataclasses.replace(
        gauge("quarry_peers", A, 1, 0, at=5, state="silent"), labels={**A, "state": "silent"}),
    "QuarryPeerOfOtherDeployment": dataclasses.replace(
        gauge("quarry_peers", A, 1, 0, at=5, state="other_deployment"), labels={**A, "state": "other_deployment"}),
    "QuarryVersionSkew": Case(
        70, HERE, {**info(A, "1x80"), **info(B, "1x80", version="1.1")},
        [{**info(A, "1x80"), **info(B, "1x80")},
         {**info(A, "1x80"), **info(B, "1x30 stale"), **info(B, "_x31 1x40", version="1.0")}]),
    "QuarryFewFilesLeft": Case(
        7, A, {**info(A, "1x20"), series("process_open_fds", A): "900x20", series("process_max_fds", A): "1000x20"},
        [{**info(A, "1x20"), series("process_open_fds", A): "700x20", series("process_max_fds", A): "1000x20"}]),
    "QuarryScrapeSlow": Case(
        15, A, {**info(A, "1x20"), series("scrape_duration_seconds", A): "2x20"},
        [{**info(A, "1x20"), series("scrape_duration_seconds", A): "0.02x20"},
         {**info(A, "1x20"), series("scrape_duration_seconds", A): "0.02x8 2x3 0.02x20"}]),
    # 2 % of the calls fail. Quiet: 0.1 %; mistakes of callers; locks that nobody got in time; too few calls to judge.
    "QuarryErrorBudgetBurnFast": Case(
        65, HERE, calls(980, 20, 90),
        [calls(9990, 10, 90), calls(980, 20, 90, code="NotFound"),
         {**calls(1000, 0, 90), **calls(0, 100, 90, code="DeadlineExceeded", grpc_service="quarry.v1.LockService")},
         calls(4, 1, 90)]),
    # 0.4 % for more than a day.
    "QuarryErrorBudgetBurnSlow": Case(
        26 * 60, HERE, calls(99600, 400, 400), [calls(99950, 50, 400), calls(99600, 400, 400, code="Aborted")], interval=5),
    # Quiet as well: too few calls by key to judge, beside many others.
    "QuarryLatencyBudgetBurnFast": Case(
        65, HERE, times(1000, 800, 90),
        [times(1000, 995, 90), times(1000, 200, 90, "List"), {**calls(1000, 0, 90, grpc_method="List"), **times(4, 1, 90)}]),
    "QuarryLatencyBudgetBurnSlow": Case(
        26 * 60, HERE, times(100000, 96000, 400), [times(100000, 99500, 400)], interval=5),
    "QuarryShardDown": Case(
        5, S1, {series("quarry_shard_up", A, shard="s1"): "1 1 0x20", series("quarry_shard_up", B, shard="s1"): "1 1 0x20"},
        [{series("quarry_shard_up", A, shard="s1"): "0x20", series("quarry_shard_up", B, shard="s1"): "1x20"}]),
    "QuarryShardUnreachable": Case(
        5, {**A, "shard": "s1"},
        {series("quarry_shard_up", A, shard="s1"): "0x20", series("quarry_shard_up", B, shard="s1"): "1x20"},
        [{series("quarry_shard_up", A, shard="s1"): "0x20", series("quarry_shard_up", B, shard="s1"): "0x20"},
         {series("quarry_shard_up", A, shard="s1"): "1x20", series("quarry_shard_up", B, shard="s1"): "1x20"}]),
    "QuarryShardFailingCalls": Case(
        10, S1, shard_calls(900, 100),
        [shard_calls(1000, 1), shard_calls(900, 100, kind="ping"), shard_calls(900, 100, code="AlreadyExists"),
         shard_calls(5, 1)]),
    "QuarryBreakerOpen": gauge("quarry_shard_breaker_open", {**A, "shard": "s1"}, 1, 0, at=3),
    "QuarryPoolWaiters": Case(
        10, S1, {series("quarry_pool_waiters", A, shard="s1"): "3x30"},
        [{series("quarry_pool_waiters", A, shard="s1"): "0x30"}, {series("quarry_pool_waiters", A, shard="s1"): "3x3 0 3x3 0 3x3 0 3x3 0 3x3"}]),
    "QuarryPoolNearlyFull": Case(
        15, S1, FULL_POOL, [{**FULL_POOL, series("quarry_pool_sessions_leased", A, shard="s1"): "10x30"},
                        {**FULL_POOL, series("quarry_pool_sessions_leased", A, shard="s1"): "15x7 3 15x9 3 15x30"}]),
    "QuarryShedding": Case(
        10, S1, {series("quarry_shard_shed_total", A, shard="s1"): "0+60x30"},
        [{series("quarry_shard_shed_total", A, shard="s1"): "7x30"}, shard_calls(900, 0, code="ResourceExhausted")]),
    "QuarryTransactionsInDoubt": gauge("quarry_transactions_in_doubt_oldest_seconds", A, 90, 3, at=3),
    "QuarryTransactionStrangers": gauge("quarry_transactions_strangers", A, 1, 0, at=3),
    "QuarryRecoveryUnaskedShards": gauge("quarry_recovery_unasked_shards", A, 1, 0, at=7),
    "QuarryRecoveryStuck": Case(
        30, A, {series("quarry_recovery_sweeps_total", A): "500x60"},
        [{series("quarry_recovery_sweeps_total", A): "0+60x60"},
         {series("quarry_recovery_sweeps_total", A): "1x9 2x9 3x9 4x30"},  # The longest interval there is.
         {series("quarry_recovery_sweeps_total", A): "_x23 1x30"}]),  # It has just started.
    "QuarryTransactionContradicted": Case(
        5, HERE, {series("quarry_commit_troubles_total", A, kind="contradicted"): "0 0 1x30"},
        [{series("quarry_commit_troubles_total", A, kind="contradicted"): "2x30",
          series("quarry_commit_troubles_total", A, kind="rolled_back"): "0+9x30"}]),
    "QuarryAuditFindings": gauge("quarry_audit_findings", A, 2, 0, at=1),
    "QuarryLocksLost": Case(
        5, HERE, {series("quarry_locks_lost_total", A): "0 0 1x30"}, [{series("quarry_locks_lost_total", A): "4x30"}]),
}
