#include "play/json.h"

#include <algorithm>

namespace metabonk::play {

namespace {

constexpr int kDepthMax = 32;

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

void AppendUtf8(uint32_t point, std::string* out) {
  const auto put = [&](uint32_t byte) { out->push_back(static_cast<char>(byte)); };
  if (point < 0x80) {
    put(point);
  } else if (point < 0x800) {
    put(0xC0 | point >> 6);
    put(0x80 | (point & 0x3F));
  } else if (point < 0x10000) {
    put(0xE0 | point >> 12);
    put(0x80 | (point >> 6 & 0x3F));
    put(0x80 | (point & 0x3F));
  } else {
    put(0xF0 | point >> 18);
    put(0x80 | (point >> 12 & 0x3F));
    put(0x80 | (point >> 6 & 0x3F));
    put(0x80 | (point & 0x3F));
  }
}

// Reads one value after the other; what fails says why and is not read on.
class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  bool Value(int depth, Json* json);
  bool End() {
    Blanks();
    return next_ == text_.size() || Fail("there is more behind its end");
  }
  const char* why() const { return why_; }

 private:
  bool Fail(const char* why) {
    why_ = why;
    return false;
  }
  char Peek() const { return next_ < text_.size() ? text_[next_] : '\0'; }
  bool Take(char c) {
    if (next_ >= text_.size() || text_[next_] != c) return false;
    ++next_;
    return true;
  }
  void Blanks() {
    while (next_ < text_.size() && std::string_view(" \t\r\n").find(text_[next_]) != text_.npos) {
      ++next_;
    }
  }
  size_t Digits() {
    const size_t first = next_;
    while (IsDigit(Peek())) ++next_;
    return next_ - first;
  }
  bool Word(std::string_view word) {
    if (text_.substr(next_, word.size()) != word) return Fail("there is no such word in JSON");
    next_ += word.size();
    return true;
  }
  bool Number(std::string* text);
  bool String(std::string* text);
  bool Escape(std::string* text);
  bool Unit(uint32_t* unit);
  bool Array(int depth, Json* json);
  bool Object(int depth, Json* json);

  std::string_view text_;
  size_t next_ = 0;
  const char* why_ = "";
};

bool Parser::Number(std::string* text) {
  const size_t first = next_;
  Take('-');
  const bool zero = Peek() == '0';
  const size_t digits = Digits();
  if (digits == 0 || (zero && digits > 1)) return Fail("a number is malformed");
  if (Take('.') && Digits() == 0) return Fail("a number is malformed");
  if (Take('e') || Take('E')) {
    if (!Take('+')) Take('-');
    if (Digits() == 0) return Fail("a number is malformed");
  }
  text->assign(text_.substr(first, next_ - first));
  return true;
}

bool Parser::Unit(uint32_t* unit) {
  *unit = 0;
  for (int i = 0; i < 4; ++i) {
    const char c = Peek();
    const auto digit = std::string_view("0123456789abcdef").find(static_cast<char>(c | 0x20));
    if (digit == std::string_view::npos) return Fail("an escape is malformed");
    *unit = *unit << 4 | static_cast<uint32_t>(digit);
    ++next_;
  }
  return true;
}

bool Parser::Escape(std::string* text) {
  constexpr std::string_view kLetters = "\"\\/bfnrt", kMeant = "\"\\/\b\f\n\r\t";
  const auto letter = next_ < text_.size() ? kLetters.find(text_[next_]) : std::string_view::npos;
  if (letter != std::string_view::npos) {
    ++next_;
    text->push_back(kMeant[letter]);
    return true;
  }
  uint32_t point;
  if (!Take('u')) return Fail("an escape is malformed");
  if (!Unit(&point)) return false;
  if (point >= 0xD800 && point < 0xDC00) {  // the first of two halves
    uint32_t low;
    if (!Take('\\') || !Take('u')) return Fail("an escape is half a character");
    if (!Unit(&low)) return false;
    if (low < 0xDC00 || low > 0xDFFF) return Fail("an escape is half a character");
    point = 0x10000 + ((point - 0xD800) << 10 | (low - 0xDC00));
  } else if (point >= 0xDC00 && point <= 0xDFFF) {
    return Fail("an escape is half a character");
  }
  AppendUtf8(point, text);
  return true;
}

bool Parser::String(std::string* text) {
  if (!Take('"')) return Fail("a string is wanted");
  while (next_ < text_.size()) {
    const char c = text_[next_++];
    if (c == '"') return true;
    if (static_cast<unsigned char>(c) < 0x20) return Fail("a string holds a control character");
    if (c != '\\') {
      text->push_back(c);
    } else if (!Escape(text)) {
      return false;
    }
  }
  return Fail("it ends within a string");
}

bool Parser::Array(int depth, Json* json) {
  Take('[');
  Blanks();
  if (Take(']')) return true;
  do {
    if (!Value(depth + 1, &json->items.emplace_back())) return false;
    Blanks();
  } while (Take(','));
  return Take(']') || Fail("a list does not end");
}

bool Parser::Object(int depth, Json* json) {
  Take('{');
  Blanks();
  if (Take('}')) return true;
  do {
    Blanks();
    if (!String(&json->names.emplace_back())) return false;
    Blanks();
    if (!Take(':')) return Fail("a name has no value");
    if (!Value(depth + 1, &json->items.emplace_back())) return false;
    Blanks();
  } while (Take(','));
  if (!Take('}')) return Fail("an object does not end");
  std::vector<std::string_view> sorted(json->names.begin(), json->names.end());
  std::sort(sorted.begin(), sorted.end());
  const bool twice = std::adjacent_find(sorted.begin(), sorted.end()) != sorted.end();
  return !twice || Fail("an object has a name twice");
}

bool Parser::Value(int depth, Json* json) {
  if (depth > kDepthMax) return Fail("it is nested too deeply");
  Blanks();
  switch (Peek()) {
    case '{':
      json->kind = Json::Kind::kObject;
      return Object(depth, json);
    case '[':
      json->kind = Json::Kind::kArray;
      return Array(depth, json);
    case '"':
      json->kind = Json::Kind::kString;
      return String(&json->text);
    case 't':
      json->kind = Json::Kind::kTruth;
      json->truth = true;
      return Word("true");
    case 'f':
      json->kind = Json::Kind::kTruth;
      return Word("false");
    case 'n':
      return Word("null");
    default:
      json->kind = Json::Kind::kNumber;
      return Number(&json->text);
  }
}

}  // namespace

const Json* Json::Find(std::string_view name) const {
  const auto found = std::find(names.begin(), names.end(), name);
  return found == names.end() ? nullptr : &items[static_cast<size_t>(found - names.begin())];
}

bool Json::Integer(uint64_t most, uint64_t* value) const {
  if (kind != Kind::kNumber || !std::all_of(text.begin(), text.end(), IsDigit)) return false;
  uint64_t sum = 0;
  for (const char c : text) {
    const auto digit = static_cast<uint64_t>(c - '0');
    if (digit > most || sum > (most - digit) / 10) return false;
    sum = sum * 10 + digit;
  }
  *value = sum;
  return true;
}

Status ParseJson(std::string_view text, Json* json) {
  *json = Json{};
  Parser parser(text);
  if (parser.Value(0, json) && parser.End()) return Status::Ok();
  return {Code::kCorrupt, "JSON", parser.why()};
}

}  // namespace metabonk::play
