// SPDX-License-Identifier: Apache-2.0
// Backlog: what a broker misses survives kill -9, a full disk and restarts, in order and bounded.
#include "daemon/backlog.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sqlite3.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <random>
#include <thread>

#include "daemon/history/storage.hpp"
#include "tests/daemon/history/former_file.hpp"
#include "tests/daemon/history/other_program.hpp"

namespace smartmeterd::history {
namespace {

using namespace std::chrono_literals;
using Entries = std::vector<Backlog::Entry>;

/// How long a test waits for something that has to happen; nothing is timed by it.
constexpr auto patience = 30s;
constexpr std::size_t plenty = 16 * 1024 * 1024;

/// Of a length that goes with the number, so that a mixed-up entry shows.
std::string payload(std::uint64_t number) {
  return fmt::format(R"({{"number":{},"padding":"{}"}})", number,
                     std::string(300 + number % 97, static_cast<char>('a' + number % 26)));
}

bool eventually(const std::function<bool()>& condition) {
  const auto end = std::chrono::steady_clock::now() + patience;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(1ms);
  }
  return true;
}

Entries fetch(Backlog& backlog, std::uint64_t after = 0, std::size_t count_max = 1'000'000) {
  backlog.fetch(after, count_max);
  pollfd ready{.fd = backlog.event_fd(), .events = POLLIN, .revents = 0};
  EXPECT_EQ(poll(&ready, 1, std::chrono::milliseconds(patience).count()), 1);
  return backlog.take_fetched().value_or(Entries());
}

class BacklogTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (std::filesystem::temp_directory_path() / "backlog-XXXXXX").string();
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    directory_ = name;
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  std::filesystem::path file() const { return directory_ / "state.db"; }
  /// The answer of another program that opens the file.
  std::int64_t ask_file(const char* question) const {
    sqlite3* database = nullptr;
    sqlite3_stmt* statement = nullptr;
    std::int64_t answer = -1;
    if (sqlite3_open_v2(file().c_str(), &database, SQLITE_OPEN_READONLY, nullptr) == SQLITE_OK &&
        sqlite3_prepare_v2(database, question, -1, &statement, nullptr) == SQLITE_OK &&
        sqlite3_step(statement) == SQLITE_ROW)
      answer = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    sqlite3_close(database);
    return answer;
  }
  std::int64_t rows_in_file() const { return ask_file("SELECT count(*) FROM backlog"); }

  std::filesystem::path directory_;
};

TEST_F(BacklogTest, KeepsOrderTextAndIdsOverARestart) {
  {
    const auto storage = Storage::open(directory_);
    Backlog* backlog = storage->backlog("home", plenty);
    ASSERT_NE(backlog, nullptr);
    EXPECT_EQ(backlog->stored(), 0u);
    for (std::uint64_t number = 1; number <= 200; ++number)
      backlog->append(number % 2 == 0 ? "even" : "odd", payload(number));
    EXPECT_EQ(backlog->stored(), 200u);
    EXPECT_EQ(fetch(*backlog).size(), 200u) << "also what was not written yet";
  }
  const auto storage = Storage::open(directory_);
  Backlog* backlog = storage->backlog("home", plenty);
  EXPECT_EQ(backlog->stored(), 200u);
  backlog->append("odd", payload(201));
  const Entries entries = fetch(*backlog);
  ASSERT_EQ(entries.size(), 201u);
  for (std::uint64_t number = 1; number <= 201; ++number) {
    const Backlog::Entry& entry = entries[number - 1];
    EXPECT_EQ(entry.meter, number % 2 == 0 ? "even" : "odd");
    EXPECT_EQ(entry.payload, payload(number));
    if (number > 1) {
      EXPECT_GT(entry.id, entries[number - 2].id);
    }
  }
  EXPECT_EQ(backlog->dropped(), 0u);
}

TEST_F(BacklogTest, EveryBrokerHasItsOwn) {
  {
    const auto storage = Storage::open(directory_);
    storage->backlog("one", plenty)->append("m", "first");
    storage->backlog("two", plenty)->append("m", "second");
    storage->backlog("one", plenty)->append("m", "third");
    EXPECT_EQ(storage->backlog("one", plenty)->stored(), 2u);
  }
  const auto storage = Storage::open(directory_);
  const Entries one = fetch(*storage->backlog("one", plenty));
  ASSERT_EQ(one.size(), 2u);
  EXPECT_EQ(one[0].payload, "first");
  EXPECT_EQ(one[1].payload, "third");
  EXPECT_EQ(fetch(*storage->backlog("two", plenty)).size(), 1u);
  EXPECT_EQ(storage->backlog("three", plenty)->stored(), 0u);
}

