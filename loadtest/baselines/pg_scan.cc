// The baseline of scans: one statement on one PostgreSQL database, read row by row through libpq's single-row
// mode, binary format, again and again. Prints one line of JSON.
#include <libpq-fe.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <stdexcept>
#include <string>

#include "CLI/CLI.hpp"
#include "nlohmann/json.hpp"

namespace {

using Clock = std::chrono::steady_clock;
using Connection = std::unique_ptr<PGconn, decltype(&PQfinish)>;
using Result = std::unique_ptr<PGresult, decltype(&PQclear)>;

struct Totals {
  int64_t rows = 0;
  int64_t bytes = 0;
};

void Scan(PGconn* connection, const std::string& sql, Totals& totals) {
  constexpr int kBinary = 1;
  if (!PQsendQueryParams(connection, sql.c_str(), 0, nullptr, nullptr, nullptr, nullptr, kBinary) ||
      !PQsetSingleRowMode(connection)) {
    throw std::runtime_error(PQerrorMessage(connection));
  }
  while (Result row{PQgetResult(connection), PQclear}) {
    const ExecStatusType status = PQresultStatus(row.get());
    if (status == PGRES_TUPLES_OK) continue;  // The end, without a row.
    if (status != PGRES_SINGLE_TUPLE) throw std::runtime_error(PQresultErrorMessage(row.get()));
    ++totals.rows;
    for (int column = 0; column < PQnfields(row.get()); ++column) totals.bytes += PQgetlength(row.get(), 0, column);
  }
}

}  // namespace

int main(int argc, char** argv) {
  std::string database;
  std::string sql;
  double seconds = 2;
  CLI::App app("Runs one statement in libpq's single-row mode until the time is over; prints rows per second as JSON.");
  app.add_option("database", database, "Connection string")->required();
  app.add_option("sql", sql, "Statement")->required();
  app.add_option("--seconds", seconds, "Time measured; the scan that runs at its end is finished and counted");
  CLI11_PARSE(app, argc, argv);
  try {
    const Connection connection(PQconnectdb(database.c_str()), PQfinish);
    if (PQstatus(connection.get()) != CONNECTION_OK) throw std::runtime_error(PQerrorMessage(connection.get()));
    Totals totals;
    const Clock::time_point start = Clock::now();
    double elapsed = 0;
    while (elapsed < seconds) {
      Scan(connection.get(), sql, totals);
      elapsed = std::chrono::duration<double>(Clock::now() - start).count();
    }
    const nlohmann::json report = {{"rows", totals.rows},
                                   {"seconds", elapsed},
                                   {"rows_per_second", static_cast<double>(totals.rows) / elapsed},
                                   {"bytes_per_second", static_cast<double>(totals.bytes) / elapsed}};
    std::printf("%s\n", report.dump().c_str());
  } catch (const std::exception& error) {
    std::fprintf(stderr, "pg_scan: %s\n", error.what());
    return 1;
  }
  return 0;
}
