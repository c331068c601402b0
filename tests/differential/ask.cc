#include <algorithm>
#include <chrono>

#include "absl/strings/str_cat.h"
#include "client/internal/grpc_status.h"
#include "grpcpp/client_context.h"
#include "tests/differential/answer.h"

namespace quarry::differential {
namespace {

void SetDeadline(grpc::ClientContext& context) { context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60)); }

class Asker {
 public:
  Asker(v1::DataService::StubInterface& gateway, const Schema& schema, const Question& question)
      : gateway_(gateway), schema_(schema), question_(question), columns_(ResultColumns(schema, question)), dice_(question.seed + 1) {}

  Answer Ask() {
    switch (question_.kind) {
      case Question::Kind::kQuery:
        Query();
        break;
      case Question::Kind::kList:
        List();
        break;
      case Question::Kind::kAggregate:
        Aggregate();
        break;
    }
    return std::move(answer_);
  }

 private:
  void Contradict(std::string what) { answer_.contradictions.push_back(std::move(what)); }

  void CheckHeader(const v1::RowHeader& header) {
    bool same = static_cast<size_t>(header.columns_size()) == columns_.size();
    for (int i = 0; same && i < header.columns_size(); ++i) same = header.columns(i).name() == columns_[static_cast<size_t>(i)].name;
    if (!same) Contradict(absl::StrCat("the header names other columns: ", header.ShortDebugString()));
  }

  static CellRow CellsOf(const v1::Row& row, const std::vector<TestColumn>& columns) {
    CellRow cells;
    for (int i = 0; i < row.values_size(); ++i) {
      const bool known = static_cast<size_t>(i) < columns.size();
      cells.push_back(known ? CellOf(row.values(i), columns[static_cast<size_t>(i)].type.kind) : Cell("one value too many"));
    }
    return cells;
  }

  template <typename Rows>
  void Append(const Rows& rows, std::vector<CellRow>& to) const {
    for (const v1::Row& row : rows) to.push_back(CellsOf(row, columns_));
  }

  void Query() {
    grpc::ClientContext context;
    SetDeadline(context);
    const auto stream = gateway_.Query(&context, ToQuery(schema_, question_));
    v1::QueryResponse event;
    bool header = false;
    bool summary = false;
    while (stream->Read(&event)) {
      if (event.has_header()) {
        CheckHeader(event.header());
        header = true;
      } else if (event.has_batch()) {
        if (!header || event.batch().rows().empty()) Contradict("a batch is empty or comes before the header");
        Append(event.batch().rows(), answer_.rows);
      } else {
        summary = true;
        const size_t rows = static_cast<size_t>(event.summary().rows());
        if (rows != answer_.rows.size()) Contradict(absl::StrCat("the summary counts ", rows, " rows of ", answer_.rows.size()));
      }
    }
    answer_.status = client::internal::FromGrpc(stream->Finish());
    if (answer_.status.ok() && !(header && summary)) Contradict("the stream has no header or no summary");
  }

  void Aggregate() {
    grpc::ClientContext context;
    SetDeadline(context);
    v1::AggregateResponse response;
    answer_.status = client::internal::FromGrpc(gateway_.Aggregate(&context, ToAggregate(schema_, question_), &response));
    if (!answer_.status.ok()) return;
    CheckHeader(response.header());
    Append(response.rows(), answer_.rows);
  }

  // Small pages at first, larger ones when there are many.
  int32_t PageSize(size_t page) { return page < 6 ? 1 + dice_.Below(dice_.Percent(20) ? 3 : 30) : 20 + dice_.Below(60); }

  bool Page(v1::ListRequest& request, const std::string& token, size_t page, v1::ListResponse& response) {
    grpc::ClientContext context;
    SetDeadline(context);
    request.set_page_token(token);
    request.set_page_size(PageSize(page));
    answer_.status = client::internal::FromGrpc(gateway_.List(&context, request, &response));
    if (!answer_.status.ok()) return false;
    if (response.rows_size() > request.page_size()) Contradict("a page has more rows than asked");
    CheckHeader(response.header());
    return true;
  }

  void List() {
    v1::ListRequest request = ToList(schema_, question_);
    answer_.included.resize(question_.includes.size());
    v1::ListResponse response;
    std::string token;
    size_t last_page_begin = 0;
    for (size_t page = 0; page == 0 || !token.empty(); ++page) {
      if (!Page(request, token, page, response)) return;
      if (page == 0 && !response.previous_page_token().empty()) Contradict("the first page has a page before it");
      if (page > 1000) return Contradict("the pages do not end");
      AppendIncluded(response);
      last_page_begin = answer_.rows.size();
      Append(response.rows(), answer_.rows);
      token = response.next_page_token();
    }
    Back(request, response.previous_page_token(), last_page_begin);
  }

  // The pages before the last one, nearest first, hold the rows before it.
  void Back(v1::ListRequest& request, std::string token, size_t rows_before) {
    std::vector<CellRow> before;
    if (token.empty() && rows_before > 0) Contradict("the last page of several has no page before it");
    v1::ListResponse response;
    for (size_t page = 0; !token.empty(); ++page) {
      if (!Page(request, token, page, response)) return;
      if (page > 1000) return Contradict("the pages backwards do not end");
      std::vector<CellRow> rows;
      Append(response.rows(), rows);
      before.insert(before.begin(), rows.begin(), rows.end());
      token = response.previous_page_token();
    }
    const std::vector<CellRow> expected(answer_.rows.begin(), answer_.rows.begin() + static_cast<std::ptrdiff_t>(rows_before));
    if (before != expected) {
      Contradict(absl::StrCat("the pages backwards give ", before.size(), " rows that are not the ", expected.size(), " rows forwards"));
    }
  }

  // Indexes of a page become indexes of the whole answer.
  void AppendIncluded(const v1::ListResponse& response) {
    if (static_cast<size_t>(response.included_size()) != question_.includes.size()) return Contradict("the page has not all includes");
    std::vector<size_t> before;
    for (const std::vector<CellRow>& rows : answer_.included) before.push_back(rows.size());
    for (int i = 0; i < response.included_size(); ++i) {
      const v1::IncludedRows& part = response.included(i);
      const std::vector<size_t>& path = question_.includes[static_cast<size_t>(i)];
      size_t base = answer_.rows.size();
      const TestTable* table = &schema_.tables[question_.table];
      for (const size_t relation : path) table = &schema_.tables[table->relations[relation].table];
      if (path.size() > 1) {
        const auto parent = std::find(question_.includes.begin(), question_.includes.end(), std::vector<size_t>(path.begin(), path.end() - 1));
        base = before[static_cast<size_t>(parent - question_.includes.begin())];
      }
      if (part.parents_size() != part.rows_size()) return Contradict("an include has not one parent for each row");
      for (int at = 0; at < part.rows_size(); ++at) {
        CellRow row = CellsOf(part.rows(at), table->columns);
        row.insert(row.begin(), absl::StrCat(base + part.parents(at)));
        answer_.included[static_cast<size_t>(i)].push_back(std::move(row));
      }
    }
  }

  v1::DataService::StubInterface& gateway_;
  const Schema& schema_;
  const Question& question_;
  const std::vector<TestColumn> columns_;
  Dice dice_;
  Answer answer_;
};

}  // namespace

Answer AskGateway(v1::DataService::StubInterface& gateway, const Schema& schema, const Question& question) {
  return Asker(gateway, schema, question).Ask();
}

}  // namespace quarry::differential
