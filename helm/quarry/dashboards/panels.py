"""What the dashboards show: each panel's title, what it means, its unit and its queries. generate.py makes the JSON."""

from grafana import ORANGE, RED, lines, stat, states, table, words

GATEWAY = 'namespace=~"$namespace", job=~"$job", instance=~"$instance"'
SHARD = GATEWAY + ', shard=~"$shard"'
RATE = "[$__rate_interval]"
OURS = 'grpc_code=~"Unavailable|Unknown|Internal|DataLoss|DeadlineExceeded|ResourceExhausted"'
THEIRS = 'grpc_code!~"OK|Unavailable|Unknown|Internal|DataLoss|DeadlineExceeded|ResourceExhausted"'
SHARD_FAULT = 'code=~"Unavailable|Unknown|Internal|DataLoss|DeadlineExceeded|ResourceExhausted", kind!="ping"'
BY_KEY = 'grpc_service="quarry.v1.DataService", grpc_method=~"Get|BatchGet|Insert|Update|Upsert|Delete"'
OBJECTIVE = 'grpc_service=~"quarry[.]v1[.](Data|Transaction|Shard)Service"'
QUERIES = ('grpc_service=~"quarry[.]v1[.](Data|Shard)Service", '
           'grpc_method=~"List|Query|Aggregate|UpdateWhere|DeleteWhere|OnShard|OnAllShards"')
SHARD_STATES = [(0, 0.001, "down", RED), (0.001, 0.999, "some gateways reach it", ORANGE), (0.999, 1, "up", "green")]


def rate(metric, by, labels=GATEWAY, more=""):
    grouped = f" by ({by})" if by else ""
    return f"sum{grouped} (rate({metric}{{{labels}{', ' if more else ''}{more}}}{RATE}))"


def quantile(q, histogram, by="", labels=GATEWAY, more=""):
    grouped = f"{by}, le" if by else "le"
    made = f"histogram_quantile({q}, {rate(histogram + '_bucket', grouped, labels, more)})"
    return made + " >= 0" if by else made  # Without calls it is not a number; such series are left out.


def quantiles(histogram, labels=GATEWAY, more=""):
    return [(quantile(q, histogram, "", labels, more), name) for q, name in ((0.5, "median"), (0.95, "95 %"), (0.99, "99 %"))]


def gauge(metric, by, labels=GATEWAY, how="sum"):
    return f"{how}{f' by ({by})' if by else ''} ({metric}{{{labels}}})"


def failed_share():
    everything = rate("grpc_server_handled_total", "", more=OBJECTIVE)
    failed = rate("grpc_server_handled_total", "", more=f"{OBJECTIVE}, {OURS}")
    return f"({failed} or 0 * {everything}) / {everything}"


def burn(kind, budget):
    return [(f'max by (job) (quarry:{kind}:ratio_rate{window}{{namespace=~"$namespace", job=~"$job"}}) / {budget}', f"{{{{job}}}}, last {window}")
            for window in ("5m", "1h", "6h", "3d")]


