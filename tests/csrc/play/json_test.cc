#include "play/json.h"

#include <string>

#include "check.h"

namespace metabonk::play {

namespace {

bool Accepts(std::string_view text) {
  Json json;
  return ParseJson(text, &json).ok();
}

std::string Text(std::string_view text) {
  Json json;
  return ParseJson(text, &json).ok() ? json.text : "refused";
}

}  // namespace

TEST(json_reads_a_tree) {
  Json json;
  CHECK(ParseJson(" {\"a\": [1, -2.5e3, true, null, {}], \"b\": \"x\"}\n", &json).ok());
  const Json* a = json.Find("a");
  CHECK(a != nullptr && a->items.size() == 5);
  CHECK(a->items[1].Is(Json::Kind::kNumber) && a->items[1].text == "-2.5e3");
  CHECK(a->items[2].truth);
  CHECK(a->items[3].Is(Json::Kind::kNull));
  CHECK(a->items[4].Is(Json::Kind::kObject));
  CHECK_EQ(json.Find("b")->text, "x");
  CHECK(json.Find("c") == nullptr);
  CHECK(a->Find("a") == nullptr);
}

TEST(json_decodes_escapes) {
  CHECK_EQ(Text(R"("\"\\\/\b\f\n\r\t")"), "\"\\/\b\f\n\r\t");
  CHECK_EQ(Text(R"("\u0041\u00e4\u20AC\ud83d\ude00")"), "A\xC3\xA4\xE2\x82\xAC\xF0\x9F\x98\x80");
}

TEST(json_reads_integers_within_bounds_only) {
  const auto integer = [](std::string_view text, uint64_t most) {
    Json json;
    uint64_t value = 0;
    CHECK(ParseJson(text, &json).ok());
    return json.Integer(most, &value) ? value : uint64_t{999};
  };
  CHECK_EQ(integer("0", 0), uint64_t{0});
  CHECK_EQ(integer("18446744073709551615", UINT64_MAX), UINT64_MAX);
  CHECK_EQ(integer("18446744073709551616", UINT64_MAX), uint64_t{999});
  CHECK_EQ(integer("100", 99), uint64_t{999});
  CHECK_EQ(integer("99", 99), uint64_t{99});
  for (const char* text : {"-1", "1.0", "1e2", "\"1\"", "true"}) {
    CHECK_EQ(integer(text, 50), uint64_t{999});
  }
}

TEST(json_refuses_what_is_not_in_the_grammar) {
  for (const char* text : {"",
                           " ",
                           "{",
                           "}",
                           "[1",
                           "[1,]",
                           "[,1]",
                           "{\"a\"}",
                           "{\"a\":}",
                           "{\"a\":1,}",
                           "{a:1}",
                           "{\"a\":1 \"b\":2}",
                           "tru",
                           "nul",
                           "01",
                           "-",
                           "+1",
                           "1.",
                           ".5",
                           "1e",
                           "1e+",
                           "0x1",
                           "NaN",
                           "\"a",
                           "\"\\x\"",
                           "\"\\u12\"",
                           "\"\\u123g\"",
                           "\"\\ud800\"",
                           "\"\\ud800\\u0041\"",
                           "\"\\udc00\"",
                           "1 2",
                           "{}{}",
                           "'a'",
                           "[1]]"}) {
    if (Accepts(text)) check::Fail(__FILE__, __LINE__, std::string("accepted: ") + text);
  }
  CHECK(!Accepts("\"\n\""));
  CHECK(!Accepts(std::string_view("\"\0\"", 3)));
  CHECK(!Accepts(std::string_view("1\0", 2)));
}

TEST(json_refuses_a_name_twice) {
  CHECK(Accepts("{\"a\":1,\"b\":{\"a\":2}}"));
  CHECK(!Accepts("{\"a\":1,\"b\":2,\"a\":1}"));
  CHECK(!Accepts("{\"a\":1,\"\\u0061\":1}"));  // the same name, written in another way
}

TEST(json_refuses_deep_nesting) {
  const auto nested = [](size_t depth) {
    return std::string(depth, '[') + std::string(depth, ']');
  };
  CHECK(Accepts(nested(20)));
  CHECK(!Accepts(nested(100000)));
}

}  // namespace metabonk::play
