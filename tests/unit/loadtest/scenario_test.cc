#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "loadtest/quarry_load/options.h"
#include "loadtest/quarry_load/report_text.h"
#include "loadtest/quarry_load/scenario_file.h"
#include "loadtest/quarry_load/settings.h"

namespace quarry::load {
namespace {

using testing::AllOf;
using testing::HasSubstr;

std::string Mistakes(std::string_view yaml) {
  return std::string(ParseScenario(yaml, "mine.yaml").status().message());
}

TEST(ScenarioTest, ReadsEverySetting) {
  const auto scenario = ParseScenario(
      "operations: {get: 95, update: 5}\n"
      "keys: 5000\n"
      "distribution: hot_tenant\n"
      "hot_fraction: 0.5\n"
      "rate: 1000\n"
      "arrivals: poisson\n"
      "duration: 1m\n"
      "deadline: 250ms\n"
      "read_columns: [id, balance]\n"
      "request_ids: true\n"
      "table: accounts\n"
      "update: both\n",
      "mine.yaml");
  ASSERT_TRUE(scenario.ok()) << scenario.status();
  EXPECT_EQ(scenario->operations.size(), 2u);
  EXPECT_TRUE(scenario->has(Operation::kUpdate));
  EXPECT_EQ(scenario->operations[0].weight, 95);
  EXPECT_EQ(scenario->keys, 5000);
  EXPECT_EQ(scenario->distribution, Distribution::kHotTenant);
  EXPECT_EQ(scenario->hot_fraction, 0.5);
  EXPECT_TRUE(scenario->open_loop());
  EXPECT_EQ(scenario->arrivals, Arrivals::kPoisson);
  EXPECT_EQ(scenario->duration, absl::Minutes(1));
  EXPECT_EQ(scenario->deadline, absl::Milliseconds(250));
  EXPECT_THAT(scenario->read_columns, testing::ElementsAre("id", "balance"));
  EXPECT_TRUE(scenario->request_ids);
  EXPECT_EQ(scenario->table.name, "accounts");
  EXPECT_EQ(scenario->update, UpdatedColumns::kBoth);
  EXPECT_TRUE(Validate(*scenario).ok());
}

TEST(ScenarioTest, NamesLineAndNearestKeyOfEveryMistake) {
  const std::string mistakes = Mistakes(
      "operations: {gett: 95}\n"
      "key: 5\n"
      "batch: many\n"
      "duration: fast\n"
      "distribution: zipfain\n");
  EXPECT_THAT(mistakes, HasSubstr("mine.yaml:1:14"));
  EXPECT_THAT(mistakes, HasSubstr("did you mean \"get\""));
  EXPECT_THAT(mistakes, AllOf(HasSubstr("mine.yaml:2:1"), HasSubstr("did you mean \"keys\"")));
  EXPECT_THAT(mistakes, AllOf(HasSubstr("mine.yaml:3"), HasSubstr("whole number from 1")));
  EXPECT_THAT(mistakes, AllOf(HasSubstr("mine.yaml:4"), HasSubstr("500ms")));
  EXPECT_THAT(mistakes, AllOf(HasSubstr("mine.yaml:5"), HasSubstr("did you mean \"zipfian\"")));
}

TEST(ScenarioTest, RefusesOtherShapes) {
  EXPECT_THAT(Mistakes("- get\n"), HasSubstr("a scenario is a map"));
  EXPECT_THAT(Mistakes("keys: {a: 1}\n"), HasSubstr("takes one value"));
  EXPECT_THAT(Mistakes("operations: {get: -1}\n"), HasSubstr("is not a weight"));
  EXPECT_THAT(Mistakes("operations: {get: [1]}\n"), HasSubstr("a weight is a number"));
  EXPECT_THAT(Mistakes("concurrency: 4\nrate: 10\n"), HasSubstr("give one"));
  EXPECT_THAT(Mistakes("keys: 1\nkeys: 2\n"), HasSubstr("mine.yaml:2"));
  EXPECT_THAT(Mistakes("keys: 99999999999999999999\n"), HasSubstr("whole number"));
  EXPECT_THAT(Mistakes("theta: 1\n"), HasSubstr("from 0.01 to 0.9999"));
}

TEST(ScenarioTest, TellsWhatDoesNotFitTogether) {
  Scenario scenario;
  EXPECT_THAT(std::string(Validate(scenario).message()), HasSubstr("no operation"));
  scenario.operations = {{Operation::kEcho, 1}, {Operation::kGet, 1}};
  scenario.insert_from = 5;
  scenario.threads = 32;
  scenario.duration = absl::ZeroDuration();
  const std::string wrong(Validate(scenario).message());
  EXPECT_THAT(wrong, HasSubstr("echo"));
  EXPECT_THAT(wrong, HasSubstr("insert_from 5"));
  EXPECT_THAT(wrong, HasSubstr("threads is larger than concurrency"));
  EXPECT_THAT(wrong, HasSubstr("duration is 0"));
}

TEST(ScenarioTest, BuiltInScenariosAreValidAndHaveADescription) {
  std::vector<std::string> names;
  for (const BuiltinScenario& builtin : BuiltinScenarios()) {
    names.push_back(builtin.name);
    const auto scenario = LoadScenario(builtin.name);
    ASSERT_TRUE(scenario.ok()) << scenario.status();
    EXPECT_EQ(scenario->name, builtin.name);
    EXPECT_FALSE(scenario->description.empty()) << builtin.name;
    EXPECT_TRUE(Validate(*scenario).ok()) << builtin.name << Validate(*scenario);
  }
  EXPECT_THAT(names, testing::IsSupersetOf(
                         {"ycsb-a", "ycsb-b", "ycsb-c", "ycsb-d", "ycsb-e", "ycsb-f", "hot-tenant"}));
}

TEST(ScenarioTest, UnknownScenarioSuggestsOne) {
  EXPECT_THAT(std::string(LoadScenario("ycbs-a").status().message()),
              HasSubstr("did you mean \"ycsb-a\""));
}

TEST(ScenarioTest, EverySettingShowsWhatItReads) {
  const nlohmann::json shown = ShowScenario(Scenario());
  for (const Setting& setting : Settings()) {
    ASSERT_TRUE(shown.contains(setting.name)) << setting.name;
    if (shown[setting.name].is_array()) continue;
    const nlohmann::json& value = shown[setting.name];
    Scenario scenario;
    const std::string text = value.is_string() ? value.get<std::string>() : value.dump();
    EXPECT_TRUE(setting.set(scenario, text).ok()) << setting.name << " " << text;
    EXPECT_EQ(setting.show(scenario), value) << setting.name;
  }
}

absl::Status ApplyOptions(Scenario& scenario, const std::string& arguments) {
  CLI::App app;
  ScenarioOptions options;
  options.AddTo(app);
  options.AddOperationsTo(app);
  app.parse(arguments);
  return options.Apply(scenario);
}

TEST(ScenarioOptionsTest, GoOverTheScenario) {
  Scenario scenario = *LoadScenario("ycsb-a");
  ASSERT_TRUE(
      ApplyOptions(scenario, "--op get:95 --op upsert:5 --keys 7 --distribution uniform").ok());
  ASSERT_EQ(scenario.operations.size(), 2u);
  EXPECT_EQ(scenario.operations[1].operation, Operation::kUpsert);
  EXPECT_EQ(scenario.operations[1].weight, 5);
  EXPECT_EQ(scenario.keys, 7);
  EXPECT_EQ(scenario.value_bytes, 1000) << "of the scenario";
}

TEST(ScenarioOptionsTest, ConcurrencyMakesAnOpenLoopAClosedOne) {
  Scenario scenario;
  scenario.rate = 100;
  ASSERT_TRUE(ApplyOptions(scenario, "--concurrency 8").ok());
  EXPECT_FALSE(scenario.open_loop());
  EXPECT_THAT(std::string(ApplyOptions(scenario, "--concurrency 8 --rate 5").message()),
              HasSubstr("give one"));
}

TEST(ScenarioOptionsTest, NameTheOptionThatIsWrong) {
  Scenario scenario;
  EXPECT_THAT(std::string(ApplyOptions(scenario, "--value-bytes x").message()),
              HasSubstr("--value-bytes: \"x\""));
  EXPECT_THAT(std::string(ApplyOptions(scenario, "--op gat").message()),
              HasSubstr("did you mean \"get\""));
  EXPECT_THAT(std::string(ApplyOptions(scenario, "--op get --op get:2").message()),
              HasSubstr("given twice"));
}

TEST(ScenarioTest, BatchesToWriteCoverEachKeyOnce) {
  Scenario scenario;
  scenario.keys = 10;
  scenario.batch = 3;
  EXPECT_EQ(BatchesToWrite(scenario), 4);
  scenario.threads = 3;  // 4, 3 and 3 keys.
  EXPECT_EQ(BatchesToWrite(scenario), 4);
  scenario.batch = 100;
  EXPECT_EQ(BatchesToWrite(scenario), 3);
}

TEST(ScenarioTest, DescribesItselfInOneLine) {
  Scenario scenario;
  scenario.operations = {{Operation::kGet, 19}, {Operation::kUpdate, 1}};
  EXPECT_EQ(DescribeScenario(ShowScenario(scenario)),
            "get 95 %, update 5 %; uniform over 100,000 keys; closed loop, 16 in flight");
}

}  // namespace
}  // namespace quarry::load