TEST_F(BacklogTest, IsFetchedInPiecesAndRemovedAsItIsAcknowledged) {
  {
    const auto storage = Storage::open(directory_);
    Backlog* backlog = storage->backlog("home", plenty);
    for (std::uint64_t number = 1; number <= 10; ++number) backlog->append("m", payload(number));
  }
  {
    const auto storage = Storage::open(directory_);
    Backlog* backlog = storage->backlog("home", plenty);
    Entries entries = fetch(*backlog, 0, 4);
    ASSERT_EQ(entries.size(), 4u);
    EXPECT_EQ(fetch(*backlog, entries.back().id, 4).front().payload, payload(5));
    for (int i = 0; i < 3; ++i) backlog->acknowledge(entries[static_cast<std::size_t>(i)].id);
    EXPECT_EQ(backlog->stored(), 7u);
    EXPECT_EQ(fetch(*backlog, 0, 1).front().payload, payload(4)) << "although not removed yet";
    EXPECT_EQ(rows_in_file(), 10) << "one transaction in 30 seconds";
  }
  EXPECT_EQ(rows_in_file(), 7);
  const auto storage = Storage::open(directory_);
  const Entries left = fetch(*storage->backlog("home", plenty));
  ASSERT_EQ(left.size(), 7u);
  EXPECT_EQ(left.front().payload, payload(4));
}

TEST_F(BacklogTest, ANewQuestionReplacesTheOneBefore) {
  const auto storage = Storage::open(directory_);
  Backlog* backlog = storage->backlog("home", plenty);
  for (std::uint64_t number = 1; number <= 10; ++number) backlog->append("m", payload(number));
  for (int round = 0; round < 200; ++round) {
    backlog->fetch(0, 10);
    EXPECT_EQ(fetch(*backlog, 0, 1).size(), 1u);
    EXPECT_FALSE(backlog->take_fetched().has_value());
  }
}

TEST_F(BacklogTest, WhatABrokerTakesSoonIsNeverWritten) {
  const auto storage = Storage::open(directory_, 1h);
  Backlog* backlog = storage->backlog("home", plenty);
  const auto before = std::filesystem::file_size(directory_ / "state.db-wal");
  for (std::uint64_t number = 1; number <= 100; ++number) backlog->append("m", payload(number));
  for (const Backlog::Entry& entry : fetch(*backlog)) backlog->acknowledge(entry.id);
  EXPECT_EQ(backlog->stored(), 0u);
  EXPECT_EQ(std::filesystem::file_size(directory_ / "state.db-wal"), before);
}

TEST_F(BacklogTest, OneTransactionForAllThatCameMeanwhile) {
  const auto storage = Storage::open(directory_, 200ms);
  Backlog* backlog = storage->backlog("home", plenty);
  for (std::uint64_t number = 1; number <= 50; ++number) backlog->append("m", payload(number));
  ASSERT_TRUE(eventually([&] { return rows_in_file() > 0; }));
  EXPECT_EQ(rows_in_file(), 50);
}

TEST_F(BacklogTest, BeyondTheLimitTheOldestAreDroppedAndCounted) {
  constexpr std::size_t limit = 64 * 1024;
  std::uint64_t kept = 0;
  {
    const auto storage = Storage::open(directory_, 0ms);
    Backlog* backlog = storage->backlog("home", limit);
    for (std::uint64_t number = 1; number <= 1000; ++number) {
      backlog->append("m", payload(number));
      if (number % 50 == 0) {
        ASSERT_TRUE(eventually([&] { return rows_in_file() > 0; }));
      }
    }
    ASSERT_TRUE(eventually([&] {
      return ask_file("SELECT max(id) FROM backlog") == 1000 &&
             backlog->stored() == static_cast<std::uint64_t>(rows_in_file());
    }));
    kept = backlog->stored();
    EXPECT_EQ(kept + backlog->dropped(), 1000u);
    const Entries entries = fetch(*backlog);
    ASSERT_EQ(entries.size(), kept);
    for (std::size_t i = 0; i < kept; ++i) EXPECT_EQ(entries[i].payload, payload(1001 - kept + i));
  }
  EXPECT_LE(ask_file("SELECT sum(length(meter) + length(payload)) FROM backlog"), limit);
  EXPECT_GT(kept, 100u);
  // The file has no more than the limit and what its pages need besides.
  EXPECT_LT(std::filesystem::file_size(file()), 3 * limit);

  const auto storage = Storage::open(directory_, 0ms);
  Backlog* backlog = storage->backlog("home", limit / 2);
  EXPECT_TRUE(eventually([&] { return backlog->stored() < kept; })) << "a smaller limit";
  EXPECT_EQ(fetch(*backlog).back().payload, payload(1000));
}

