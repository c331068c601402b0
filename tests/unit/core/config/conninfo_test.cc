#include "core/config/conninfo.h"

#include "tests/unit/core/config/support.h"

namespace quarry {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

struct Case {
  const char* text;
  const char* address;
  const char* shown;
};

TEST(ParseConninfoTest, KnowsTheAddressAndHidesPasswords) {
  for (const Case& test : {
           Case{"host=db1 port=5433 dbname=shop user=app", "db1:5433/shop", "host=db1 port=5433 dbname=shop user=app"},
           Case{"dbname = shop  password = 'it''s", "", ""},
           Case{"dbname = 'my shop' password='a b' ", "local socket:5432/my shop", "dbname='my shop' password=***"},
           Case{"host=/tmp/pg user=app", "/tmp/pg:5432/app", "host=/tmp/pg user=app"},
           Case{"postgresql://app:s3cret@db1:5433/shop?sslmode=require", "db1:5433/shop",
                "postgresql://app:***@db1:5433/shop?sslmode=require"},
           Case{"postgres://db1/shop?password=s3cret&user=app", "db1:5432/shop", "postgres://db1/shop?password=***&user=app"},
           Case{"postgresql://[::1]:5433,db2/shop", "::1,db2:5433,/shop", "postgresql://[::1]:5433,db2/shop"},
           Case{"postgresql:///shop?host=/tmp/pg", "/tmp/pg:5432/shop", "postgresql:///shop?host=/tmp/pg"},
           Case{"postgresql://%2Ftmp%2Fpg/shop", "/tmp/pg:5432/shop", "postgresql://%2Ftmp%2Fpg/shop"},
       }) {
    const auto endpoint = ParseConninfo(test.text);
    if (test.address[0] == '\0') {
      EXPECT_FALSE(endpoint.ok()) << test.text;
      continue;
    }
    ASSERT_THAT(endpoint, IsOk()) << test.text;
    EXPECT_EQ(endpoint->address, test.address);
    EXPECT_EQ(endpoint->shown, test.shown);
    EXPECT_EQ(endpoint->conninfo, test.text);
    EXPECT_THAT(ParseConninfo(endpoint->shown), IsOk()) << "what is shown reads again";
  }
}

TEST(ParseConninfoTest, TakesWhatIsLeftOutFromTheEnvironmentAsLibpqDoes) {
  const std::map<std::string, std::string> environment = {
      {"PGHOST", "db9"}, {"PGPORT", "17502"}, {"PGDATABASE", "shop9"}, {"PGUSER", "app9"}};
  EXPECT_EQ(ParseConninfo("dbname=shop0", environment)->address, "db9:17502/shop0");
  EXPECT_EQ(ParseConninfo("postgresql://db1/", environment)->address, "db1:17502/shop9");
  EXPECT_EQ(ParseConninfo("host=db1 port=5433 dbname=shop", environment)->address, "db1:5433/shop");
  EXPECT_EQ(ParseConninfo("port=5433", {{"PGUSER", "app9"}})->address, "local socket:5433/app9");
  EXPECT_EQ(ParseConninfo("port=5433", {{"PGHOSTADDR", "10.0.0.1"}})->address, "10.0.0.1:5433/");
}

TEST(ParseConninfoTest, TellsEachDatabaseInOneForm) {
  const auto databases = [](const char* text) { return ParseConninfo(text)->databases; };
  EXPECT_EQ(databases("postgresql://shop:x@DB1:17502/shop"), databases("user=other host=db1 port=17502 dbname=shop"));
  EXPECT_EQ(databases("postgresql://db1/shop"), databases("host=db1 port=5432 dbname=shop sslmode=require"));
  EXPECT_EQ(databases("host=db1 hostaddr=10.0.0.1 dbname=shop"), databases("hostaddr=10.0.0.1 dbname=shop"));
  EXPECT_EQ(databases("postgresql://a:1,b/s"), (std::vector<std::string>{"a:1/s", "b:5432/s"}));
  EXPECT_EQ(databases("host=a,b port=7 dbname=s"), (std::vector<std::string>{"a:7/s", "b:7/s"}));
  EXPECT_NE(databases("host=/Run dbname=s"), databases("host=/run dbname=s"));
}

TEST(ParseConninfoTest, RefusesWhatLibpqWouldAndNeverQuotesIt) {
  for (const char* text : {"", "   ", "host", "s3cret", "host=db1 s3cret", "host=db1 pasword=s3cret", "host=db1 port=0",
                           "host=db1 port=x", "host=a,b port=1,2,3", "mysql://root:s3cret@db/x",
                           "postgresql://u:s3cret%@h/d", "postgresql://u:s3cret%zz@h/d", "postgresql://u:s3/cret@h/d",
                           "postgresql://u:s3@cret@h/d", "postgresql://[::1/d", "postgresql://h/d?s3cret",
                           "postgresql://h/d?s3cret=1", "postgresql://h/d?application_name=%00", "password='s3cret"}) {
    const auto endpoint = ParseConninfo(text);
    EXPECT_THAT(endpoint, StatusIs(absl::StatusCode::kInvalidArgument)) << text;
    EXPECT_THAT(std::string(endpoint.status().message()), Not(HasSubstr("cret"))) << text;
  }
  EXPECT_THAT(std::string(ParseConninfo("hots=db1").status().message()), HasSubstr("did you mean \"host\"?"));
}

}  // namespace
}  // namespace quarry
