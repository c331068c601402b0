"""What one setting changes: the same calls with it and without, interleaved."""

import contextlib
import functools
import os
from typing import NamedTuple

import compare
import goals
import ratios
import stand as stands
import tables

SHARDS = 4
HEADLINE = "Each line changes one thing and leaves the rest as it is by default: four shards, 64 calls in flight where no number is given."


class Change(NamedTuple):
    name: str
    what: str
    kind: str  # Of the shards.
    op: str
    concurrency: int = 64
    settings: tuple = ()  # Of the gateway.
    environment: tuple = ()  # Of the gateway; pairs.
    options: tuple = ()  # Of quarry-load, in both runs.
    changed: tuple = ()  # Of quarry-load, with the change.
    figure: str = goals.CALLS


CHANGES = (
    Change("loops_1", "loops: 1 instead of one a core, SQLite Get", "sqlite", "get", settings=("loops=1",)),
    Change("poll_epoll1", "GRPC_POLL_STRATEGY=epoll1, SQLite Get", "sqlite", "get",
           environment=(("GRPC_POLL_STRATEGY", "epoll1"),)),
    Change("tcache", "GLIBC_TUNABLES set to glibc's own, SQLite Get", "sqlite", "get",
           environment=(("GLIBC_TUNABLES", "glibc.malloc.tcache_count=7"),)),
    Change("channels", "client: 2 connections instead of 1, SQLite Get, 16 in flight", "sqlite", "get", 16,
           changed=("--channels", 2)),
    Change("pipelines_1", "pools.pipelines: 1 instead of 2, PG Get", "pg", "get", settings=("pools.pipelines=1",)),
    Change("pipelines_4", "pools.pipelines: 4 instead of 2, PG Get", "pg", "get", settings=("pools.pipelines=4",)),
    Change("sessions_2", "pools.sessions: 2 instead of 8, PG Commit of 2 updates", "pg", "commit",
           settings=("pools.sessions=2",)),
    Change("sessions_16", "pools.sessions: 16 instead of 8, PG Commit of 2 updates", "pg", "commit",
           settings=("pools.sessions=16",)),
    Change("request_id_pg", "request_id with each write, PG Update", "pg", "update", changed=("--request-ids", "true")),
    Change("request_id_sqlite", "request_id with each write, SQLite Update", "sqlite", "update",
           changed=("--request-ids", "true")),
)


def ratio_list():
    return [
        ratios.Ratio(change.name, "", change.what, ratios.Figure(change.name, change.figure),
                     (ratios.Figure(f"{change.name}_default", change.figure),))
        for change in CHANGES
    ]


@contextlib.contextmanager
def environment(pairs):
    """For the processes that start within."""
    before = {name: os.environ.get(name) for name, _ in pairs}
    os.environ.update(pairs)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name)
            else:
                os.environ[name] = value


@contextlib.contextmanager
def cells(run, changes):
    """A gateway for each change and one with the defaults for each kind; those that no cell calls are idle."""
    stand = run.stand
    databases = [f"shard{index}" for index in range(SHARDS)]
    with contextlib.ExitStack() as stack:
        stack.enter_context(stand.cluster(databases))
        pg_shards = stand.postgres_shards(databases, stands.create("accounts"))

        def gateway(kind, name, settings=(), pairs=()):
            shards = pg_shards
            if kind == "sqlite":  # Its files belong to one process.
                shards = stand.sqlite_shards(name, SHARDS, stands.create("accounts"))
            with environment(pairs):
                served = stack.enter_context(stand.gateway(name, shards, ("accounts",), settings))
            stand.fill(served)
            return served

        kinds = {change.kind for change in changes}
        defaults = {kind: gateway(kind, f"{kind}_default") for kind in kinds}
        ready = {}
        for change in changes:
            served = defaults[change.kind]
            ready[f"{change.name}_default"] = functools.partial(asked, run, change, served, ())
            if change.settings or change.environment:
                served = gateway(change.kind, change.name, change.settings, change.environment)
            ready[change.name] = functools.partial(asked, run, change, served, change.changed)
        yield ready


def asked(run, change, served, more):
    return run.calls(served, change.op, change.concurrency, *change.options, *more)


def run(run_programs, options):
    chosen = [ratio for ratio in ratio_list() if options.only.search(ratio.name)]
    names = {ratio.name for ratio in chosen}
    with cells(run_programs, [change for change in CHANGES if change.name in names]) as ready:
        rounds = compare.measure(ready, ratios.cells_of(chosen), options.rounds)
    results = {ratio.name: ratios.measured(ratio, rounds) for ratio in chosen}
    machine = stands.machine()
    print(f"{compare.banner(machine, options)}\n{HEADLINE}\n")
    header = ("what is changed", "per second", "default", "ratio", "span")
    print(tables.render(header, [(ratio.what, *compare.shown(results[ratio.name])) for ratio in chosen]))
    if options.json:
        compare.save(options.json, machine, options.command, rounds, results)
    return 0
