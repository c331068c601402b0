"""The pure parts of the load suite, over made-up figures: nothing here is timed."""

import io
import pathlib
import socket
import sys
import threading
import unittest
import xml.etree.ElementTree
from contextlib import redirect_stderr

REPO = pathlib.Path(__file__).resolve().parents[4]
sys.path.insert(0, str(REPO / "loadtest/suite"))

import compare  # noqa: E402  (Found through the path above.)
import delay  # noqa: E402
import goals  # noqa: E402
import growth  # noqa: E402
import programs  # noqa: E402
import ratios  # noqa: E402
import series  # noqa: E402
import sharding  # noqa: E402
import stand as stands  # noqa: E402
import tables  # noqa: E402
import transactions  # noqa: E402

RATE = ratios.Ratio(
    "get", "1", "Get / pgbench", ratios.Figure("get", "rate"), (ratios.Figure("pgbench", "rate"),), 0.6, 0.8
)
DELAY = ratios.Ratio(
    "delay",
    "9",
    "Get / (echo + pgbench)",
    ratios.Figure("get", "p50"),
    (ratios.Figure("echo", "p50"), ratios.Figure("pgbench", "p50")),
    1.25,
    1.1,
    lower_is_better=True,
)


def cells(get=0.0, pgbench=1.0, get_p50=0.0, echo_p50=1.0, pgbench_p50=1.0):
    return {
        "get": {"rate": get, "p50": get_p50},
        "pgbench": {"rate": pgbench, "p50": pgbench_p50},
        "echo": {"p50": echo_p50},
    }


def result(value):
    return ratios.Measured(value, value * 0.9, value * 1.1, value * 100, 100)


class TransactionsTest(unittest.TestCase):
    def test_every_ratio_has_its_cells_and_every_cell_its_gateways(self):
        every = transactions.cells_of(None, {})
        names = ratios.cells_of(transactions.RATIOS)
        self.assertEqual(sorted(names), sorted(every))
        gateways = {"pg", "pg_strict", "sqlite", "sqlite_strict", "far", "peer"}
        self.assertEqual({gateway for name in names for gateway in transactions.needs(name)}, gateways)
        for name in names:
            gateway = name.split("_")[0] + ("_strict" if "strict" in name else "")
            if gateway in gateways:
                self.assertIn(gateway, transactions.needs(name), name)

    def test_the_gate_is_one_statement_in_the_same_pipeline(self):
        plain, passing = (transactions.pipelined_script(gates).splitlines() for gates in (0, 2))
        gates = [f"SELECT pg_advisory_xact_lock_shared({key});" for key in (4711, 4712)]
        self.assertEqual([line for line in passing if line not in plain], gates)
        self.assertEqual(passing[-4:], [*gates, "COMMIT;", "\\endpipeline"])

    def test_a_delayed_way_changes_nothing_but_the_time(self):
        with socket.create_server(("127.0.0.1", 0)) as server:
            def echo():
                connection, _ = server.accept()
                with connection:
                    while data := connection.recv(1 << 16):
                        connection.sendall(data)

            thread = threading.Thread(target=echo)
            thread.start()
            sent = bytes(range(256)) * 1_000
            with delay.delayed(server.getsockname()[1], 0.001) as port:
                with socket.create_connection(("127.0.0.1", port)) as client:
                    client.sendall(sent)
                    client.shutdown(socket.SHUT_WR)
                    came = b""
                    while data := client.recv(1 << 16):
                        came += data
                thread.join()
            self.assertEqual(came, sent)


