// SPDX-License-Identifier: Apache-2.0
// History: rows in the state database, over restarts, kills, full disks and damage; what is kept of
// them; and questions.
#include "daemon/history/history.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sqlite3.h>
#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <functional>
#include <thread>

#include "daemon/history/storage.hpp"
#include "tests/daemon/history/former_file.hpp"
#include "tests/daemon/history/other_program.hpp"
#include "tests/daemon/history/rows.hpp"

namespace smartmeterd::history {
namespace {

using namespace std::chrono_literals;
using meter::Unit;

/// How long a test waits for something that has to happen; nothing is timed by it.
constexpr auto patience = 30s;
const std::int64_t noon = utc("2026-11-27 12:00");

bool eventually(const std::function<bool()>& condition) {
  const auto end = std::chrono::steady_clock::now() + patience;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(1ms);
  }
  return true;
}

/// From now on no file grows beyond the present size of this one (0: there is none), until there
/// is room again.
class FullDisk {
 public:
  explicit FullDisk(const std::filesystem::path& file) {
    std::signal(SIGXFSZ, SIG_IGN);
    EXPECT_EQ(getrlimit(RLIMIT_FSIZE, &before_), 0);
    rlimit full = before_;
    full.rlim_cur = std::filesystem::exists(file) ? std::filesystem::file_size(file) : 0;
    EXPECT_EQ(setrlimit(RLIMIT_FSIZE, &full), 0);
  }
  FullDisk(const FullDisk&) = delete;
  FullDisk& operator=(const FullDisk&) = delete;
  ~FullDisk() { make_room(); }
  void make_room() { EXPECT_EQ(setrlimit(RLIMIT_FSIZE, &before_), 0); }

 private:
  rlimit before_{};
};

class HistoryTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (std::filesystem::temp_directory_path() / "history-XXXXXX").string();
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    directory_ = name;
  }
  void TearDown() override {
    storage_.reset();
    std::filesystem::remove_all(directory_);
  }

  std::filesystem::path file() const { return directory_ / "state.db"; }
  History& open(std::chrono::milliseconds interval = 0ms, HistoryConfig config = {}) {
    storage_.reset();  // writes what waits
    storage_ = Storage::open(directory_, 1ms, interval);
    storage_->history()->configure(config);
    return *storage_->history();
  }
  void close() { storage_.reset(); }
  /// The columns of the first row of what another program reads in the file, "|" between them, as
  /// the sqlite3 program shows them.
  std::string ask_file(const std::string& question) const {
    sqlite3* database = nullptr;
    sqlite3_stmt* statement = nullptr;
    std::string answer;
    if (sqlite3_open_v2(file().c_str(), &database, SQLITE_OPEN_READONLY, nullptr) == SQLITE_OK &&
        sqlite3_prepare_v2(database, question.c_str(), -1, &statement, nullptr) == SQLITE_OK &&
        sqlite3_step(statement) == SQLITE_ROW) {
      for (int i = 0; i < sqlite3_column_count(statement); ++i) {
        const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(statement, i));
        answer.append(i > 0 ? "|" : "").append(text == nullptr ? "" : text);
      }
    } else {
      answer = sqlite3_errmsg(database);
    }
    sqlite3_finalize(statement);
    sqlite3_close(database);
    return answer;
  }
  bool has_rows(int count) const {
    return ask_file("SELECT count(*) FROM history") == std::to_string(count);
  }
  void append(std::initializer_list<QuarterHour> rows) {
    storage_->history()->append(std::vector<QuarterHour>(rows));
  }
  /// A row of one meter, which is in the file when this returns.
  void write(std::int64_t start_s, std::string_view energy, std::string_view meter = "m") {
    const std::uint64_t before = storage_->history()->written();
    append({quarter(meter, start_s, {{{"energy_import", energy}}})});
    ASSERT_TRUE(eventually([&] { return storage_->history()->written() > before; }));
  }
  HistoryAnswer ask(HistoryQuestion question, std::optional<QuarterHour> running = {}) {
    History& history = *storage_->history();
    history.ask(++last_id_, std::move(question), std::move(running));
    pollfd ready{.fd = history.event_fd(), .events = POLLIN, .revents = 0};
    EXPECT_EQ(poll(&ready, 1, std::chrono::milliseconds(patience).count()), 1);
    auto answers = history.take_answers();
    EXPECT_EQ(answers.size(), 1u);
    if (answers.empty()) return {};
    EXPECT_EQ(answers[0].id, last_id_);
    return std::move(answers[0].answer);
  }
  static HistoryQuestion question(std::string_view meter, std::int64_t from_s, std::int64_t to_s,
                                  std::uint32_t step_s = 0, std::string_view period = "",
                                  std::string_view zone = "UTC") {
    return {.meter_id = std::string(meter),
            .from_us = from_s * 1'000'000,
            .to_us = to_s * 1'000'000,
            .step_s = step_s,
            .period = std::string(period),
            .zone = std::string(zone)};
  }
  static HistoryQuestion everything(std::string_view meter = "m") {
    return question(meter, 0, utc("2100-01-01 00:00"));
  }

  std::filesystem::path directory_;
  std::unique_ptr<Storage> storage_;
  std::uint64_t last_id_ = 0;
};