def overview():
    return [
        ("Now", [
            stat("Gateways", "Gateways that Prometheus reaches.", "none", f"count(quarry_build_info{{{GATEWAY}}})", link="gateways"),
            stat("Shards down", "Shards that no gateway reaches: calls for their keys fail.", "none",
                 f"sum(1 - max by (namespace, job, shard) (quarry_shard_up{{{SHARD}}}))", [(1, RED)], link="shards"),
            stat("Calls", "Calls that ended, a second, over gRPC and as JSON.", "reqps", rate("grpc_server_handled_total", "")),
            stat("Failed calls", "Share of calls that failed for a reason of the gateway or a database. Objective: under 0.1 %.",
                 "percentunit", failed_share(), [(0.001, ORANGE), (0.01, RED)]),
            stat("Slowest of 100 calls by key", "99 of 100 reads and writes by key were faster. Objective: 100 ms.", "s",
                 quantile(0.99, "grpc_server_handling_seconds", more=BY_KEY), [(0.05, ORANGE), (0.1, RED)], link="queries"),
            stat("Oldest in doubt", "For how long the oldest unfinished transaction over several shards has waited, with its locks.",
                 "s", gauge("quarry_transactions_in_doubt_oldest_seconds", "", how="max"), [(10, ORANGE), (60, RED)],
                 link="transactions"),
        ]),
        ("Calls", [
            lines("Calls by method", "Calls that ended, a second. Methods without calls are left out.", "reqps",
                  (rate("grpc_server_handled_total", "grpc_method") + " > 0", "{{grpc_method}}"), stack=True),
            lines("Failed calls by code", "Calls that failed for a reason of the gateway or a database, a second. Empty is good. "
                  "Mistakes of callers are on the dashboard Queries.", "reqps",
                  (rate("grpc_server_handled_total", "grpc_code", more=OURS), "{{grpc_code}}")),
            lines("Time of calls by key", "From a call's arrival at the gateway to its end: half, 95 % and 99 % of the calls were faster.",
                  "s", *quantiles("grpc_server_handling_seconds", more=BY_KEY), levels=[(0.1, RED)]),
        ]),
        ("Objectives", [
            lines("Error budget, burn rate", "1: the month's budget of failed calls (0.1 %) lasts just a month. Alerts: 14.4 over an hour, 6 over "
                  "six hours, 3 over a day, 1 over three. Needs the recording rules.", "none", *burn("call_errors", 0.001),
                  levels=[(1, ORANGE), (14.4, RED)], width=12),
            lines("Latency budget, burn rate", "The same for calls by key that took over 100 ms (1 %). Needs the recording rules.", "none",
                  *burn("slow_calls", 0.01), levels=[(1, ORANGE), (14.4, RED)], width=12),
        ]),
        ("Shards", [
            states("Shards", "Whether gateways reach each shard.", f"avg by (shard) (quarry_shard_up{{{SHARD}}})", "{{shard}}",
                   SHARD_STATES, width=16, height=8, link="shards"),
            table("Alerts", "Alerts of Quarry that fire now. docs/runbooks.md has a section for each.",
                  'count by (alertname, severity, shard) (ALERTS{alertname=~"Quarry.+", alertstate="firing", namespace=~"$namespace", job=~"$job"})',
                  {"alertname": "alert", "severity": "severity", "shard": "shard", "Value": "number"}, "none", width=8, sort="severity"),
        ]),
    ]


