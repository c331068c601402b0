// A closed loop of unary calls against any gRPC address: N calls are always in flight. Prints one line of JSON. One thread, so
// that it takes as little of the machine from the server as a client can.
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "nlohmann/json.hpp"
#include "quarry/v1/data.pb.h"

namespace {

using Clock = std::chrono::steady_clock;

struct Options {
  std::string address;
  std::string mix = "get";
  std::string table = "accounts";
  int64_t keys = 10'000;
  int concurrency = 16;
  double seconds = 3;
  double warmup_seconds = 0.5;
};

class CallBench {
 public:
  explicit CallBench(const Options& options)
      : options_(options),
        method_(options.mix == "update" ? "/quarry.v1.DataService/Update" : "/quarry.v1.DataService/Get"),
        stub_(grpc::CreateChannel(options.address, grpc::InsecureChannelCredentials())),
        slots_(static_cast<size_t>(options.concurrency)) {}

  void Run() {
    started_ = Clock::now();
    for (Slot& slot : slots_) Start(slot);
    void* tag = nullptr;
    bool ok = false;
    while (in_flight_ > 0 && queue_.Next(&tag, &ok)) Finish(*static_cast<Slot*>(tag));
  }

  nlohmann::json Report() {
    std::sort(micros_.begin(), micros_.end());
    const auto at = [this](double quantile) {
      return micros_.empty() ? 0.0 : micros_[static_cast<size_t>(quantile * static_cast<double>(micros_.size() - 1))];
    };
    return {{"calls_per_second", static_cast<double>(micros_.size()) / options_.seconds},
            {"p50_us", at(0.5)},
            {"p99_us", at(0.99)},
            {"errors", errors_},
            {"first_error", first_error_}};
  }

 private:
  struct Slot {
    std::unique_ptr<grpc::ClientContext> context;
    std::unique_ptr<grpc::GenericClientAsyncResponseReader> reader;
    grpc::ByteBuffer reply;
    grpc::Status status;
    Clock::time_point start;
  };

  void SetKey(quarry::v1::Key* key) {
    std::uniform_int_distribution<int64_t> pick(1, options_.keys);
    key->add_values()->set_int64_value(pick(random_));
  }

  std::string Request() {
    if (options_.mix == "update") {
      quarry::v1::UpdateRequest request;
      request.set_table(options_.table);
      SetKey(request.mutable_key());
      (*request.mutable_record()->mutable_columns())["balance"].set_int64_value(static_cast<int64_t>(random_() % 1'000'000));
      return request.SerializeAsString();
    }
    quarry::v1::GetRequest request;
    request.set_table(options_.table);
    SetKey(request.mutable_key());
    return request.SerializeAsString();
  }

  void Start(Slot& slot) {
    const grpc::Slice slice(Request());
    const grpc::ByteBuffer request(&slice, 1);
    slot.context = std::make_unique<grpc::ClientContext>();
    slot.start = Clock::now();
    slot.reader = stub_.PrepareUnaryCall(slot.context.get(), method_, request, &queue_);
    slot.reader->StartCall();
    slot.reader->Finish(&slot.reply, &slot.status, &slot);
    ++in_flight_;
  }

  void Finish(Slot& slot) {
    --in_flight_;
    const Clock::time_point now = Clock::now();
    const double elapsed = std::chrono::duration<double>(now - started_).count();
    if (!slot.status.ok()) {
      ++errors_;
      if (first_error_.empty()) first_error_ = slot.status.error_message();
    } else if (elapsed > options_.warmup_seconds && elapsed <= options_.warmup_seconds + options_.seconds) {
      micros_.push_back(std::chrono::duration<double, std::micro>(now - slot.start).count());
    }
    if (elapsed < options_.warmup_seconds + options_.seconds) Start(slot);
  }

  const Options& options_;
  const std::string method_;
  grpc::CompletionQueue queue_;
  grpc::GenericStub stub_;
  std::vector<Slot> slots_;
  std::mt19937_64 random_{42};
  Clock::time_point started_;
  int64_t in_flight_ = 0;
  int64_t errors_ = 0;
  std::string first_error_;
  std::vector<double> micros_;
};

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app("A closed loop of unary calls; prints calls per second and latency as JSON.");
  app.add_option("address", options.address, "host:port of the server")->required();
  app.add_option("--mix", options.mix, "get or update: the request that is sent")->check(CLI::IsMember({"get", "update"}));
  app.add_option("--table", options.table, "Table with an int64 key and a column balance");
  app.add_option("--keys", options.keys, "Keys are drawn from 1 to this");
  app.add_option("--concurrency", options.concurrency, "Calls in flight")->check(CLI::Range(1, 4096));
  app.add_option("--seconds", options.seconds, "Time measured, after half a second of warm-up");
  CLI11_PARSE(app, argc, argv);
  CallBench bench(options);
  bench.Run();
  std::printf("%s\n", bench.Report().dump().c_str());
  return 0;
}
