#include "core/config/conninfo.h"

#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "core/base/did_you_mean.h"
#include "core/base/status_macros.h"

namespace quarry {
namespace {

using Parameters = std::map<std::string, std::string>;

const std::vector<std::string>& KnownParameters() {
  static const auto& known = *new std::vector<std::string>{
      "application_name", "channel_binding", "client_encoding", "connect_timeout", "dbname",
      "fallback_application_name", "gssencmode", "gsslib", "host", "hostaddr", "keepalives", "keepalives_count",
      "keepalives_idle", "keepalives_interval", "krbsrvname", "options", "passfile", "password", "port",
      "replication", "requirepeer", "service", "ssl_max_protocol_version", "ssl_min_protocol_version", "sslcert",
      "sslcompression", "sslcrl", "sslcrldir", "sslkey", "sslmode", "sslpassword", "sslrootcert", "sslsni",
      "target_session_attrs", "tcp_user_timeout", "user"};
  return known;
}

bool IsSecret(const std::string& name) { return name == "password" || name == "sslpassword"; }

absl::Status Bad(const std::string& why) {
  return absl::InvalidArgumentError(absl::StrCat("is not a PostgreSQL connection string: ", why));
}

absl::Status AddParameter(const std::string& name, std::string value, Parameters& parameters) {
  const std::vector<std::string>& known = KnownParameters();
  if (std::find(known.begin(), known.end(), name) == known.end()) {
    // Text that is no word may be a mistyped secret; only words are repeated.
    const bool word = !name.empty() && name.size() <= 32 && std::all_of(name.begin(), name.end(), [](char c) {
      return absl::ascii_islower(static_cast<unsigned char>(c)) || c == '_';
    });
    const std::string hint = word ? DidYouMean(name, known) : "";
    return Bad(hint.empty() ? "it has an unknown parameter" : absl::StrCat("parameter \"", name, "\" is unknown", hint));
  }
  parameters[name] = std::move(value);
  return absl::OkStatus();
}

std::string QuotedValue(const std::string& value) {
  const bool plain = !value.empty() && value.find_first_of(" '\\\t\n\r") == std::string::npos;
  if (plain) return value;
  std::string out = "'";
  for (const char c : value) {
    if (c == '\'' || c == '\\') out.push_back('\\');
    out.push_back(c);
  }
  return out + "'";
}

// The value at `at`, quoted or not; `at` moves behind it.
absl::StatusOr<std::string> TakeValue(const std::string& text, size_t& at) {
  std::string value;
  const bool quoted = at < text.size() && text[at] == '\'';
  if (quoted) ++at;
  for (; at < text.size(); ++at) {
    const char c = text[at];
    if (c == '\\' && at + 1 < text.size()) {
      value.push_back(text[++at]);
    } else if (quoted && c == '\'') {
      ++at;
      return value;
    } else if (!quoted && absl::ascii_isspace(static_cast<unsigned char>(c))) {
      return value;
    } else {
      value.push_back(c);
    }
  }
  if (quoted) return Bad("a quoted value is not closed");
  return value;
}

void SkipSpace(const std::string& text, size_t& at) {
  while (at < text.size() && absl::ascii_isspace(static_cast<unsigned char>(text[at]))) ++at;
}

absl::StatusOr<Parameters> ParseWords(const std::string& text, std::string& shown) {
  Parameters parameters;
  size_t at = 0;
  for (SkipSpace(text, at); at < text.size(); SkipSpace(text, at)) {
    const size_t equals = text.find('=', at);
    if (equals == std::string::npos) return Bad("a parameter has no \"=\" behind its name");
    const std::string name(absl::StripAsciiWhitespace(text.substr(at, equals - at)));
    at = equals + 1;
    SkipSpace(text, at);
    QUARRY_ASSIGN_OR_RETURN(std::string value, TakeValue(text, at));
    absl::StrAppend(&shown, shown.empty() ? "" : " ", name, "=", IsSecret(name) ? "***" : QuotedValue(value));
    QUARRY_RETURN_IF_ERROR(AddParameter(name, std::move(value), parameters));
  }
  if (parameters.empty()) return Bad("it is empty");
  return parameters;
}

absl::StatusOr<std::string> PercentDecoded(const std::string& text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out.push_back(text[i]);
      continue;
    }
    int byte = 0;
    for (const size_t at : {i + 1, i + 2}) {
      if (at >= text.size() || !absl::ascii_isxdigit(static_cast<unsigned char>(text[at]))) {
        return Bad("a \"%\" is not followed by two hexadecimal digits; write %25 for a percent sign");
      }
      const char c = absl::ascii_tolower(static_cast<unsigned char>(text[at]));
      byte = byte * 16 + (c <= '9' ? c - '0' : c - 'a' + 10);
    }
    if (byte == 0) return Bad("%00 is not allowed");
    out.push_back(static_cast<char>(byte));
    i += 2;
  }
  return out;
}