def shards():
    return [
        ("Health", [
            states("State", "Whether gateways reach each shard.", f"avg by (shard) (quarry_shard_up{{{SHARD}}})", "{{shard}}",
                   SHARD_STATES),
            lines("Failed calls on shards", "Calls on a shard that failed for a reason of the database, the network or time, a second.",
                  "ops", (rate("quarry_shard_calls_total", "shard, code", SHARD, SHARD_FAULT), "{{shard}} {{code}}")),
            lines("Breakers open", "Loops that refuse calls of the shard at once, since it failed several times in a row. A gateway has a "
                  "loop for each core.", "none", (gauge("quarry_shard_breaker_open", "shard", SHARD), "{{shard}}"), levels=[(1, RED)]),
            lines("Retries", "Calls on a shard that the gateway tried again, a second; nothing is tried twice that may have been applied.",
                  "ops", (rate("quarry_shard_retries_total", "shard", SHARD), "{{shard}}")),
        ]),
        ("Load", [
            lines("Calls on shards", "Calls on each shard, a second, without the gateways' own pings.", "ops",
                  (rate("quarry_shard_calls_total", "shard", SHARD, 'kind!="ping"'), "{{shard}}")),
            lines("Calls by kind", "The same over all chosen shards, by kind of call.", "ops",
                  (rate("quarry_shard_calls_total", "kind", SHARD, 'kind!="ping"'), "{{kind}}"), stack=True),
            lines("Statements", "Statements that each database ran, a second.", "ops",
                  (rate("quarry_statements_total", "shard", SHARD), "{{shard}}")),
            lines("Calls under way", "How many calls each shard has at a time, on average: the time of its calls, a second.", "none",
                  (rate("quarry_shard_call_seconds_sum", "shard", SHARD), "{{shard}}")),
            lines("Refused", "Calls refused, a second: because too many are under way or too little time is left, or because the line for a session "
                  "is full (or the database's disk).", "ops", (rate("quarry_shard_shed_total", "shard", SHARD), "{{shard}} too many"),
                  (rate("quarry_shard_calls_total", "shard", SHARD, 'code="ResourceExhausted"'), "{{shard}} full")),
            lines("Calls in line for a session", "All sessions of the shard are in use, and so many calls wait for one.", "none",
                  (gauge("quarry_pool_waiters", "shard", SHARD), "{{shard}}"), levels=[(1, ORANGE)]),
        ]),
        ("Time", [
            lines("Time of calls on shards, 99 %", "From the engine's call to its end, the wait for a session included. 99 of 100 were faster.",
                  "s", (quantile(0.99, "quarry_shard_call_seconds", "shard", SHARD, 'kind!="ping"'), "{{shard}}")),
            lines("Time of calls on shards, median", "Half of the calls were faster.", "s",
                  (quantile(0.5, "quarry_shard_call_seconds", "shard", SHARD, 'kind!="ping"'), "{{shard}}")),
            lines("Time by kind, 99 %", "99 of 100 calls of that kind were faster, over all chosen shards.", "s",
                  (quantile(0.99, "quarry_shard_call_seconds", "kind", SHARD, 'kind!="ping"'), "{{kind}}")),
        ]),
        ("Sessions", [
            lines("Sessions in use", "Share of the sessions that calls and transactions hold, of the gateway with the fullest pool.", "percentunit",
                  (f"max by (shard) (quarry_pool_sessions_leased{{{SHARD}}} / quarry_pool_sessions_max{{{SHARD}}})", "{{shard}}"),
                  levels=[(0.9, RED)]),
            lines("Sessions open", "Connections to each database, those that single statements share left out.", "none",
                  (gauge("quarry_pool_sessions_open", "shard", SHARD), "{{shard}}")),
            lines("Sessions held", "Sessions that calls and transactions hold. What stays without calls is an open transaction.", "none",
                  (gauge("quarry_shard_sessions_in_use", "shard", SHARD), "{{shard}}")),
        ]),
    ]