TEST_F(HistoryTest, RowsOutliveARestart) {
  open();
  append({quarter("a", noon, {{{"energy_import", "1.500"}, {"power", "7", Unit::watt}}}),
          quarter("b", noon, {{{"volume", "3", Unit::cubic_metre}}})});
  append({quarter("a", noon + 900, {{{"energy_import", "1.750"}}})});
  open();
  EXPECT_EQ(rows_of(ask(everything("a"))),
            (Rows{{noon,
                   {{"energy_import", 1.5},
                    {"power_min", 7},
                    {"power_mean", 7},
                    {"power_max", 7},
                    {"telegrams", 1}}},
                  {noon + 900,
                   {{"energy_import", 1.75}, {"energy_import_delta", 0.25}, {"telegrams", 1}}}}));
  EXPECT_EQ(rows_of(ask(everything("b"))), (Rows{{noon, {{"volume", 3}, {"telegrams", 1}}}}));
  EXPECT_EQ(rows_of(ask(everything("c"))), Rows());
}

TEST_F(HistoryTest, AnotherProgramReadsIt) {
  open();
  append({quarter("1KFM0200169986", noon,
                  {{{"energy_import", "12345.678"}, {"power_import", "100", Unit::watt}},
                   {{"power_import", "201", Unit::watt}}})});
  close();
  EXPECT_EQ(ask_file("SELECT * FROM history_values WHERE name = 'energy_import'"),
            "1KFM0200169986|2026-11-27 12:00:00|2|energy_import|12345.678|||");
  EXPECT_EQ(ask_file("SELECT * FROM history_values WHERE name = 'power_import'"),
            "1KFM0200169986|2026-11-27 12:00:00|2|power_import||100|150.5|201");
  EXPECT_EQ(ask_file("SELECT count(*) FROM history_values"), "2");
  EXPECT_EQ(ask_file("PRAGMA integrity_check"), "ok");
}

TEST_F(HistoryTest, AQuarterHourThatWasStoppedGoesOn) {
  open();
  append({quarter(
      "m", noon,
      {{{"energy_import", "1"}, {"power", "10", Unit::watt}}, {{"power", "30", Unit::watt}}})});
  open();
  append({quarter("m", noon,
                  {{{"voltage_l1", "230", Unit::volt}, {"power", "-10", Unit::watt}},
                   {{"energy_import", "2"}}})});
  open();
  const Rows rows = rows_of(ask(everything()));
  ASSERT_EQ(rows.size(), 1u);
  EXPECT_EQ(rows[0].second, (Values{{"energy_import", 2},
                                    {"power_min", -10},
                                    {"power_mean", 10},
                                    {"power_max", 30},
                                    {"voltage_l1_min", 230},
                                    {"voltage_l1_mean", 230},
                                    {"voltage_l1_max", 230},
                                    {"telegrams", 4}}));
}

