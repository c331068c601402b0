"""The same work on one database directly, and through Quarry on 1, 2, 4 and 8 shards of the same machine."""

import contextlib
import functools

import compare
import goals
import programs
import ratios
import stand as stands
import tables

COUNTS = (1, 2, 4, 8)
# Workload to the calls in flight and the figure that counts.
WORK = {
    "get": (64, goals.CALLS, ()),
    "update": (64, goals.CALLS, ()),
    "batch_get": (16, goals.ITEMS, ("--batch", goals.BATCH)),
}
HEADLINE = """\
All shards are databases of one machine, which client, gateway and databases share: this shows what the way
through the gateway costs, not what more machines bring. Direct is pgbench with 32 clients (16 for batches),
prepared, over a unix socket; for SQLite one thread in a loop, a batch being one transaction."""


def ratio_list():
    """Each workload on each number of shards, against the same work on the database directly."""
    return [
        ratios.Ratio(
            f"{kind}_{op}_{count}",
            "",
            f"{stands.NAMES[kind]} {op}, {count} shard{'s' if count > 1 else ''}",
            ratios.Figure(f"{kind}_{op}_{count}", key),
            (ratios.Figure(f"{kind}_{op}_direct", key),),
        )
        for kind in ("pg", "sqlite")
        for op, (_, key, _) in WORK.items()
        for count in COUNTS
    ]


def direct_cells(run):
    batch = programs.batch_script(goals.BATCH)
    return {
        "pg_get_direct": lambda: run.pgbench("bench", programs.select_script(), 32),
        "pg_update_direct": lambda: run.pgbench("bench", programs.update_script(), 32),
        "pg_batch_get_direct": lambda: run.pgbench("bench", batch, 16, weight=goals.BATCH),
        "sqlite_get_direct": lambda: run.sqlite_loop("read"),
        "sqlite_update_direct": lambda: run.sqlite_loop("update"),
        "sqlite_batch_get_direct": lambda: run.sqlite_loop("read", batch=goals.BATCH),
    }


@contextlib.contextmanager
def cells(run):
    """Every gateway runs for the whole time; those that no cell calls are idle."""
    stand = run.stand
    everything = direct_cells(run)

    def add(kind, served, count):
        stand.fill(served)
        for op, (width, _, options) in WORK.items():
            everything[f"{kind}_{op}_{count}"] = functools.partial(run.calls, served, op, width, *options)

    databases = {count: [f"of{count}_{index}" for index in range(count)] for count in COUNTS}
    with contextlib.ExitStack() as stack:
        stack.enter_context(
            stand.cluster(["bench", *(name for names in databases.values() for name in names)])
        )
        rows = f"SELECT i, 1000, repeat('p', {stands.VALUE_BYTES}) FROM generate_series(1, {stands.KEYS}) AS i"
        fill = f"INSERT INTO accounts {rows}"
        stand.psql("bench", *stands.create("accounts"), fill, "VACUUM ANALYZE")
        for count in COUNTS:
            shards = stand.postgres_shards(databases[count], stands.create("accounts"))
            add("pg", stack.enter_context(stand.gateway(f"pg{count}", shards)), count)
            shards = stand.sqlite_shards(f"sqlite{count}", count, stands.create("accounts"))
            add("sqlite", stack.enter_context(stand.gateway(f"sqlite{count}", shards)), count)
        yield everything


def run(run_programs, options):
    chosen = [ratio for ratio in ratio_list() if options.only.search(ratio.name)]
    with cells(run_programs) as ready:
        rounds = compare.measure(ready, ratios.cells_of(chosen), options.rounds)
    results = {ratio.name: ratios.measured(ratio, rounds) for ratio in chosen}
    machine = stands.machine()
    print(f"{compare.banner(machine, options)}\n{HEADLINE}\n")
    header = ("what", "per second", "direct", "ratio", "span")
    print(tables.render(header, [(ratio.what, *compare.shown(results[ratio.name])) for ratio in chosen]))
    if options.json:
        compare.save(options.json, machine, options.command, rounds, results)
    return 0