def queries():
    cache = rate("quarry_result_cache_requests_total", "")
    hits = rate("quarry_result_cache_requests_total", "", more='result="hit"')
    statements = rate("quarry_statements_total", "", SHARD)
    calls = rate("grpc_server_handled_total", "", more='grpc_service=~"quarry[.]v1[.](Data|Shard)Service"')
    found = rate("quarry_prepared_statements_total", "shard", SHARD, 'result="hit"')
    prepared = rate("quarry_prepared_statements_total", "shard", SHARD)
    return [
        ("Which query costs what", [
            words("Metrics know methods, not queries: tables and filters are no labels. `quarryctl top --by time` shows what cost most since the "
                  "start, `quarryctl top --shards` on which shard, and `quarryctl insights` what could be cheaper.", height=2),
        ]),
        ("Rows by key", [
            lines("Calls", "Reads and writes by key, a second.", "reqps",
                  (rate("grpc_server_handled_total", "grpc_method", more=BY_KEY) + " > 0", "{{grpc_method}}"), stack=True),
            lines("Time, median", "Half of the calls were faster.", "s",
                  (quantile(0.5, "grpc_server_handling_seconds", "grpc_method", more=BY_KEY), "{{grpc_method}}")),
            lines("Time, 99 %", "99 of 100 calls were faster.", "s",
                  (quantile(0.99, "grpc_server_handling_seconds", "grpc_method", more=BY_KEY), "{{grpc_method}}"), levels=[(0.1, RED)]),
        ]),
        ("Lists, queries, aggregates, SQL", [
            lines("Calls", "Calls that may ask many shards, a second.", "reqps",
                  (rate("grpc_server_handled_total", "grpc_method", more=QUERIES) + " > 0", "{{grpc_method}}"), stack=True),
            lines("Time, median", "Half of the calls were faster. A stream ends with its last row.", "s",
                  (quantile(0.5, "grpc_server_handling_seconds", "grpc_method", more=QUERIES), "{{grpc_method}}")),
            lines("Time, 99 %", "99 of 100 calls were faster.", "s",
                  (quantile(0.99, "grpc_server_handling_seconds", "grpc_method", more=QUERIES), "{{grpc_method}}")),
        ]),
        ("Errors", [
            lines("Failed for a reason of ours", "By method: the gateway or a database could not do it. Empty is good.", "reqps",
                  (rate("grpc_server_handled_total", "grpc_method, grpc_code", more=OURS), "{{grpc_method}} {{grpc_code}}"), width=12),
            lines("Refused for a reason of the caller's", "By code: rows that are not there, constraints, wrong fields, conflicts (Aborted). A jump "
                  "after a roll-out of a client is worth a look.", "reqps",
                  (rate("grpc_server_handled_total", "grpc_code", more=THEIRS), "{{grpc_code}}"), width=12),
        ]),
        ("What saves work", [
            lines("Statements per call", "Statements on databases for each call by key or query: how far calls fan out.", "none",
                  (f"{statements} / {calls}", "statements")),
            lines("Prepared statements found", "Share of statements that the session had prepared before. Low: many different shapes.",
                  "percentunit", (f"{found} / {prepared}", "{{shard}}")),
            lines("Kept answers used", "Of the calls that accept an old answer (max_staleness, on tables with cache_max_age), the share that got one.",
                  "percentunit", (f"{hits} / {cache}", "hits")),
            lines("Shared work", "A second: reads by key that shared a statement (PostgreSQL), calls that shared the answer to an identical read, writes "
                  "that shared a durable commit.", "ops",
                  (rate("quarry_joined_reads_total", "", SHARD), "reads in one statement"),
                  (rate("quarry_merged_reads_total", ""), "identical reads"),
                  (rate("quarry_grouped_writes_total", "", SHARD), "writes in one commit")),
            lines("Kept answers dropped for space", "A second. More than a few: raise cache.bytes, or keep answers of fewer tables.", "ops",
                  (rate("quarry_result_cache_evictions_total", ""), "dropped")),
            lines("Keys resolved", "Keys that each resolver was asked for, a second, and how many it mapped nowhere.", "ops",
                  (rate("quarry_resolutions_total", "resolver, result"), "{{resolver}} {{result}}")),
        ]),
    ]