TEST_F(HistoryTest, OneTransactionInAQuarterHour) {
  open(1h);
  write(noon, "1");
  ASSERT_TRUE(eventually([&] { return has_rows(1); }));
  const auto before = std::filesystem::file_size(directory_ / "state.db-wal");
  append({quarter("m", noon + 900, {{{"energy_import", "2"}}})});
  append({quarter("n", noon + 900, {{{"energy_import", "2"}}})});
  // Rows that wait are part of every answer.
  EXPECT_EQ(rows_of(ask(everything())).size(), 2u);
  EXPECT_EQ(rows_of(ask(everything("n"))).size(), 1u);
  EXPECT_EQ(std::filesystem::file_size(directory_ / "state.db-wal"), before);
  EXPECT_TRUE(has_rows(1));
  close();
  EXPECT_TRUE(has_rows(3)) << "a stop writes them";
}

TEST_F(HistoryTest, AnswersKnowWhatRuns) {
  open(1h);
  write(noon, "1");
  append({quarter("m", noon, {{{"energy_import", "2"}}})});
  append({quarter("m", noon + 900, {{{"energy_import", "3"}}})});
  const auto running =
      quarter("m", noon + 900, {{{"energy_import", "4"}}, {{"energy_import", "5"}}});
  const Rows rows = rows_of(ask(everything(), running));
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[0].second, (Values{{"energy_import", 2}, {"telegrams", 2}}));
  EXPECT_EQ(rows[1].second,
            (Values{{"energy_import", 5}, {"energy_import_delta", 3}, {"telegrams", 3}}));
  // What was before the first row, too.
  EXPECT_EQ(rows_of(ask(question("m", noon + 900, noon + 1800), running))[0].second,
            rows[1].second);
}

TEST_F(HistoryTest, NothingIsCountedTwiceWhileRowsMove) {
  open();
  for (int i = 0; i < 300; ++i) {
    const std::int64_t start_s = noon + i * 900;
    const auto row = quarter("m", start_s, {{{"energy_import", std::to_string(i)}}});
    storage_->history()->ask(++last_id_, everything(), row);
    append({row});
    std::vector<History::Answered> answers;
    ASSERT_TRUE(eventually([&] {
      answers = storage_->history()->take_answers();
      return !answers.empty();
    }));
    for (const auto& [start, values] : rows_of(answers[0].answer))
      ASSERT_EQ(values.at("telegrams"), 1) << i;
    ASSERT_EQ(answers[0].answer.rows.size(), static_cast<std::size_t>(i) + 1);
  }
}

TEST_F(HistoryTest, RowsAreWholeAtBothEnds) {
  open();
  for (int i = 0; i < 12; ++i)
    append({quarter("m", noon + i * 900, {{{"energy_import", std::to_string(i)}}})});
  const Rows rows = rows_of(ask(question("m", noon + 3600 + 1, noon + 3600 + 3601, 3600)));
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[0].first, noon + 3600);
  EXPECT_EQ(rows[0].second.at("energy_import_delta"), 4);
  EXPECT_EQ(rows[1].second.at("telegrams"), 4);
  const Rows day = rows_of(ask(question("m", noon + 3600, noon + 3601, 0, "day", "Asia/Tokyo")));
  ASSERT_EQ(day.size(), 1u);
  EXPECT_EQ(day[0].first, utc("2026-11-26 15:00"));
  EXPECT_EQ(day[0].second.at("telegrams"), 12);
}

TEST_F(HistoryTest, WrongQuestionsAreTold) {
  open();
  write(noon, "1");
  auto answer = ask(question("m", noon, noon + 1, 0, "day", "Mars/Olympus"));
  EXPECT_EQ(answer.error, HistoryAnswer::Error::invalid_option);
  EXPECT_NE(answer.message.find("Mars/Olympus"), std::string::npos);
  EXPECT_TRUE(answer.rows.empty());
}