// "db1:5432,[::1]:5433": hosts and ports, each list joined by commas.
absl::Status ParseHosts(const std::string& text, Parameters& parameters) {
  if (text.empty()) return absl::OkStatus();
  std::vector<std::string> hosts;
  std::vector<std::string> ports;
  for (const std::string& part : std::vector<std::string>(absl::StrSplit(text, ','))) {
    size_t colon = part.find(':');
    std::string host = part.substr(0, colon);
    if (!part.empty() && part.front() == '[') {
      const size_t close = part.find(']');
      if (close == std::string::npos) return Bad("the \"]\" of an IPv6 address is missing");
      host = part.substr(1, close - 1);
      colon = close + 1 < part.size() ? close + 1 : std::string::npos;
      if (colon != std::string::npos && part[colon] != ':') return Bad("\":\" must follow the \"]\" of an address");
    }
    QUARRY_ASSIGN_OR_RETURN(host, PercentDecoded(host));
    hosts.push_back(host);
    ports.push_back(colon == std::string::npos ? "" : part.substr(colon + 1));
  }
  parameters["host"] = absl::StrJoin(hosts, ",");
  const bool any = std::any_of(ports.begin(), ports.end(), [](const std::string& port) { return !port.empty(); });
  if (any) parameters["port"] = absl::StrJoin(ports, ",");
  return absl::OkStatus();
}

absl::Status ParseQuery(const std::string& query, Parameters& parameters, std::string& shown) {
  const char* separator = "?";
  for (const std::string& pair : std::vector<std::string>(absl::StrSplit(query, '&'))) {
    const size_t equals = pair.find('=');
    if (equals == std::string::npos) return Bad("a parameter behind the \"?\" has no \"=\"");
    QUARRY_ASSIGN_OR_RETURN(std::string name, PercentDecoded(pair.substr(0, equals)));
    QUARRY_ASSIGN_OR_RETURN(std::string value, PercentDecoded(pair.substr(equals + 1)));
    absl::StrAppend(&shown, separator, name, "=", IsSecret(name) ? "***" : pair.substr(equals + 1));
    separator = "&";
    if (name == "ssl" && value == "true") {
      name = "sslmode";
      value = "require";
    }
    QUARRY_RETURN_IF_ERROR(AddParameter(name, std::move(value), parameters));
  }
  return absl::OkStatus();
}

absl::StatusOr<Parameters> ParseUri(const std::string& text, std::string& shown) {
  Parameters parameters;
  std::string rest = text.substr(text.find("://") + 3);
  shown = text.substr(0, text.size() - rest.size());
  const size_t question = rest.find('?');
  const std::string query = question == std::string::npos ? "" : rest.substr(question + 1);
  rest = rest.substr(0, question);
  // A slash ends the authority; a password that holds one is percent-encoded.
  const size_t slash = rest.find('/');
  std::string authority = rest.substr(0, slash);
  const std::string database = slash == std::string::npos ? "" : rest.substr(slash + 1);
  if (database.find('@') != std::string::npos) {
    return Bad("an \"@\" stands behind a \"/\"; percent-encode both within a password (%40, %2F)");
  }
  if (const size_t at = authority.find('@'); at != std::string::npos) {
    const std::string login = authority.substr(0, at);
    authority = authority.substr(at + 1);
    if (authority.find('@') != std::string::npos) return Bad("it has two \"@\"; write %40 within a password");
    const size_t colon = login.find(':');
    QUARRY_ASSIGN_OR_RETURN(parameters["user"], PercentDecoded(login.substr(0, colon)));
    absl::StrAppend(&shown, login.substr(0, colon), colon == std::string::npos ? "" : ":***", "@");
    if (colon != std::string::npos) {
      QUARRY_ASSIGN_OR_RETURN(parameters["password"], PercentDecoded(login.substr(colon + 1)));
    }
  }
  QUARRY_RETURN_IF_ERROR(ParseHosts(authority, parameters));
  absl::StrAppend(&shown, authority, slash == std::string::npos ? "" : "/", database);
  if (!database.empty()) {
    QUARRY_ASSIGN_OR_RETURN(parameters["dbname"], PercentDecoded(database));
  }
  if (question != std::string::npos) QUARRY_RETURN_IF_ERROR(ParseQuery(query, parameters, shown));
  return parameters;
}