TEST_F(BacklogTest, TheQueueBeforeTheFileIsBounded) {
  const auto storage = Storage::open(directory_, 1h);
  Backlog* backlog = storage->backlog("home", plenty);
  constexpr std::uint64_t count = 20'000;  // some 8 MB
  for (std::uint64_t number = 1; number <= count; ++number) backlog->append("m", payload(number));
  EXPECT_GT(backlog->dropped(), 0u);
  EXPECT_EQ(backlog->stored() + backlog->dropped(), count);
  EXPECT_EQ(fetch(*backlog).back().payload, payload(count));
}

/// A small writer is killed at random points: the file opens, and what is in it has no gap, is
/// whole and in order; what was there before is still there unless the broker took it.
TEST_F(BacklogTest, SurvivesKillAtAnyPoint) {
  struct Progress {
    std::atomic<std::uint64_t> appended, acknowledged;
  };
  auto* progress = static_cast<Progress*>(
      mmap(nullptr, sizeof(Progress), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  ASSERT_NE(progress, MAP_FAILED);
  std::mt19937 random(7);
  std::uint64_t next = 1;
  std::uint64_t seen = 0;
  int written_rounds = 0;
  for (int round = 0; round < 120; ++round) {
    const pid_t child = fork();
    if (child == 0) {
      const auto storage = Storage::open(directory_, 1ms);
      Backlog* backlog = storage->backlog("home", plenty);
      for (std::uint64_t number = next;; ++number) {
        backlog->append("m", payload(number));
        progress->appended = number;
        if (number % 8 == 0) {
          for (const Backlog::Entry& entry : fetch(*backlog, 0, 3)) {
            progress->acknowledged = entry.id;
            backlog->acknowledge(entry.id);
          }
        }
        std::this_thread::sleep_for(30us);
      }
    }
    std::this_thread::sleep_for(std::chrono::microseconds(random() % 40'000));
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);

    const auto storage = Storage::open(directory_);
    ASSERT_EQ(storage->problem(), "") << "round " << round;
    const Entries entries = fetch(*storage->backlog("home", plenty));
    if (entries.empty()) continue;
    const std::string& first = entries.front().payload;
    const std::uint64_t number = std::stoull(first.substr(std::strlen(R"({"number":)")));
    EXPECT_LE(entries.front().id, progress->acknowledged + 1) << "lost before the broker had it";
    for (std::size_t i = 0; i < entries.size(); ++i) {
      ASSERT_EQ(entries[i].payload, payload(number + i)) << "round " << round;
      ASSERT_EQ(entries[i].id, entries.front().id + i);
    }
    const std::uint64_t last = number + entries.size() - 1;
    EXPECT_GE(last, seen) << "went back";
    EXPECT_LE(last, progress->appended);
    if (last > seen) ++written_rounds;
    seen = last;
    next = last + 1;
  }
  EXPECT_GT(written_rounds, 10);
  EXPECT_FALSE(std::filesystem::exists(directory_ / "state.db.corrupt-1"));
  munmap(progress, sizeof(Progress));
}

TEST_F(BacklogTest, AKilledDaemonLosesWhatWaitedAndNoMore) {
  const pid_t child = fork();
  if (child == 0) {
    const auto storage = Storage::open(directory_, 300ms);
    Backlog* backlog = storage->backlog("home", plenty);
    for (std::uint64_t number = 1; number <= 10; ++number) backlog->append("m", payload(number));
    while (rows_in_file() != 10) std::this_thread::sleep_for(1ms);
    backlog->append("m", payload(11));
    raise(SIGKILL);
  }
  waitpid(child, nullptr, 0);
  const auto storage = Storage::open(directory_);
  EXPECT_EQ(fetch(*storage->backlog("home", plenty)).size(), 10u);
}

TEST_F(BacklogTest, AFullDiskIsTriedAgain) {
  std::signal(SIGXFSZ, SIG_IGN);
  const auto storage = Storage::open(directory_, 1ms);
  Backlog* backlog = storage->backlog("home", plenty);
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  rlimit full = before;
  full.rlim_cur = std::filesystem::file_size(directory_ / "state.db-wal");
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &full), 0);
  for (std::uint64_t number = 1; number <= 500; ++number) backlog->append("m", payload(number));
  EXPECT_TRUE(eventually([&] { return !storage->problem().empty(); }));
  EXPECT_EQ(backlog->stored(), 500u) << "in memory";
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  EXPECT_TRUE(eventually([&] { return storage->problem().empty() && rows_in_file() == 500; }));
  const Entries entries = fetch(*backlog);
  ASSERT_EQ(entries.size(), 500u);
  for (std::size_t i = 0; i < entries.size(); ++i) EXPECT_EQ(entries[i].payload, payload(i + 1));
  EXPECT_EQ(backlog->dropped(), 0u);
}

/// What was there before stays, and goes first, whatever numbers the new entries had.
TEST_F(BacklogTest, AFileThatIsLockedAtTheStartIsTriedAgain) {
  {
    const auto storage = Storage::open(directory_);
    Backlog* backlog = storage->backlog("home", plenty);
    for (std::uint64_t number = 1; number <= 10; ++number) backlog->append("m", payload(number));
  }
  OtherProgram other(file());
  other.execute("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE");
  const auto storage = Storage::open(directory_, 1ms);
  EXPECT_NE(storage->problem(), "");
  Backlog* backlog = storage->backlog("home", plenty);
  for (std::uint64_t number = 11; number <= 15; ++number) backlog->append("m", payload(number));
  EXPECT_EQ(backlog->stored(), 5u);
  EXPECT_TRUE(fetch(*backlog).empty()) << "what is in the file goes first";
  other.close();
  ASSERT_TRUE(eventually([&] { return rows_in_file() == 15; }));
  EXPECT_EQ(backlog->stored(), 15u);
  const Entries entries = fetch(*backlog);
  ASSERT_EQ(entries.size(), 15u);
  for (std::size_t i = 0; i < entries.size(); ++i) EXPECT_EQ(entries[i].payload, payload(i + 1));
}

TEST_F(BacklogTest, AFileThatGoesBadIsReplaced) {
  const auto storage = Storage::open(directory_, 1ms);
  Backlog* backlog = storage->backlog("home", plenty);
  // More than SQLite's cache holds, so that it has to read the file again.
  constexpr std::uint64_t count = 8000;
  for (std::uint64_t number = 1; number <= count; ++number) backlog->append("m", payload(number));
  ASSERT_TRUE(eventually([&] { return rows_in_file() == count; }));
  for (const char* name : {"state.db", "state.db-wal"}) {
    std::fstream damaged(directory_ / name, std::ios::in | std::ios::out | std::ios::binary);
    damaged << std::string(std::filesystem::file_size(directory_ / name), '\xff');
  }
  EXPECT_TRUE(fetch(*backlog).empty());
  EXPECT_TRUE(eventually([&] { return backlog->stored() == 0; }));
  EXPECT_TRUE(std::filesystem::exists(directory_ / "state.db.corrupt-1"));
  EXPECT_EQ(storage->problem(), "");
  backlog->append("m", payload(1));
  EXPECT_TRUE(eventually([&] { return rows_in_file() == 1; }));
  EXPECT_EQ(fetch(*backlog).back().payload, payload(1));
}

TEST_F(BacklogTest, WithoutOneNothingIsWritten) {
  { const auto storage = Storage::open(directory_); }
  const auto before = std::filesystem::last_write_time(file());
  {
    const auto storage = Storage::open(directory_);
    Backlog* backlog = storage->backlog("home", plenty);
    EXPECT_EQ(backlog->stored(), 0u);
  }
  EXPECT_EQ(std::filesystem::last_write_time(file()), before);
}

TEST_F(BacklogTest, TheFileOfTheVersionBeforeIsBroughtUp) {
  write_former_file(file(), "PRAGMA user_version = 2;");
  for (std::uint64_t round = 1; round <= 2; ++round) {
    const auto storage = Storage::open(directory_);
    EXPECT_EQ(storage->problem(), "");
    EXPECT_EQ(storage->line_settings("a"), "2400-8E1");
    storage->backlog("home", plenty)->append("m", payload(round));
    EXPECT_EQ(fetch(*storage->backlog("home", plenty)).size(), round);
  }
  EXPECT_FALSE(std::filesystem::exists(directory_ / "state.db.corrupt-1"));
}

}  // namespace
}  // namespace smartmeterd::history
