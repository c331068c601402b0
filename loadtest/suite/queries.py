"""Questions over many shards against the same questions on one: what scattering, merging and streaming cost."""

import contextlib
import functools
import json
import subprocess
import threading
import time
import urllib.request

import compare
import delay
import goals
import ratios
import stand as stands
import tables

SHARDS = 8
GROUPS = 1_000
FAR_SECONDS = 0.005  # Of a round trip to shards that are far.
P50, ITEMS, SECONDS, RSS = goals.P50, goals.ITEMS, "seconds", "rss_bytes"
HEADLINE = """\
Eight PostgreSQL databases of one machine, which client, gateway and databases share: work that eight servers would do at
once is done here by the machine's cores in turn. One shard holds all rows where "one" is said."""


def _ratio(name, limits, what, figure, base):
    figure, base = ratios.Figure(*figure), ratios.Figure(*base)
    return ratios.Ratio(name, "", what, figure, (base,), *limits, True)


RATIOS = (
    _ratio("scatter", (1.3, 1.3), "first row of 8 shards by key, p50 us / of the slowest alone",
           ("first_of_8", P50), ("first_of_slowest", P50)),
    _ratio("scatter_far", (1.3, 1.3), f"the same, where each shard is {1e3 * FAR_SECONDS:.0f} ms away",
           ("first_of_8_far", P50), ("first_of_slowest_far", P50)),
    _ratio("top_100", (None, None), "top 100 by an index on 8 shards, p50 us / on one",
           ("top_of_8", P50), ("top_of_1", P50)),
    _ratio("group_by", (None, None), f"sums by {GROUPS} groups on 8 shards, s / one PostgreSQL alone",
           ("groups_of_8", SECONDS), ("groups_direct", SECONDS)),
    _ratio("first_row", (None, None), "first message of the whole table in order on 8 shards, s / on one",
           ("first_message_of_8", SECONDS), ("first_message_of_1", SECONDS)),
    _ratio("memory", (None, None), "gateway's memory after the whole table / after a hundredth of it",
           ("whole_stream", RSS), ("short_stream", RSS)),
)