class RatiosTest(unittest.TestCase):
    def test_takes_the_ratio_in_each_round_and_then_the_median(self):
        rounds = [cells(get=10, pgbench=100), cells(get=50, pgbench=50), cells(get=30, pgbench=60)]
        now = ratios.measured(RATE, rounds)
        self.assertEqual((now.value, now.low, now.high), (0.5, 0.1, 1.0))
        self.assertEqual((now.figure, now.base), (30, 60))  # Not what the median ratio is made of.

    def test_adds_the_bases_up(self):
        now = ratios.measured(DELAY, [cells(get_p50=330, echo_p50=100, pgbench_p50=200)])
        self.assertAlmostEqual(now.value, 1.1)
        self.assertEqual(now.base, 300)

    def test_names_each_needed_cell_once(self):
        self.assertEqual(ratios.cells_of([RATE, DELAY]), ["get", "pgbench", "echo"])
        self.assertEqual(ratios.cells_of([]), [])

    def test_verdict_reads_the_goals_in_the_direction_of_the_ratio(self):
        for ratio, value, expected in (
            (RATE, 0.9, "aim reached"),
            (RATE, 0.8, "aim reached"),
            (RATE, 0.6, "pass"),
            (RATE, 0.59, "BEHIND"),
            (DELAY, 1.0, "aim reached"),
            (DELAY, 1.1, "aim reached"),
            (DELAY, 1.25, "pass"),
            (DELAY, 1.26, "BEHIND"),
        ):
            self.assertEqual(ratios.verdict(ratio, value), expected, (ratio.name, value))
        self.assertEqual(ratios.verdict(RATE._replace(passes=None, aim=None), 0.1), "")

    def test_suspects_are_those_that_lost_more_than_a_fifth(self):
        recorded = {"get": 1.0, "delay": 1.0}
        for get, delay, expected in (
            (0.81, 1.24, []),
            (0.79, 1.24, ["get"]),
            (0.81, 1.26, ["delay"]),
            (2.0, 0.5, []),
        ):
            found = ratios.suspects([RATE, DELAY], {"get": result(get), "delay": result(delay)}, recorded)
            self.assertEqual([ratio.name for ratio in found], expected, (get, delay))

    def test_findings_say_what_was_recorded_and_what_was_not(self):
        found = ratios.findings([RATE, DELAY], {"get": result(0.5), "delay": result(1)}, {"get": 1.0})
        self.assertEqual([finding.name for finding in found], ["delay", "get"])
        self.assertIn("--record", found[0].message)
        self.assertIn("50% behind", found[1].message)

    def test_recorded_file_is_read_as_it_was_written(self):
        text = ratios.recorded_text(
            [RATE, DELAY], {"get": result(0.61234), "delay": result(1.5)}, "2 x cpu", "./dev load --record"
        )
        self.assertEqual(ratios.parse_recorded(text), {"get": 0.6123, "delay": 1.5})
        self.assertIn('machine: "2 x cpu"', text)

    def test_recorded_file_with_a_broken_line_is_refused_with_its_number(self):
        for line in ("  get", "  get: fast", "  get: 0", "  get: -1", "  : 1"):
            with self.assertRaisesRegex(ValueError, "line 2"):
                ratios.parse_recorded(f"ratios:\n{line}\n")
        self.assertEqual(ratios.parse_recorded("machine: x\n"), {})


class CheckTest(unittest.TestCase):
    def check(self, first, second):
        """What a check finds and which ratios it measured again, when `get` has these values and 1 is recorded."""
        repeated = []

        def again(some):
            repeated.extend(ratio.name for ratio in some)
            return {ratio.name: result(second) for ratio in some}

        with redirect_stderr(io.StringIO()):
            found, results = compare.checked(
                [RATE, DELAY], {"get": result(first), "delay": result(1)}, {"get": 1.0, "delay": 1.0}, again
            )
        return [finding.name for finding in found], repeated, results["get"].value

    def test_measures_nothing_again_without_a_suspect(self):
        self.assertEqual(self.check(0.9, 0), ([], [], 0.9))

    def test_forgives_a_suspect_that_recovers(self):
        self.assertEqual(self.check(0.5, 0.9), ([], ["get"], 0.9))

    def test_fails_what_stays_behind(self):
        self.assertEqual(self.check(0.5, 0.6), (["get"], ["get"], 0.6))


class MeasureTest(unittest.TestCase):
    def measure(self, failures):
        """Two rounds of a cell that fails as often as told before it works."""
        left = [stands.Failed("suspended")] * failures

        def cell():
            if left:
                raise left.pop()
            return {"rate": 1}

        with redirect_stderr(io.StringIO()):
            return compare.measure({"get": cell, "other": None}, ["get"], 2)

    def test_runs_the_named_cells_in_every_round(self):
        self.assertEqual(self.measure(0), [{"get": {"rate": 1}}] * 2)

    def test_tries_a_failed_cell_once_more_and_names_it_when_it_fails_again(self):
        self.assertEqual(self.measure(1), [{"get": {"rate": 1}}] * 2)
        with self.assertRaisesRegex(stands.Failed, "get failed twice: suspended"):
            self.measure(2)