def transactions():
    commit_steps = 'kind=~"prepare|commit|rollback"'
    service = 'grpc_service="quarry.v1.TransactionService"'
    locks = 'grpc_service="quarry.v1.LockService", grpc_type="unary"'
    return [
        ("Now", [
            stat("Open", "Interactive transactions that clients hold.", "none", gauge("quarry_open_transactions", "")),
            stat("In doubt", "Transactions over several shards that recovery has found and not ended.", "none",
                 gauge("quarry_transactions_in_doubt", "", how="max"), [(1, ORANGE), (10, RED)]),
            stat("Oldest in doubt", "For how long the oldest of them has waited, with its locks.", "s",
                 gauge("quarry_transactions_in_doubt_oldest_seconds", "", how="max"), [(10, ORANGE), (60, RED)]),
            stat("Home not configured", "Those of them whose home is no shard of the configuration: they wait until it is one again.", "none",
                 gauge("quarry_transactions_strangers", "", how="max"), [(1, RED)]),
            stat("Shards not asked", "Shards that the latest look of recovery could not ask.", "none",
                 gauge("quarry_recovery_unasked_shards", "", how="max"), [(1, ORANGE)]),
            stat("Audit findings", "What the latest audit found wrong. Anything but 0 needs a person.", "none",
                 gauge("quarry_audit_findings", "", how="max"), [(1, RED)]),
        ]),
        ("Commits", [
            lines("Commits by phases", "Commits a second: in one phase where one shard was written, in two where several were.", "ops",
                  (rate("quarry_commits_total", "phase"), "{{phase}}"), stack=True),
            lines("Commits that did not go well", "A second: rolled back (a shard could not prepare), callers told in_doubt, left unfinished to "
                  "recovery, or contradicted by a shard.", "ops", (rate("quarry_commit_troubles_total", "kind"), "{{kind}}")),
            lines("Steps of commits on shards, 99 %", "99 of 100 were faster; a step that is slow on one shard holds up the whole commit.", "s",
                  (quantile(0.99, "quarry_shard_call_seconds", "kind", more=commit_steps), "{{kind}}")),
            lines("Calls", "Calls of TransactionService, a second.", "reqps",
                  (rate("grpc_server_handled_total", "grpc_method", more=service) + " > 0", "{{grpc_method}}"), stack=True),
            lines("Time of calls, 99 %", "99 of 100 were faster.", "s",
                  (quantile(0.99, "grpc_server_handling_seconds", "grpc_method", more=service), "{{grpc_method}}")),
            lines("Conflicts", "Calls that ended in ABORTED, a second: their callers run them again.", "reqps",
                  (rate("grpc_server_handled_total", "grpc_method", more='grpc_code="Aborted"'), "{{grpc_method}}")),
        ]),
        ("Open and in doubt", [
            lines("Open transactions", "By gateway. They hold sessions and row locks; what only grows is a client that forgets them.", "none",
                  (gauge("quarry_open_transactions", "instance"), "{{instance}}")),
            lines("In doubt", "As each gateway's latest look saw it: how many, and the age of the oldest in seconds.", "none",
                  (gauge("quarry_transactions_in_doubt", "", how="max"), "transactions"),
                  (gauge("quarry_transactions_in_doubt_oldest_seconds", "", how="max"), "age of the oldest [s]"), levels=[(60, RED)]),
            lines("Ended by recovery", "Transactions a second that recovery has ended, by verdict, and tries that a shard without an answer put off.",
                  "ops", (rate("quarry_recovery_resolved_total", "verdict"), "{{verdict}}"),
                  (rate("quarry_recovery_postponed_total", ""), "postponed")),
            lines("Looks of recovery", "Looks over all shards, a second, by gateway. At 0 it stands still.", "ops",
                  (rate("quarry_recovery_sweeps_total", "instance"), "{{instance}}"), width=12),
            lines("Decisions forgotten", "Old decisions that were deleted, a second (transactions.outcome_keep).", "ops",
                  (rate("quarry_decisions_forgotten_total", ""), "forgotten"), width=12),
        ]),
        ("Locks", [
            lines("Locks held, and callers in line", "Leases granted or renewed that last, and calls that wait for one.", "none",
                  (gauge("quarry_locks_held", ""), "held"), (gauge("quarry_lock_waiters", ""), "in line")),
            lines("Wait for a lock", "From a call for a lock to its grant: half, 95 % and 99 % waited less.", "s",
                  *quantiles("quarry_lock_wait_seconds")),
            lines("Lost", "Renewals refused because the lease was over, a second. Somebody else may have the lock.", "ops",
                  (rate("quarry_locks_lost_total", ""), "lost")),
            lines("Time of calls of LockService, 99 %", "Acquire waits in line, the others should be short.", "s",
                  (quantile(0.99, "grpc_server_handling_seconds", "grpc_method", more=locks), "{{grpc_method}}"), width=24),
        ]),
    ]