class Questions:
    def __init__(self, run, one, eight, far, rows):
        self.run, self.one, self.eight, self.far, self.rows = run, one, eight, far, rows

    def first(self, served, *options):
        return self.run.calls(served, "query", 1, "--query-rows", 1, *options, table="accounts", keys=self.rows)

    def slowest(self, served):
        """The slowest of the shards, each asked alone."""
        cells = [self.first(served, "--query-order", "id", "--shard", f"s{shard}") for shard in range(SHARDS)]
        return max(cells, key=lambda cell: cell[P50])

    def top(self, served):
        options = ("--query-rows", 100, "--query-order", "balance")
        return self.run.calls(served, "query", 1, *options, table="accounts", keys=self.rows)

    def groups(self):
        body = {
            "table": "accounts",
            "groupBy": ["balance"],
            "aggregates": [{"function": "AGGREGATE_FUNCTION_COUNT"},
                           {"function": "AGGREGATE_FUNCTION_SUM", "column": "id"}],
        }
        request = urllib.request.Request(
            f"{self.eight.http}/quarry.v1.DataService/Aggregate",
            json.dumps(body).encode(),
            {"content-type": "application/json"},
        )
        start = time.monotonic()
        with urllib.request.urlopen(request) as reply:
            answer = json.load(reply)
        if len(answer["rows"]) != GROUPS:
            raise stands.Failed(f"{len(answer['rows'])} groups, not {GROUPS}")
        return {SECONDS: time.monotonic() - start}

    def groups_direct(self):
        start = time.monotonic()
        self.run.stand.psql("bench", "SELECT balance, count(*), sum(id) FROM accounts GROUP BY balance ORDER BY balance")
        return {SECONDS: time.monotonic() - start}

    def first_message(self, served):
        """Until the first row of a stream is there; then the stream is dropped."""
        command = [self.run.stand.bin / "quarryctl", "--address", served.address, "query", "accounts", "--order", "balance"]
        start = time.monotonic()
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as client:
            for _ in range(2):  # The header, then a row.
                if not client.stdout.readline():
                    raise stands.Failed("the stream has no row")
            seconds = time.monotonic() - start
            client.kill()
        return {SECONDS: seconds}

    def stream(self, rows):
        words = f"run {self.eight.address} --op query --table accounts --query-rows {rows} --query-order id --calls 1"
        words += f" --concurrency 1 --warmup 0s --json - --server-pid {self.eight.pid}"
        most, done = [0], threading.Event()

        def watch():
            while not done.wait(0.05):
                most[0] = max(most[0], resident(self.eight.pid))

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            report = json.loads(self.run.stand.run("quarry-load", *words.split()))
        finally:
            done.set()
            watcher.join()
        return {RSS: max(most[0], resident(self.eight.pid)), ITEMS: report["items_per_second"]}

    def cells(self):
        return {
            "first_of_8": lambda: self.first(self.eight, "--query-order", "id"),
            "first_of_slowest": functools.partial(self.slowest, self.eight),
            "first_of_8_far": lambda: self.first(self.far, "--query-order", "id"),
            "first_of_slowest_far": functools.partial(self.slowest, self.far),
            "top_of_8": functools.partial(self.top, self.eight),
            "top_of_1": functools.partial(self.top, self.one),
            "groups_of_8": self.groups,
            "groups_direct": self.groups_direct,
            "first_message_of_8": functools.partial(self.first_message, self.eight),
            "first_message_of_1": functools.partial(self.first_message, self.one),
            "short_stream": functools.partial(self.stream, self.rows // 100),
            "whole_stream": functools.partial(self.stream, self.rows),
        }


def resident(pid):
    with open(f"/proc/{pid}/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * 4096


@contextlib.contextmanager
def questions(run, rows):
    """The same rows in a database of its own, behind a gateway of one shard, and spread over eight."""
    stand = run.stand
    databases = [f"part{index}" for index in range(SHARDS)]
    fill = (f"INSERT INTO accounts SELECT i, i * 7919 % {GROUPS}, repeat('p', {stands.VALUE_BYTES}) "
            "FROM generate_series({first}::bigint, {last}) AS i")
    index = "CREATE INDEX accounts_balance ON accounts (balance, id)"
    # Whose rows are where does not matter to questions without a key.
    part = rows // SHARDS
    with contextlib.ExitStack() as stack:
        stack.enter_context(stand.cluster(["bench", "one", *databases]))
        whole = [*stands.create("accounts"), fill.format(first=1, last=part * SHARDS), index, "VACUUM ANALYZE"]
        stand.psql("bench", *whole)
        one = stand.postgres_shards(["one"], whole)
        eight = []
        for at, database in enumerate(databases):
            some = fill.format(first=at * part + 1, last=(at + 1) * part)
            eight += stand.postgres_shards([database], [*stands.create("accounts"), some, index, "VACUUM ANALYZE"])
        port = stack.enter_context(delay.delayed(stand.port, FAR_SECONDS))
        far = [shard.replace(f"port={stand.port} ", f"port={port} ") for shard in eight]
        gateways = [stack.enter_context(stand.gateway(name, shards))
                    for name, shards in (("one", one), ("eight", eight), ("far", far))]
        yield Questions(run, *gateways, part * SHARDS)


def run(run_programs, options):
    chosen = [ratio for ratio in RATIOS if options.only.search(ratio.name)]
    with questions(run_programs, options.rows) as asked:
        rounds = compare.measure(asked.cells(), ratios.cells_of(chosen), options.rounds)
    results = {ratio.name: ratios.measured(ratio, rounds) for ratio in chosen}
    machine = stands.machine()
    print(f"{compare.banner(machine, options)}\n{options.rows:,} rows. {HEADLINE}\n")
    header = ("what", "figure", "of", "ratio", "span")
    print(tables.render(header, [(ratio.what, *compare.shown(results[ratio.name])) for ratio in chosen]))
    for cells in rounds[-1:]:
        if "whole_stream" in cells:
            print(f"\nwhole stream: {tables.number(cells['whole_stream'][ITEMS])} rows/s, "
                  f"{cells['whole_stream'][RSS] // 2**20} MiB resident at most")
    if options.json:
        compare.save(options.json, machine, options.command, rounds, results)
    return 0
