// gateways.
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_replace.h"
#include "client/quarryctl/commands.h"
#include "client/quarryctl/output.h"
#include "client/quarryctl/text_value.h"
#include "core/base/status_macros.h"

namespace quarry::ctl {
namespace {

std::string StateName(v1::GatewayState state) {
  if (state == v1::GATEWAY_STATE_UNSPECIFIED) return "not asked";
  const std::string name = v1::GatewayState_Name(state).substr(sizeof("GATEWAY_STATE_") - 1);
  return absl::StrReplaceAll(absl::AsciiStrToLower(name), {{"_", " "}});
}

absl::Status ListGateways(Session& session) {
  QUARRY_ASSIGN_OR_RETURN(client::Client * client, session.Client());
  QUARRY_ASSIGN_OR_RETURN(const std::vector<v1::Gateway> gateways, client->ListGateways());
  if (session.json()) {
    v1::ListGatewaysResponse list;
    for (const v1::Gateway& gateway : gateways) *list.add_gateways() = gateway;
    session.out() << MessageJson(list);
    return absl::OkStatus();
  }
  TextTable table({"address", "state", "instance", "version", "deployment", "error"});
  for (const v1::Gateway& gateway : gateways) {
    table.Add({gateway.address(), StateName(gateway.state()), gateway.instance(), gateway.version(),
               gateway.deployment(), gateway.last_error().message()});
  }
  table.Print(session.out());
  return absl::OkStatus();
}

}  // namespace

void AddGateways(CLI::App& app, Session& session) {
  CLI::App* gateways = app.add_subcommand("gateways", "The gateways of the deployment");
  gateways->require_subcommand(1);
  gateways->footer("Example: quarryctl gateways list");
  CLI::App* list = gateways->add_subcommand(
      "list", "Lists the gateways that the one asked knows, and whether they answer it");
  list->footer("Example: quarryctl gateways list -o json");
  list->callback([&session] {
    if (const absl::Status status = ListGateways(session); !status.ok())
      session.Fail("gateways list", status);
  });
}

}  // namespace quarry::ctl