absl::Status CheckPorts(const Parameters& parameters) {
  const auto found = parameters.find("port");
  if (found == parameters.end()) return absl::OkStatus();
  const std::vector<std::string> ports = absl::StrSplit(found->second, ',');
  for (const std::string& port : ports) {
    int number = 0;
    if (port.empty()) continue;
    if (!absl::SimpleAtoi(port, &number) || number < 1 || number > 65'535) return Bad("a port is not 1 to 65535");
  }
  const auto host = parameters.find("host");
  const size_t hosts = host == parameters.end() ? 1 : std::vector<std::string>(absl::StrSplit(host->second, ',')).size();
  if (ports.size() != 1 && ports.size() != hosts) return Bad("the numbers of hosts and ports differ");
  return absl::OkStatus();
}

// Where it leads, as libpq fills in what a connection string leaves out.
class Target {
 public:
  Target(const Parameters& parameters, const std::map<std::string, std::string>& environment)
      : parameters_(parameters), environment_(environment) {}

  // For people: a host by its name.
  std::string Address() const {
    const std::string address = Get("hostaddr", "PGHOSTADDR", kLocalSocket);
    return absl::StrCat(Get("host", "PGHOST", address), ":", Get("port", "PGPORT", kPort), "/", Database());
  }

  std::vector<std::string> Databases() const {
    const std::string by_name = Get("host", "PGHOST", kLocalSocket);
    const std::vector<std::string> hosts = absl::StrSplit(Get("hostaddr", "PGHOSTADDR", by_name), ',');
    const std::vector<std::string> ports = absl::StrSplit(Get("port", "PGPORT", kPort), ',');
    std::vector<std::string> databases;
    for (size_t i = 0; i < hosts.size(); ++i) {
      const std::string& port = ports[i < ports.size() ? i : 0];
      const bool folder = absl::StartsWith(hosts[i], "/");
      databases.push_back(absl::StrCat(hosts[i].empty() ? kLocalSocket : folder ? hosts[i] : absl::AsciiStrToLower(hosts[i]),
                                       ":", port.empty() ? kPort : port, "/", Database()));
    }
    return databases;
  }

 private:
  static constexpr char kLocalSocket[] = "local socket";
  static constexpr char kPort[] = "5432";

  std::string Get(const char* name, const char* variable, const std::string& otherwise) const {
    const auto given = parameters_.find(name);
    if (given != parameters_.end() && !given->second.empty()) return given->second;
    const auto set = environment_.find(variable);
    return set == environment_.end() || set->second.empty() ? otherwise : set->second;
  }
  std::string Database() const { return Get("dbname", "PGDATABASE", Get("user", "PGUSER", "")); }

  const Parameters& parameters_;
  const std::map<std::string, std::string>& environment_;
};

}  // namespace

absl::StatusOr<PostgresEndpoint> ParseConninfo(const std::string& text,
                                               const std::map<std::string, std::string>& environment) {
  const bool uri = absl::StartsWith(text, "postgresql://") || absl::StartsWith(text, "postgres://");
  PostgresEndpoint endpoint;
  if (!uri && absl::StrContains(text, "://")) {
    const size_t scheme = text.find("://");
    if (text.find('=') > scheme) return Bad("a URI starts with postgresql://");
  }
  QUARRY_ASSIGN_OR_RETURN(const Parameters parameters,
                          uri ? ParseUri(text, endpoint.shown) : ParseWords(text, endpoint.shown));
  QUARRY_RETURN_IF_ERROR(CheckPorts(parameters));
  endpoint.conninfo = text;
  const Target target(parameters, environment);
  endpoint.address = target.Address();
  endpoint.databases = target.Databases();
  return endpoint;
}

}  // namespace quarry
