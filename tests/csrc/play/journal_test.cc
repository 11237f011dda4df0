// Journals: what was pushed is what is read, a full queue loses and counts, and nothing is written
// over.
#include "play/journal.h"

#include <cstring>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "check.h"
#include "play/artifacts.h"

namespace metabonk::play {

namespace {

struct Record {
  uint32_t crc, number;
  uint64_t more;
};

std::vector<uint8_t> BytesOf(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace

TEST(journal_crc_is_castagnolis) {
  const char* digits = "123456789";
  CHECK_EQ(Crc32c({reinterpret_cast<const uint8_t*>(digits), 9}), 0xE3069283u);
}

TEST(journal_keeps_what_was_pushed) {
  const TemporaryDirectory directory;
  const std::string path = directory / "ledger";
  std::unique_ptr<Journal> journal;
  CHECK(Journal::Create(path, "ledger", sizeof(Record), 64, &journal).ok());
  uint64_t lost = 0;
  for (uint32_t i = 0; i < 1000; ++i) {
    const Record record = {0, i, uint64_t{i} * i};
    while (!journal->Push(&record)) ++lost;
  }
  CHECK_EQ(journal->counts().pushed, uint64_t{1000});
  CHECK_EQ(journal->counts().dropped, lost);
  journal.reset();
  const std::vector<uint8_t> bytes = BytesOf(path);
  CHECK_EQ(bytes.size(), kJournalHeader + 1000 * sizeof(Record));
  CHECK(std::memcmp(bytes.data(), kJournalMagic, 8) == 0);
  uint32_t crc;
  std::memcpy(&crc, &bytes[60], 4);
  CHECK_EQ(crc, Crc32c({bytes.data(), 60}));
  for (uint32_t i = 0; i < 1000; ++i) {
    const uint8_t* at = &bytes[kJournalHeader + i * sizeof(Record)];
    Record record;
    std::memcpy(&record, at, sizeof record);
    CHECK_EQ(record.number, i);
    CHECK_EQ(record.crc, Crc32c({at + 4, sizeof(Record) - 4}));
  }
}

TEST(journal_flushes_what_was_pushed_before) {
  const TemporaryDirectory directory;
  std::unique_ptr<Journal> journal;
  CHECK(Journal::Create(directory / "a", "a", sizeof(Record), 512, &journal).ok());
  journal->Flush();
  for (uint32_t i = 1; i <= 200; ++i) {
    const Record record = {0, i, 0};
    CHECK(journal->Push(&record));
    if (i % 50 != 0) continue;
    journal->Flush();
    CHECK_EQ(BytesOf(directory / "a").size(), kJournalHeader + i * sizeof(Record));
  }
}

TEST(journal_refuses_what_it_cannot_keep) {
  const TemporaryDirectory directory;
  std::unique_ptr<Journal> journal;
  CHECK(!Journal::Create(directory / "none/ledger", "a", 16, 4, &journal).ok());
  CHECK(!Journal::Create(directory / "a", "a", 12, 4, &journal).ok());
  CHECK(!Journal::Create(directory / "a", "a", 16, 0, &journal).ok());
  CHECK(!Journal::Create(directory / "a", std::string(32, 'n'), 16, 4, &journal).ok());
  CHECK(Journal::Create(directory / "a", "a", 16, 4, &journal).ok());
  std::unique_ptr<Journal> second;
  CHECK(!Journal::Create(directory / "a", "a", 16, 4, &second).ok());  // written over by nobody
}

}  // namespace metabonk::play