class TablesTest(unittest.TestCase):
    def test_numbers_have_three_digits_and_a_unit(self):
        for value, expected in (
            (0, "0.00"),
            (0.0012345, "0.00123"),
            (0.5, "0.5"),
            (1, "1.00"),
            (12.34, "12.3"),
            (999.4, "999"),
            (999.6, "1.00 k"),
            (43_676, "43.7 k"),
            (2_199_999, "2.20 M"),
            (3e9, "3.00 G"),
        ):
            self.assertEqual(tables.number(value), expected, value)

    def test_columns_are_aligned(self):
        text = tables.render(("what", "n"), [("a", "1"), ("long one", "1,000")])
        self.assertEqual(text, "what          n\n--------  -----\na             1\nlong one  1,000\n")

    def test_table_of_ratios_shows_figure_goal_and_verdict(self):
        header, rows = compare.table_of([RATE, DELAY], {"get": result(0.7), "delay": result(2)})
        self.assertEqual(len(header), len(rows[0]))
        self.assertEqual(rows[0][2:], ("70.0", "100", "0.7", "0.63 - 0.77", "0.6, 0.8", "pass"))
        self.assertEqual(rows[1][-2:], ("<= 1.25, 1.1", "BEHIND"))


class GoalsTest(unittest.TestCase):
    def test_every_ratio_is_made_of_cells_that_exist(self):
        known = goals.Servers(None, None, None, None, 0).cells()
        self.assertLessEqual(set(ratios.cells_of(goals.RATIOS)), set(known))
        self.assertEqual(len({ratio.name for ratio in goals.RATIOS}), len(goals.RATIOS))

    def test_aims_are_harder_than_passes(self):
        for ratio in goals.RATIOS:
            if ratio.passes is not None:
                self.assertTrue(ratios.reaches(ratio, ratio.aim, ratio.passes), ratio.name)

    def test_recorded_ratios_are_those_of_the_suite(self):
        recorded = ratios.parse_recorded((REPO / "loadtest/ratios.yaml").read_text(encoding="utf-8"))
        self.assertEqual(sorted(recorded), sorted(ratio.name for ratio in goals.RATIOS))

    def test_sharding_compares_each_count_with_the_direct_way(self):
        every = sharding.ratio_list()
        self.assertEqual(len(every), 2 * 3 * 4)
        self.assertEqual(
            {base.cell for ratio in every for base in ratio.bases}, set(sharding.direct_cells(None))
        )


class SeriesTest(unittest.TestCase):
    POINTS = [(1, (10.0, 4.0)), (11, (40.0, 24.0)), (111, (30.0, 524.0))]
    GROWTH = series.Series("s", "Rows <by> size", "rows", ("rows/s", "us a call"), POINTS, "row")

    def test_cost_is_told_per_unit_and_for_each_further_one(self):
        self.assertEqual(series.further(self.GROWTH), [4, 2, 5])
        header, rows = series.rows_of(self.GROWTH)
        self.assertEqual(header[-2:], ("per row", "each further row"))
        self.assertEqual(rows[2], ("111", "30.0", "524", "4.72", "5.00"))

    def test_cost_that_should_not_grow_is_told_against_the_cheapest_so_far(self):
        self.assertEqual(series.against_cheapest([4, 2, 3, 1]), [1, 1, 1.5, 1])
        self.assertEqual(series.rows_of(self.GROWTH._replace(unit=""))[1][2][-1], "131")

    def test_text_has_a_line_for_each_point(self):
        self.assertEqual(len(series.text(self.GROWTH).splitlines()), 1 + 2 + 3)

    def test_page_is_whole_and_asks_for_nothing_from_elsewhere(self):
        page = series.page("2 x cpu", "./dev load --growth", [self.GROWTH])
        self.assertIn("Rows &lt;by&gt; size", page)
        self.assertNotRegex(page, "https?:|src=|href=")
        self.assertEqual(page.count("<polyline"), 2)
        plot = xml.etree.ElementTree.fromstring(series.plot(self.GROWTH, 0))
        self.assertEqual(len(plot.findall("circle")), 3)

    def test_quick_growth_keeps_both_ends(self):
        self.assertEqual(growth.thinned([1, 2, 4, 8, 16], False), [1, 2, 4, 8, 16])
        self.assertEqual(growth.thinned([1, 2, 4, 8, 16], True), [1, 4, 16])
        self.assertEqual(growth.thinned([1, 2, 4, 8], True), [1, 2, 8])


class ScriptsTest(unittest.TestCase):
    def test_a_batch_reads_as_many_keys_as_it_draws(self):
        script = programs.batch_script(3, keys=50)
        self.assertEqual(script.count("\\set id"), 3)
        self.assertIn("random(1, 50)", script)
        self.assertIn("IN (:id0, :id1, :id2);", script)


if __name__ == "__main__":
    unittest.main()
