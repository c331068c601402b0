"""What transactions over several shards cost: two shards against one after the other, the gate, snapshots, forwarding."""

import contextlib
import functools
import json
import urllib.request

import compare
import delay
import goals
import ratios
import stand as stands
import tables

SHARDS = 4
GATES = 10  # Of one transaction of pgbench.
FAR_SECONDS = 0.02  # Of a round trip to the databases that are far.
P50, MICROSECONDS = goals.P50, "us"
NO_GOAL = (None, None)
HEADLINE = f"""\
Four shards. "Apart" is the same two updates as two commits of one shard each, the second after the first has answered. One call
in flight, unless said. Trips are counted at databases that are {FAR_SECONDS * 1000:.0f} ms away: what a call takes there, beside a Get's one trip.
The gate's share is what its statement adds to a pipelined transaction of pgbench, twice (once a shard), of a two-shard commit; it is
the mean of {GATES} gates in one transaction, without the flush to disk."""


def _ratio(name, limits, what, figure, base):
    return ratios.Ratio(name, "", what, ratios.Figure(*figure), (ratios.Figure(*base),), *limits, True)


RATIOS = (
    _ratio("pg_two_shards", (1.8, 1.8), "PG commit over two shards, p50 us / apart", ("pg_across", P50), ("pg_apart", P50)),
    _ratio("pg_two_shards_16", NO_GOAL, "PG commit over two shards, 16 in flight, p50 us / apart",
           ("pg_across_16", P50), ("pg_apart_16", P50)),
    _ratio("sqlite_two_shards", (1.8, 1.8), "SQLite commit over two shards, p50 us / apart",
           ("sqlite_across", P50), ("sqlite_apart", P50)),
    _ratio("sqlite_two_files", NO_GOAL, "SQLite commit over two shards, p50 us / two plain commits of one thread",
           ("sqlite_across", P50), ("raw_sqlite_two", MICROSECONDS)),
    _ratio("pg_two_shards_trips", NO_GOAL, "PG commit over two shards, trips", ("far_across", P50), ("far_get", P50)),
    _ratio("pg_apart_trips", NO_GOAL, "PG two commits apart, trips", ("far_apart", P50), ("far_get", P50)),
    _ratio("pg_strict", (1.1, 1.1), "PG Update, snapshot_order strict, p50 us / cross_shard",
           ("pg_update_strict", P50), ("pg_update", P50)),
    _ratio("pg_strict_64", (1.1, 1.1), "PG Update, 64 in flight, strict, p50 us / cross_shard",
           ("pg_update_strict_64", P50), ("pg_update_64", P50)),
    _ratio("sqlite_strict_64", (1.1, 1.1), "SQLite Update, 64 in flight, strict, p50 us / cross_shard",
           ("sqlite_update_strict_64", P50), ("sqlite_update_64", P50)),
    _ratio("gate_share", (0.1, 0.1), "the gate's statements, us / PG commit over two shards, p50",
           ("gate", MICROSECONDS), ("pg_across", P50)),
    _ratio("snapshot_trips", (3.3, 3.0), "Begin of a snapshot over four PG shards, trips", ("far_begin", P50), ("far_get", P50)),
    _ratio("snapshot_begin", NO_GOAL, "Begin of a snapshot over four PG shards, p50 us / Get", ("pg_begin", P50), ("pg_get", P50)),
    _ratio("snapshot_aggregate", NO_GOAL, "PG Aggregate of four shards, snapshot, p50 us / without",
           ("pg_aggregate_snapshot", P50), ("pg_aggregate", P50)),
    _ratio("snapshot_list", NO_GOAL, "PG List of four shards, snapshot, p50 us / without",
           ("pg_list_snapshot", P50), ("pg_list", P50)),
    _ratio("forwarded", NO_GOAL, "PG Get in a transaction through another gateway, p50 us / directly",
           ("get_forwarded", P50), ("get_direct", P50)),
)

# Which servers a cell needs; "raw" none of ours.
NEEDS = {"far": ("far",), "pg": ("pg",), "sqlite": ("sqlite",), "get": ("pg", "peer"), "gate": (), "raw": ()}


def needs(cell):
    """The gateways that a cell calls."""
    if "strict" in cell:
        return (f"{cell.split('_')[0]}_strict",)
    return NEEDS[cell.split("_")[0]]


def asked(served, method, body):
    request = urllib.request.Request(f"{served.http}/quarry.v1.TransactionService/{method}", json.dumps(body).encode(),
                                     {"content-type": "application/json"})
    with urllib.request.urlopen(request) as reply:
        return json.load(reply)


def in_transaction(run, owner, called):
    """Gets in a transaction of the gateway `owner`, sent to the gateway `called`."""
    transaction = asked(owner, "Begin", {"readOnly": True})["transactionId"]
    try:
        return run.calls(called, "get", 1, "--transaction", transaction)
    finally:
        asked(owner, "Rollback", {"transactionId": transaction})


