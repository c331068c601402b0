// context list, use, set.
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "client/quarryctl/commands.h"
#include "client/quarryctl/output.h"
#include "client/quarryctl/text_value.h"
#include "core/base/status_macros.h"

namespace quarry::ctl {
namespace {

absl::Status ListContexts(Session& session) {
  QUARRY_ASSIGN_OR_RETURN(const Contexts contexts, LoadContexts(ContextsPath()));
  if (session.json()) {
    std::string json;
    for (const auto& [name, context] : contexts.by_name) {
      absl::StrAppend(&json, json.empty() ? "" : ", ", JsonString(name),
                      ": {\"address\": ", JsonString(context.address),
                      ", \"timeout\": ", JsonString(absl::FormatDuration(context.timeout)), "}");
    }
    session.out() << "{\"current\": " << JsonString(contexts.current) << ", \"contexts\": {" << json
                  << "}}\n";
    return absl::OkStatus();
  }
  TextTable table({"", "context", "address", "timeout"});
  for (const auto& [name, context] : contexts.by_name) {
    table.Add({name == contexts.current ? "*" : "", name, context.address,
               absl::FormatDuration(context.timeout)});
  }
  table.Print(session.out());
  return absl::OkStatus();
}

absl::Status UseContext(Session& session, const std::string& name) {
  QUARRY_ASSIGN_OR_RETURN(Contexts contexts, LoadContexts(ContextsPath()));
  ContextOverrides chosen;
  chosen.context = name;
  QUARRY_ASSIGN_OR_RETURN(const Context context, ResolveContext(contexts, chosen));
  contexts.current = name;
  QUARRY_RETURN_IF_ERROR(SaveContexts(ContextsPath(), contexts));
  session.out() << "now using " << name << " (" << context.address << ")\n";
  return absl::OkStatus();
}

// The global --address and --timeout are what it sets; the first context becomes the current one.
absl::Status SetContext(Session& session, const std::string& name) {
  QUARRY_ASSIGN_OR_RETURN(Contexts contexts, LoadContexts(ContextsPath()));
  Context& context = contexts.by_name[name];
  if (!session.address.empty()) context.address = session.address;
  if (!session.timeout.empty()) {
    QUARRY_ASSIGN_OR_RETURN(context.timeout, ParseTimeout(session.timeout));
  }
  if (contexts.current.empty()) contexts.current = name;
  QUARRY_RETURN_IF_ERROR(SaveContexts(ContextsPath(), contexts));
  session.out() << name << " is " << context.address << ", timeout "
                << absl::FormatDuration(context.timeout) << "\n";
  return absl::OkStatus();
}

using Change = absl::Status (*)(Session&, const std::string&);

void AddChange(CLI::App& group, Session& session, const char* name, const char* about,
               const char* example, Change change) {
  auto context = std::make_shared<std::string>();
  CLI::App* command = group.add_subcommand(name, about);
  command->add_option("name", *context, "Context")->required();
  command->footer(std::string("Example: ") + example);
  command->callback([&session, name, change, context] {
    const absl::Status status = change(session, *context);
    if (!status.ok()) session.FailUsage(absl::StrCat("context ", name, " ", *context), status);
  });
}

}  // namespace

void AddContexts(CLI::App& app, Session& session) {
  CLI::App* group =
      app.add_subcommand("context", "Named gateways, kept in ~/.config/quarry/config.yaml");
  group->require_subcommand(1);
  group->footer("Example: quarryctl context set local --address 127.0.0.1:7400");
  CLI::App* list = group->add_subcommand("list", "Lists the contexts; * marks the current one");
  list->footer("Example: quarryctl context list");
  list->callback([&session] {
    if (const absl::Status status = ListContexts(session); !status.ok())
      session.FailUsage("context list", status);
  });
  AddChange(*group, session, "use", "Makes a context the current one",
            "quarryctl context use local", UseContext);
  AddChange(*group, session, "set",
            "Makes or changes a context: --address and --timeout are what it sets",
            "quarryctl context set local --address 127.0.0.1:7400 --timeout 10s", SetContext);
}

}  // namespace quarry::ctl
