// The baseline of the SQLite shards: one thread and one connection, prepared statements in a loop, no gateway.
// Prints one line of JSON. Writes are durable: WAL with synchronous=FULL, each its own transaction.
#include <sqlite3.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <random>
#include <stdexcept>
#include <string>

#include "CLI/CLI.hpp"
#include "nlohmann/json.hpp"

namespace {

using Clock = std::chrono::steady_clock;

struct Options {
  std::string file;
  std::string op = "read";
  int64_t keys = 10'000;
  int batch = 1;
  int value_bytes = 100;
  double seconds = 2;
};

class Database {
 public:
  explicit Database(const std::string& file) { Check(sqlite3_open(file.c_str(), &handle_)); }
  ~Database() { sqlite3_close_v2(handle_); }
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  void Run(const std::string& sql) { Check(sqlite3_exec(handle_, sql.c_str(), nullptr, nullptr, nullptr)); }

  sqlite3_stmt* Prepare(const char* sql) {
    sqlite3_stmt* statement = nullptr;
    Check(sqlite3_prepare_v3(handle_, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, nullptr));
    return statement;
  }

  void Check(int code) const {
    if (code == SQLITE_OK || code == SQLITE_DONE || code == SQLITE_ROW) return;
    throw std::runtime_error(sqlite3_errmsg(handle_));
  }

 private:
  sqlite3* handle_ = nullptr;
};

class SqliteLoop {
 public:
  explicit SqliteLoop(const Options& options) : options_(options), database_(options.file) {
    database_.Run("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;");
    database_.Run(
        "CREATE TABLE IF NOT EXISTS accounts (id BIGINT NOT NULL PRIMARY KEY, balance BIGINT NOT NULL, "
        "payload TEXT NOT NULL)");
    Fill();
  }

  nlohmann::json Run() {
    int64_t rows = 0;
    const Clock::time_point start = Clock::now();
    double elapsed = 0;
    while (elapsed < options_.seconds) {
      // The clock is read once in a while: a read takes a few microseconds only.
      for (int i = 0; i < 16; ++i) rows += Step();
      elapsed = std::chrono::duration<double>(Clock::now() - start).count();
    }
    return {{"rows", rows}, {"seconds", elapsed}, {"rows_per_second", static_cast<double>(rows) / elapsed}};
  }

 private:
  int64_t Step() {
    if (options_.op == "insert") return Insert(next_++);
    if (options_.op == "update") return Update();
    if (options_.batch == 1) return Read();
    Execute(begin_);
    for (int i = 0; i < options_.batch; ++i) Read();
    Execute(commit_);
    return options_.batch;
  }

  int64_t AnyKey() { return std::uniform_int_distribution<int64_t>(1, options_.keys)(random_); }

  int64_t Read() {
    database_.Check(sqlite3_bind_int64(read_, 1, AnyKey()));
    if (sqlite3_step(read_) != SQLITE_ROW) throw std::runtime_error("a key has no row");
    seen_ += sqlite3_column_int64(read_, 0) + sqlite3_column_int64(read_, 1) + sqlite3_column_text(read_, 2)[0];
    return Reset(read_);
  }

  int64_t Update() {
    database_.Check(sqlite3_bind_int64(update_, 1, static_cast<int64_t>(random_() % 1'000'000)));
    database_.Check(sqlite3_bind_int64(update_, 2, AnyKey()));
    return Execute(update_);
  }

  int64_t Insert(int64_t key) {
    database_.Check(sqlite3_bind_int64(insert_, 1, key));
    database_.Check(sqlite3_bind_text(insert_, 2, payload_.data(), static_cast<int>(payload_.size()), SQLITE_STATIC));
    return Execute(insert_);
  }

  int64_t Execute(sqlite3_stmt* statement) {
    database_.Check(sqlite3_step(statement));
    return Reset(statement);
  }

  int64_t Reset(sqlite3_stmt* statement) {
    database_.Check(sqlite3_reset(statement));
    return 1;
  }

  // Rows 1 to `keys`, and where inserts go on.
  void Fill() {
    sqlite3_stmt* last = database_.Prepare("SELECT coalesce(max(id), 0) FROM accounts");
    database_.Check(sqlite3_step(last));
    next_ = sqlite3_column_int64(last, 0) + 1;
    sqlite3_finalize(last);
    begin_ = database_.Prepare("BEGIN");
    commit_ = database_.Prepare("COMMIT");
    insert_ = database_.Prepare("INSERT INTO accounts (id, balance, payload) VALUES (?1, 1000, ?2)");
    read_ = database_.Prepare("SELECT id, balance, payload FROM accounts WHERE id = ?1");
    update_ = database_.Prepare("UPDATE accounts SET balance = ?1 WHERE id = ?2");
    Execute(begin_);
    while (next_ <= options_.keys) Insert(next_++);
    Execute(commit_);
  }

  const Options& options_;
  Database database_;
  const std::string payload_ = std::string(static_cast<size_t>(options_.value_bytes), 'p');
  sqlite3_stmt* begin_ = nullptr;
  sqlite3_stmt* commit_ = nullptr;
  sqlite3_stmt* insert_ = nullptr;
  sqlite3_stmt* read_ = nullptr;
  sqlite3_stmt* update_ = nullptr;
  std::mt19937_64 random_{42};
  int64_t next_ = 1;
  int64_t seen_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app("Prepared statements on one SQLite file from one thread; prints rows per second as JSON.");
  app.add_option("file", options.file, "SQLite file; the table accounts is made where it is missing")->required();
  app.add_option("--op", options.op, "read, update or insert")->check(CLI::IsMember({"read", "update", "insert"}));
  app.add_option("--keys", options.keys, "Keys are drawn from 1 to this")->check(CLI::PositiveNumber);
  app.add_option("--batch", options.batch, "Reads in one transaction; 1: each is its own")->check(CLI::PositiveNumber);
  app.add_option("--value-bytes", options.value_bytes, "Size of the payload of new rows");
  app.add_option("--seconds", options.seconds, "Time measured");
  CLI11_PARSE(app, argc, argv);
  try {
    std::printf("%s\n", SqliteLoop(options).Run().dump().c_str());
  } catch (const std::exception& error) {
    std::fprintf(stderr, "sqlite_loop: %s\n", error.what());
    return 1;
  }
  return 0;
}