def pipelined_script(gates):
    """The transaction of an update as a gateway sends it, with so many different gates passed. Without the flush to disk, whose time
    varies by more than a gate costs."""
    keys = f"\\set id random(1, {stands.KEYS})\n\\set balance random(1, 1000000)\n"
    locks = "".join(f"SELECT pg_advisory_xact_lock_shared({4711 + gate});\n" for gate in range(gates))
    update = "SET LOCAL synchronous_commit = off;\nUPDATE accounts SET balance = :balance WHERE id = :id;\n"
    return f"{keys}\\startpipeline\nBEGIN;\n{update}{locks}COMMIT;\n\\endpipeline\n"


def gate_cost(run):
    """Of two of its statements."""
    plain, passing = (run.pgbench("bench", pipelined_script(gates), 1)["latency_us"] for gates in (0, GATES))
    return {MICROSECONDS: 2 * (passing - plain) / GATES}


def two_plain_commits(run):
    return {MICROSECONDS: 2e6 / run.sqlite_loop("update")["calls_per_second"]}


def cells_of(run, gateways):
    """Name of each cell to what runs it. `gateways` maps names to Served; what a cell needs is looked up when it runs."""

    def calls(name, op, concurrency, *options):
        return lambda: run.calls(gateways[name], op, concurrency, *options)

    snapshot = ("--snapshot", "true")
    return {
        "pg_across": calls("pg", "commit_across", 1),
        "pg_apart": calls("pg", "commit_apart", 1),
        "pg_across_16": calls("pg", "commit_across", 16),
        "pg_apart_16": calls("pg", "commit_apart", 16),
        "sqlite_across": calls("sqlite", "commit_across", 1),
        "sqlite_apart": calls("sqlite", "commit_apart", 1),
        "raw_sqlite_two": functools.partial(two_plain_commits, run),
        "far_get": calls("far", "get", 1),
        "far_across": calls("far", "commit_across", 1),
        "far_apart": calls("far", "commit_apart", 1),
        "far_begin": calls("far", "begin_snapshot", 1),
        "pg_update": calls("pg", "update", 1),
        "pg_update_64": calls("pg", "update", 64),
        "pg_update_strict": calls("pg_strict", "update", 1),
        "pg_update_strict_64": calls("pg_strict", "update", 64),
        "sqlite_update_64": calls("sqlite", "update", 64),
        "sqlite_update_strict_64": calls("sqlite_strict", "update", 64),
        "gate": functools.partial(gate_cost, run),
        "pg_get": calls("pg", "get", 1),
        "pg_begin": calls("pg", "begin_snapshot", 1),
        "pg_aggregate": calls("pg", "aggregate", 1),
        "pg_aggregate_snapshot": calls("pg", "aggregate", 1, *snapshot),
        "pg_list": calls("pg", "list", 1),
        "pg_list_snapshot": calls("pg", "list", 1, *snapshot),
        "get_direct": lambda: in_transaction(run, gateways["pg"], gateways["pg"]),
        "get_forwarded": lambda: in_transaction(run, gateways["pg"], gateways["peer"]),
    }


@contextlib.contextmanager
def cells(run, names):
    """The gateways that these cells need, all over the same databases, those of SQLite each over files of its own."""
    stand = run.stand
    databases = [f"shard{index}" for index in range(SHARDS)]
    wanted = {gateway for name in names for gateway in needs(name)}
    strict = ("transactions.snapshot_order=strict",)
    gateways = {}
    with contextlib.ExitStack() as stack:
        stack.enter_context(stand.cluster([*databases, "bench"]))
        rows = f"SELECT i, 1000, repeat('p', {stands.VALUE_BYTES}) FROM generate_series(1, {stands.KEYS}) AS i"
        stand.psql("bench", *stands.create("accounts"), f"INSERT INTO accounts {rows}", "VACUUM ANALYZE")
        shards = stand.postgres_shards(databases, stands.create("accounts"))

        def start(name, of, settings=()):
            gateways[name] = stack.enter_context(stand.gateway(name, of, ("accounts",), settings))

        start("pg", shards)
        stand.fill(gateways["pg"])
        if "pg_strict" in wanted:
            start("pg_strict", shards, strict)
        if "peer" in wanted:
            start("peer", shards, (f"peers.addresses=[{gateways['pg'].address}]",))
        if "far" in wanted:
            port = stack.enter_context(delay.delayed(stand.port, FAR_SECONDS))
            start("far", [shard.replace(f"port={stand.port} ", f"port={port} ") for shard in shards])
        for name, settings in (("sqlite", ()), ("sqlite_strict", strict)):
            if name in wanted:
                start(name, stand.sqlite_shards(name, SHARDS, stands.create("accounts")), settings)
                stand.fill(gateways[name])
        yield cells_of(run, gateways)


def run(run_programs, options):
    chosen = [ratio for ratio in RATIOS if options.only.search(ratio.name)]
    names = ratios.cells_of(chosen)
    with cells(run_programs, names) as ready:
        rounds = compare.measure(ready, names, options.rounds)
    results = {ratio.name: ratios.measured(ratio, rounds) for ratio in chosen}
    machine = stands.machine()
    print(f"{compare.banner(machine, options)}\n{HEADLINE}\n")
    header, rows = compare.table_of(chosen, results)
    print(tables.render(header[1:], [row[1:] for row in rows]))
    if options.json:
        compare.save(options.json, machine, options.command, rounds, results)
    return 0