def gateways():
    in_flight = (f"sum by (instance) (grpc_server_started_total{{{GATEWAY}}}) - "
                 f"sum by (instance) (grpc_server_handled_total{{{GATEWAY}}})")
    return [
        ("Gateways", [
            table("Gateways", "Each gateway that Prometheus reaches: its version, and for how long it has run.",
                  f"(time() - process_start_time_seconds{{{GATEWAY}}}) * on (job, instance) group_left (version, deployment) "
                  f"quarry_build_info{{{GATEWAY}}}",
                  {"instance": "gateway", "deployment": "deployment", "version": "version", "Value": "up for"}, "s", sort="instance"),
            states("Scrapes", "Whether Prometheus reaches each gateway's HTTP port.", f"min by (instance) (up{{{GATEWAY}}})", "{{instance}}",
                   [(0, 0.5, "silent", RED), (0.5, 1, "answers", "green")], width=12, height=8),
            states("Tables", "Whether each gateway knows the shards' tables. Until it does, it is not ready and refuses calls.",
                   f"min by (instance) (quarry_catalog_ready{{{GATEWAY}}})", "{{instance}}",
                   [(0, 0.5, "unknown", RED), (0.5, 1, "known", "green")], height=5),
        ]),
        ("Calls", [
            lines("Calls by gateway", "Calls that ended, a second; lines that part tell of a balancer that does not balance.", "reqps",
                  (rate("grpc_server_handled_total", "instance"), "{{instance}}")),
            lines("Time of calls by key, 99 %", "By gateway: 99 of 100 were faster.", "s",
                  (quantile(0.99, "grpc_server_handling_seconds", "instance", more=BY_KEY), "{{instance}}"), levels=[(0.1, RED)]),
            lines("Calls in flight", "Begun and not ended, by gateway, streams and waits for locks included. limits.calls_max bounds them.", "none",
                  (in_flight, "{{instance}}")),
        ]),
        ("Process", [
            lines("Processor", "Cores that each gateway keeps busy.", "none",
                  (f"sum by (instance) (rate(process_cpu_seconds_total{{{GATEWAY}}}{RATE}))", "{{instance}}")),
            lines("Memory", "Resident memory of each gateway.", "bytes",
                  (f"sum by (instance) (process_resident_memory_bytes{{{GATEWAY}}})", "{{instance}}")),
            lines("Open files", "Files and connections that are open, of those that may be.", "percentunit",
                  (f"max by (instance) (process_open_fds{{{GATEWAY}}} / process_max_fds{{{GATEWAY}}})", "{{instance}}"),
                  levels=[(0.8, RED)]),
        ]),
        ("Peers", [
            lines("Peers", "Addresses of gateways by what is there, as each gateway sees it, added up. Silent ones are not good.", "none",
                  (gauge("quarry_peers", "state"), "{{state}}")),
            lines("Calls passed on", "Calls of transactions that another gateway has, a second, by how they ended.", "ops",
                  (rate("quarry_forwarded_calls_total", "result"), "{{result}}")),
            lines("Shards as each gateway sees them", "Shards that each gateway does not reach.", "none",
                  (f"sum by (instance) (1 - quarry_shard_up{{{GATEWAY}}})", "{{instance}}"), levels=[(1, RED)]),
        ]),
        ("Monitoring itself", [
            lines("Time of scrapes", "How long Prometheus waits for /metrics.", "s",
                  (f"max by (instance) (scrape_duration_seconds{{{GATEWAY}}})", "{{instance}}"), width=12),
            lines("Series", "Series that each gateway gives; docs/metrics.md has their bound.", "none",
                  (f"max by (instance) (scrape_samples_scraped{{{GATEWAY}}})", "{{instance}}"), width=12),
        ]),
    ]


DASHBOARDS = {
    "overview": ("Is it well, and if not, where? Calls, errors, objectives, shards.", overview),
    "shards": ("Each database as the gateways see it: state, load, time, sessions.", shards),
    "queries": ("Calls by method: how many, how long, how they fail, and what saves work.", queries),
    "transactions": ("Commits, transactions in doubt, recovery, locks.", transactions),
    "gateways": ("Each gateway: calls, processor, memory, peers.", gateways),
}