TEST_F(HistoryTest, TooManyRowsAreRefusedAndALongerStepHelps) {
  open(0ms, {.days = 1000, .bytes = 1 << 30});
  std::vector<QuarterHour> rows;
  for (int i = 0; i < 10'001; ++i)
    rows.push_back(quarter("m", noon + i * 900, {{{"energy_import", std::to_string(i)}}}));
  storage_->history()->append(std::move(rows));
  const auto answer = ask(everything());
  EXPECT_EQ(answer.error, HistoryAnswer::Error::limit_reached);
  EXPECT_NE(answer.message.find("ask for a shorter time"), std::string::npos);
  EXPECT_TRUE(answer.rows.empty());
  auto by_hour = everything();
  by_hour.step_s = 3600;
  EXPECT_EQ(rows_of(ask(by_hour)).size(), 2501u);
  EXPECT_EQ(rows_of(ask(question("m", noon, noon + 10'000 * 900))).size(), 10'000u);
}

TEST_F(HistoryTest, TheOldestLeaveByDaysOfData) {
  open(0ms, {.days = 1});
  std::vector<QuarterHour> rows;
  for (int i = 0; i < 100; ++i)
    for (const char* meter : {"a", "b"})
      rows.push_back(quarter(meter, noon + i * 900, {{{"energy_import", std::to_string(i)}}}));
  storage_->history()->append(std::move(rows));
  ASSERT_TRUE(eventually([&] { return has_rows(2 * 96); }));
  EXPECT_EQ(ask_file("SELECT min(start) FROM history"), std::to_string(noon + 4 * 900));
  // A clock that is wrong by years removes no more than a right one.
  write(utc("2060-01-01 00:00"), "200", "a");
  EXPECT_EQ(ask_file("SELECT min(start) FROM history"), std::to_string(noon + 5 * 900));
  write(noon + 100 * 900, "201", "a");
  EXPECT_EQ(ask_file("SELECT min(start), count(DISTINCT start) FROM history"),
            fmt::format("{}|96", noon + 6 * 900));
}

TEST_F(HistoryTest, FewerDaysComeIntoForceWithTheNextRow) {
  open();
  for (int i = 0; i < 4; ++i) append({quarter("m", noon + i * 86'400, {{{"energy_import", "1"}}})});
  ASSERT_TRUE(eventually([&] { return has_rows(4); }));
  open(0ms, {.days = 1});
  std::vector<QuarterHour> rows;
  for (int i = 0; i < 95; ++i)
    rows.push_back(quarter("m", noon + 5 * 86'400 + i * 900, {{{"energy_import", "2"}}}));
  storage_->history()->append(std::move(rows));
  ASSERT_TRUE(eventually([&] { return has_rows(96); }));
  EXPECT_EQ(ask_file("SELECT min(start) FROM history"), std::to_string(noon + 3 * 86'400));
}

TEST_F(HistoryTest, TheOldestLeaveByBytes) {
  constexpr std::uint64_t limit = 64 * 1024;
  open(0ms, {.days = 400, .bytes = limit});
  std::uint64_t written = 0;
  for (int i = 0; i < 2000; i += 50) {
    std::vector<QuarterHour> rows;
    for (int j = i; j < i + 50; ++j)
      rows.push_back(quarter("m", noon + j * 900,
                             {{{"energy_import", "12345.678"},
                               {"energy_export", "345.678"},
                               {"power_import", std::to_string(j), Unit::watt},
                               {"voltage_l1", "230.1", Unit::volt}}}));
    written += rows.size();
    storage_->history()->append(std::move(rows));
    ASSERT_TRUE(eventually([&] { return storage_->history()->written() == written; }));
  }
  close();
  const auto rows = std::stoull(ask_file("SELECT count(*) FROM history"));
  EXPECT_GT(rows, 400u);
  EXPECT_LT(rows, 1000u);
  EXPECT_LE(std::stoull(ask_file("SELECT sum(length(payload)) FROM history")), limit);
  EXPECT_EQ(ask_file("SELECT max(start) FROM history"), std::to_string(noon + 1999 * 900));
  EXPECT_LT(std::filesystem::file_size(file()), 2 * limit) << "what leaves makes room";
}

TEST_F(HistoryTest, TheLastQuarterHourStaysWhateverItsSize) {
  open(0ms, {.days = 400, .bytes = 1});
  write(noon, "1", "a");
  append({quarter("a", noon + 900, {{{"energy_import", "2"}}}),
          quarter("b", noon + 900, {{{"energy_import", "3"}}})});
  ASSERT_TRUE(eventually([&] { return has_rows(2); }));
  EXPECT_EQ(rows_of(ask(everything("b"))).size(), 1u);
}

TEST_F(HistoryTest, MetersThatLeftAreForgotten) {
  open(0ms, {.days = 1});
  write(noon, "1", "old");
  for (int i = 1; i <= 96; ++i) write(noon + i * 900, "1", "new");
  open(0ms, {.days = 1});
  write(noon + 97 * 900, "1", "new");
  EXPECT_EQ(ask_file("SELECT group_concat(meter) FROM history_meter"), "new");
}

TEST_F(HistoryTest, NoDaysMeansNone) {
  open();
  write(noon, "1", "private");
  open(0ms, {.days = 0});
  ASSERT_TRUE(eventually([&] { return has_rows(0); }));
  append({quarter("private", noon + 900, {{{"energy_import", "2"}}})});
  close();
  EXPECT_TRUE(has_rows(0));
  for (const char* name : {"state.db", "state.db-wal"}) {
    std::ifstream raw(directory_ / name, std::ios::binary);
    const std::string octets{std::istreambuf_iterator<char>(raw), {}};
    EXPECT_EQ(octets.find("private"), std::string::npos) << "gone from the disk too: " << name;
  }
  // Nothing to delete: nothing is written.
  const auto before = std::filesystem::last_write_time(file());
  open(0ms, {.days = 0});
  close();
  EXPECT_EQ(std::filesystem::last_write_time(file()), before);
  open();
  write(noon, "1");
  EXPECT_TRUE(has_rows(1)) << "switched on again";
}

TEST_F(HistoryTest, WhatIsNotWantedAnyMoreLeavesAtOnce) {
  History& history = open(1h);
  write(noon, "1");
  append({quarter("m", noon + 900, {{{"energy_import", "2"}}})});
  history.configure({.days = 0});
  EXPECT_TRUE(eventually([&] { return has_rows(0); }));
}

TEST_F(HistoryTest, AFullDiskIsTriedAgain) {
  open();
  FullDisk disk(directory_ / "state.db-wal");
  append({quarter("m", noon, {{{"energy_import", "1"}}})});
  EXPECT_TRUE(eventually([&] { return !storage_->problem().empty(); }));
  EXPECT_EQ(rows_of(ask(everything())).size(), 1u) << "in memory";
  disk.make_room();
  EXPECT_TRUE(eventually([&] { return storage_->problem().empty() && has_rows(1); }));
  EXPECT_EQ(storage_->history()->written(), 1u);
  EXPECT_EQ(storage_->history()->dropped(), 0u);
}

TEST_F(HistoryTest, ADiskThatStaysFullCostsTheOldest) {
  open();
  FullDisk disk(directory_ / "state.db-wal");
  for (int i = 0; i < 40; ++i)
    append({quarter("a", noon + i * 900, {{{"energy_import", "1"}}}),
            quarter("b", noon + i * 900, {{{"energy_import", "1"}}})});
  EXPECT_TRUE(eventually([&] { return storage_->history()->dropped() == 2 * (40 - 16); }));
  disk.make_room();
  EXPECT_TRUE(eventually([&] { return has_rows(32); }));
  EXPECT_EQ(ask_file("SELECT min(start) FROM history"), std::to_string(noon + 24 * 900));
}

TEST_F(HistoryTest, ADirectoryThatBecomesUsableIsUsed) {
  const auto good = directory_;
  directory_ = good / "file" / "below";
  std::ofstream(good / "file") << "x";
  open();
  EXPECT_NE(storage_->problem().find("Not a directory"), std::string::npos) << storage_->problem();
  append({quarter("m", noon, {{{"energy_import", "1"}}})});
  const auto answer = ask(everything());
  EXPECT_EQ(answer.error, HistoryAnswer::Error::failed);
  EXPECT_EQ(answer.message, storage_->problem());
  std::filesystem::remove(good / "file");
  EXPECT_TRUE(eventually([&] { return has_rows(1); }));
  EXPECT_EQ(rows_of(ask(everything())).size(), 1u);
  EXPECT_EQ(storage_->problem(), "");
  directory_ = good;
}

TEST_F(HistoryTest, AFileThatIsLockedAtTheStartIsTriedAgain) {
  open();
  write(noon, "1");
  close();
  OtherProgram other(file());
  other.execute("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE");
  open();
  EXPECT_NE(storage_->problem().find("locked"), std::string::npos) << storage_->problem();
  append({quarter("m", noon + 900, {{{"energy_import", "2"}}})});
  EXPECT_EQ(ask(everything()).error, HistoryAnswer::Error::failed);
  other.close();
  EXPECT_TRUE(eventually([&] { return has_rows(2); }));
  EXPECT_EQ(rows_of(ask(everything())).size(), 2u);
  EXPECT_FALSE(std::filesystem::exists(directory_ / "state.db.corrupt-1"));
}

TEST_F(HistoryTest, AFileThatIsLockedForAllTheRunIsTriedAtTheStop) {
  open();
  close();
  {
    OtherProgram other(file());
    other.execute("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE");
    open();
  }
  append({quarter("m", noon, {{{"energy_import", "2"}}})});
  close();
  EXPECT_TRUE(has_rows(1));
}

/// A disk that is full is none the better for a new file beside the old one.
TEST_F(HistoryTest, AFullDiskAtTheStartCostsNothing) {
  open();
  write(noon, "1");
  close();
  {
    FullDisk disk(directory_ / "nothing");
    open();
    EXPECT_NE(storage_->problem(), "");
    append({quarter("m", noon + 900, {{{"energy_import", "2"}}})});
  }
  EXPECT_TRUE(eventually([&] { return has_rows(2); }));
  EXPECT_FALSE(std::filesystem::exists(directory_ / "state.db.corrupt-1"));
}

TEST_F(HistoryTest, AFileThatIsRemovedIsBegunAgain) {
  for (const bool all : {true, false}) {
    open();
    write(noon, "1");
    std::filesystem::remove(file());
    if (all) {
      std::filesystem::remove(directory_ / "state.db-wal");
      std::filesystem::remove(directory_ / "state.db-shm");
    }
    write(noon + 900, "2");
    EXPECT_EQ(ask_file("SELECT start FROM history"), std::to_string(noon + 900));
    std::filesystem::remove(file());
    EXPECT_EQ(rows_of(ask(everything())), Rows()) << "a question notices, too";
    write(noon + 1800, "3");
    EXPECT_TRUE(has_rows(1));
    close();
    EXPECT_EQ(ask_file("PRAGMA integrity_check"), "ok");
    std::filesystem::remove(file());
  }
}

/// As a backup is put back, by someone who does not know that the service runs.
TEST_F(HistoryTest, AFileInItsPlaceIsUsed) {
  open();
  write(noon, "1", "a");
  close();
  std::filesystem::copy(file(), directory_ / "backup");
  open();
  for (int i = 0; i < 50; ++i) write(noon + i * 900, "7", "b");
  std::filesystem::rename(directory_ / "backup", file());
  write(noon + 900, "2", "a");
  close();
  EXPECT_EQ(ask_file("PRAGMA integrity_check"), "ok");
  EXPECT_EQ(ask_file("SELECT group_concat(last) FROM history_values"), "1,2");
}

TEST_F(HistoryTest, AJournalThatIsRemovedCostsNothing) {
  open();
  write(noon, "1");
  std::filesystem::remove(directory_ / "state.db-wal");
  write(noon + 900, "2");
  EXPECT_EQ(ask_file("SELECT group_concat(last) FROM history_values"), "1,2");
}

/// Most of the file is history, and the start does not wait until it was looked through.
TEST_F(HistoryTest, WhereItIsDamagedANewFileIsBegun) {
  open();
  std::vector<QuarterHour> rows;
  for (int i = 0; i < 5000; ++i)
    rows.push_back(quarter("m", noon + i * 900, {{{"energy_import", std::to_string(i)}}}));
  storage_->history()->append(std::move(rows));
  close();
  ASSERT_TRUE(has_rows(5000));
  {
    std::fstream damaged(file(), std::ios::in | std::ios::out | std::ios::binary);
    damaged.seekp(static_cast<std::streamoff>(std::filesystem::file_size(file()) / 2));
    damaged << std::string(8192, '\xff');
  }
  open();
  EXPECT_EQ(storage_->problem(), "");
  write(noon, "1");
  EXPECT_TRUE(std::filesystem::exists(directory_ / "state.db.corrupt-1"));
  EXPECT_EQ(storage_->problem(), "");
  EXPECT_EQ(rows_of(ask(everything())).size(), 1u);
}

TEST_F(HistoryTest, AQuestionThatMeetsDamageIsAnswered) {
  open();
  std::vector<QuarterHour> rows;
  // More than SQLite's cache holds, so that it has to read the file again.
  for (int i = 0; i < 9000; ++i)
    for (const char* meter : {"a", "b", "c", "d", "e", "f", "g", "h"})
      rows.push_back(quarter(meter, noon + i * 900, {{{"energy_import", "123456.789"}}}));
  storage_->history()->append(std::move(rows));
  ASSERT_TRUE(eventually([&] { return storage_->history()->written() > 0; }));
  for (const char* name : {"state.db", "state.db-wal"}) {
    std::fstream damaged(directory_ / name, std::ios::in | std::ios::out | std::ios::binary);
    damaged << std::string(std::filesystem::file_size(directory_ / name), '\xff');
  }
  const auto answer = ask(question("a", noon, noon + 900 * 900));
  EXPECT_EQ(answer.error, HistoryAnswer::Error::failed);
  EXPECT_NE(answer.message.find("the state database cannot be read"), std::string::npos);
  ASSERT_TRUE(
      eventually([&] { return std::filesystem::exists(directory_ / "state.db.corrupt-1"); }));
  EXPECT_EQ(rows_of(ask(everything())), Rows());
}

TEST_F(HistoryTest, TheFileOfTheVersionBeforeIsBroughtUp) {
  write_former_file(file(),
                    "CREATE TABLE backlog (broker TEXT NOT NULL, id INTEGER NOT NULL,"
                    " meter TEXT NOT NULL, payload TEXT NOT NULL,"
                    " PRIMARY KEY (broker, id)) WITHOUT ROWID;"
                    "INSERT INTO backlog VALUES ('home', 7, 'm', '{}');"
                    "PRAGMA user_version = 3;");
  for (std::size_t round = 1; round <= 2; ++round) {
    open();
    EXPECT_EQ(storage_->problem(), "");
    EXPECT_EQ(storage_->line_settings("a"), "2400-8E1");
    EXPECT_EQ(storage_->backlog("home", 1 << 20)->stored(), 1u);
    write(noon + static_cast<std::int64_t>(round) * 900, "1");
    EXPECT_EQ(rows_of(ask(everything())).size(), round);
  }
  close();
  EXPECT_EQ(ask_file("PRAGMA user_version"), "4");
  EXPECT_FALSE(std::filesystem::exists(directory_ / "state.db.corrupt-1"));
}

TEST_F(HistoryTest, ManyMetersAndManyNames) {
  open();
  for (int round = 0; round < 3; ++round) {
    std::vector<QuarterHour> rows;
    for (int i = 0; i < 500; ++i) {
      QuarterHour row = quarter(fmt::format("meter {} ä \"'", i), noon + round * 900,
                                {{{"energy_import", std::to_string(1000 * round + i)}}});
      for (int n = 0; n <= round * 3; ++n)
        row.take(readings({{fmt::format("power_{}_{}", i % 7, n), "5", Unit::watt}}));
      rows.push_back(std::move(row));
    }
    storage_->history()->append(std::move(rows));
  }
  ASSERT_TRUE(eventually([&] { return has_rows(1500); }));
  const Rows rows = rows_of(ask(everything("meter 499 ä \"'")));
  ASSERT_EQ(rows.size(), 3u);
  EXPECT_EQ(rows[2].second.at("energy_import_delta"), 1000);
  EXPECT_EQ(rows[2].second.at("power_2_6_mean"), 5);
  EXPECT_FALSE(rows[1].second.contains("power_2_6_mean"));
}

}  // namespace
}  // namespace smartmeterd::history
