// SPDX-License-Identifier: Apache-2.0
// The methods: what they refuse, and by which name; answers that come later, or to nobody.
#include "daemon/bus/methods.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <cstdint>
#include <deque>
#include <fstream>
#include <iterator>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "bus_fixture.hpp"
#include "daemon/bus/error.hpp"
#include "daemon/capture.hpp"

namespace smartmeterd::bus::test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

const std::string invalid = "error org.smartmeterd1.Error.InvalidOption: ";
const std::string not_supported = "error org.freedesktop.DBus.Error.NotSupported: ";

/// Reads `stream` of an answer to OpenCapture, which owns it.
int stream_of(const Message& answer) {
  int stream = -1;
  sd_bus_message_read(answer.get(), "h", &stream);
  return stream;
}

/// An adapter that gives each client a pipe of its own, until they are too many.
class CapturedAdapter final : public AdapterControl {
 public:
  void probe(std::chrono::milliseconds timeout, ProbeDone done) override {
    probe_timeout = timeout;
    probe_done = std::move(done);
  }
  std::expected<int, int> open_capture(CaptureFormat format) override {
    return captures_.open(format);
  }
  void receive(std::string_view text) { captures_.write(meter::bytes_of(text)); }

  std::chrono::milliseconds probe_timeout{};
  ProbeDone probe_done;

 private:
  Adapter adapter_;
  std::unique_ptr<io::Loop> loop_ = io::Loop::make(io::Backend::epoll);
  Captures captures_{adapter_, *loop_};
};

class MethodsTest : public BusFixture {
 protected:
  MethodsTest() {
    world_.adapter.control = &control_;
    options_.history = [this](HistoryQuestion question, HistoryDone done) {
      questions_.push_back({std::move(question), std::move(done)});
    };
  }
  std::string probe(const char* types, const char* key, const char* type, auto... value) {
    return client_->call_with(adapter_path, adapter_interface, "Probe", types, 1, key, type,
                              value...);
  }
  std::string history(std::uint64_t from, std::uint64_t to, unsigned step) {
    return client_->call_with(meter_path, meter_interface, "History", "ttua{sv}", from, to, step,
                              0);
  }
  std::string history_with(unsigned step, const char* key, const char* type, auto value) {
    return client_->call_with(meter_path, meter_interface, "History", "ttua{sv}", UINT64_C(0),
                              UINT64_C(1), step, 1, key, type, value);
  }
  void begin_history(Client& client) {
    client.begin(meter_path, meter_interface, "History", "ttua{sv}", UINT64_C(900'000'000),
                 UINT64_C(1'800'000'000), 0u, 0);
  }
  /// Waits until the service has asked so many questions.
  void wait_for_questions(std::size_t count) {
    std::size_t asked = 0;
    while (asked < count) server_->run([&](Sink&) { asked = questions_.size(); });
  }
  void answer_oldest(HistoryAnswer answer) {
    server_->run([&](Sink&) {
      questions_.front().done(std::move(answer));
      questions_.pop_front();
    });
  }
  std::string answer_of(Client& client, std::size_t number) {
    EXPECT_TRUE(client.wait_until([&] { return client.answers.size() > number; }));
    return client.answers.size() > number ? client.answers[number] : "";
  }
  void wait_for_probe() {
    bool is_asked = false;
    while (!is_asked) server_->run([&](Sink&) { is_asked = control_.probe_done != nullptr; });
  }
  void answer_probe(const ProbeResult& result) {
    server_->run([&](Sink&) { std::exchange(control_.probe_done, nullptr)(result); });
  }

  CapturedAdapter control_;
  struct Asked {
    HistoryQuestion question;
    HistoryDone done;
  };
  std::deque<Asked> questions_;
};

TEST_P(MethodsTest, AnswersTheManager) {
  start_all();
  EXPECT_EQ(get(root, manager, "Version"), "<s 1.2.3>");
  EXPECT_EQ(get(root, manager, "Features"), "<as [epoll udev]>");
  EXPECT_EQ(client_->call(root, manager, "GetMeter", {"1KFM0200169986"}), meter_path);
  EXPECT_EQ(client_->call(root, manager, "GetMeter", {"nobody"}),
            "error org.smartmeterd1.Error.NoSuchMeter: there is no meter with the id \"nobody\": "
            "ids are case-sensitive, and GetManagedObjects lists every meter");
  EXPECT_EQ(client_->call(root, manager, "Reload"), "");
  server_->run([&](Sink&) { reload_answer_ = "smartmeterd.toml:3:1: unknown key 'colour'"; });
  EXPECT_EQ(client_->call(root, manager, "Reload"),
            "error org.smartmeterd1.Error.InvalidConfiguration: "
            "smartmeterd.toml:3:1: unknown key 'colour'");
}

/// More than a person reads, and more than one would want to get back.
TEST_P(MethodsTest, WhatACallerSentIsRepeatedInShort) {
  start_all();
  const std::string huge(1 << 20, 'x');
  const std::string answer = client_->call(root, manager, "GetMeter", {huge});
  EXPECT_THAT(answer, StartsWith("error org.smartmeterd1.Error.NoSuchMeter: "));
  EXPECT_LT(answer.size(), 300u);
  EXPECT_EQ(in_quotes("Zähler"), "\"Zähler\"");
  const std::string text(63, 'x');
  EXPECT_EQ(in_quotes(text + "ä"), '"' + text + "…\"") << "never half a letter";
}

TEST_P(MethodsTest, GivesTheStreamOfACapture) {
  start_all();
  std::vector<Message> answers;  // each owns its stream
  auto open = [&] {
    sd_bus_message* answer = nullptr;
    sd_bus_error error = SD_BUS_ERROR_NULL;
    const int r =
        sd_bus_call_method(client_->bus(), bus_name, adapter_path.c_str(),
                           adapter_interface.c_str(), "OpenCapture", &error, &answer, "a{sv}", 0);
    answers.emplace_back(answer);
    const std::string name = error.name ? error.name : "";
    sd_bus_error_free(&error);
    return std::pair(r < 0 ? -1 : stream_of(answers.back()), name);
  };
  const int stream = open().first;
  ASSERT_GE(stream, 0);
  server_->run([&](Sink&) { control_.receive("\x68\xfa"); });
  char octets[16];
  ASSERT_EQ(::read(stream, octets, sizeof octets), 2);
  EXPECT_EQ(std::string_view(octets, 2), "\x68\xfa");
  while (answers.size() < Captures::captures_max) EXPECT_GE(open().first, 0);
  EXPECT_EQ(open().second, "org.smartmeterd1.Error.LimitReached");
  answers.erase(answers.begin());  // the first one leaves
  EXPECT_GE(open().first, 0);
}

TEST_P(MethodsTest, ACaptureComesAsBytesOrAsText) {
  std::signal(SIGPIPE, SIG_IGN);
  start_all();
  const auto open = [&](const char* format) {
    sd_bus_message* answer = nullptr;
    sd_bus_error error = SD_BUS_ERROR_NULL;
    sd_bus_call_method(client_->bus(), bus_name, adapter_path.c_str(), adapter_interface.c_str(),
                       "OpenCapture", &error, &answer, "a{sv}", 1, "format", "s", format);
    const Message owned(answer);
    std::string text = error.name ? error.name : "";
    sd_bus_error_free(&error);
    int stream = -1;
    if (!answer || sd_bus_message_read(answer, "h", &stream) < 0) return text;
    server_->run([&](Sink&) { control_.receive("\x68\xfa"); });
    text.resize(4096);
    const ssize_t size = ::read(stream, text.data(), text.size());
    text.resize(size > 0 ? static_cast<std::size_t>(size) : 0);
    return text;
  };
  EXPECT_EQ(open("raw"), "\x68\xfa");
  const std::string text = open("capture");
  EXPECT_EQ(text.find("#smartmeter-capture 1\n"), 0u) << text;
  EXPECT_NE(text.find("\n68FA\n"), std::string::npos) << text;
  EXPECT_EQ(open("pcap"), "org.smartmeterd1.Error.InvalidOption");
}

TEST_P(MethodsTest, ACaptureSaysWhichFormatsThereAre) {
  start_all();
  const auto open = [&](const char* type, const char* value) {
    return client_->call_with(adapter_path, adapter_interface, "OpenCapture", "a{sv}", 1, "format",
                              type, value);
  };
  EXPECT_THAT(open("s", "pcap"), StartsWith(invalid + "option \"format\" is \"pcap\", expected "));
  EXPECT_EQ(open("o", "/raw"),
            invalid + "option \"format\": its value is of type \"o\", expected \"s\"");
  EXPECT_LT(open("s", std::string(1 << 20, 'x').c_str()).size(), 300u);
}

TEST_P(MethodsTest, AProbeIsAnsweredWhenItIsOver) {
  start_all();
  using Error = ProbeResult::Error;
  const std::string own = "error org.smartmeterd1.Error.";
  const std::pair<ProbeResult, std::string> cases[] = {
      {{.line = "2400-8E1", .protocol = "mbus", .meter_id = "1KFM0200169986"},
       "{line-settings: <s 2400-8E1> protocol: <s mbus> meter: <o " + meter_path + ">}"},
      {{.line = "9600-7E1"}, "{line-settings: <s 9600-7E1> protocol: <s> meter: <o />}"},
      {{.error = Error::timeout, .message = "no frame"}, own + "Timeout: no frame"},
      {{.error = Error::no_data, .message = "no byte"}, own + "NoData: no byte"},
      {{.error = Error::in_progress, .message = "already"}, own + "InProgress: already"},
      {{.error = Error::no_adapter, .message = "gone"}, own + "NoSuchAdapter: gone"},
      {{.error = Error::port_busy, .message = "held"}, own + "PortBusy: held"},
      {{.error = Error::no_access, .message = "kept out"}, own + "NotAuthorized: kept out"},
      {{.error = Error::not_supported, .message = "configured"}, not_supported + "configured"}};
  for (const auto& [result, expected] : cases) {
    const std::size_t number = client_->answers.size();
    // With something that no version knows.
    client_->begin(adapter_path, adapter_interface, "Probe", "a{sv}", 2, "colour", "(sb)", "blue",
                   1, "timeout-ms", "u", 1234u);
    wait_for_probe();
    EXPECT_EQ(control_.probe_timeout, std::chrono::milliseconds(1234));
    answer_probe(result);
    EXPECT_EQ(answer_of(*client_, number), expected);
  }
}

TEST_P(MethodsTest, AProbeRefusesATimeThatIsNone) {
  start_all();
  const std::string type = invalid + "option \"timeout-ms\": its value is of type ";
  EXPECT_EQ(probe("a{sv}", "timeout-ms", "i", -1), type + "\"i\", expected \"u\"");
  EXPECT_EQ(probe("a{sv}", "timeout-ms", "s", "1000"), type + "\"s\", expected \"u\"");
  EXPECT_EQ(probe("a{sv}", "timeout-ms", "a{sv}", 0), type + "\"a{sv}\", expected \"u\"");
  const std::string value = invalid + "option \"timeout-ms\" is ";
  EXPECT_EQ(probe("a{sv}", "timeout-ms", "u", 0u), value + "0, expected 1 to 3600000");
  EXPECT_EQ(probe("a{sv}", "timeout-ms", "u", UINT32_MAX),
            value + "4294967295, expected 1 to 3600000");
  EXPECT_EQ(control_.probe_done, nullptr);
}

TEST_P(MethodsTest, AnAnswerThatNobodyWaitsForIsNoHarm) {
  start_all();
  const auto ask = [&](Client& client) {
    client.begin(adapter_path, adapter_interface, "Probe", "a{sv}", 0);
    wait_for_probe();
    begin_history(client);
    wait_for_questions(1);
  };
  const auto answer = [&] {
    answer_probe({.line = "300-7E1"});
    answer_oldest({.rows = std::vector<HistoryRow>(1000)});
  };
  {
    Client other(bus_.address());
    ask(other);
    EXPECT_EQ(control_.probe_timeout, std::chrono::minutes(1)) << "unless the client says so";
  }
  answer();  // the client has gone
  ask(*client_);
  client_.reset();
  bus_.kill();
  answer();  // so has the bus
  bus_.start();
  connect();
  EXPECT_EQ(get(meter_path, meter_interface, "Id"), "<s 1KFM0200169986>");
  for (unsigned i = 0; i < HistoryReplies::questions_max; ++i) begin_history(*client_);
  wait_for_questions(HistoryReplies::questions_max);  // every place is free again
}

TEST_P(MethodsTest, AnAnswerThatComesAfterTheServiceIsNoHarm) {
  start_all();
  begin_history(*client_);
  wait_for_questions(1);
  server_.reset();
  questions_.front().done({});
  EXPECT_THAT(answer_of(*client_, 0), StartsWith("error org.freedesktop.DBus.Error."));
}

TEST_P(MethodsTest, AnAdapterWithoutAPortCannotBeProbedOrCaptured) {
  world_.adapter.control = nullptr;
  start_all();
  EXPECT_EQ(client_->call_with(adapter_path, adapter_interface, "Probe", "a{sv}", 0),
            not_supported + "this adapter cannot be probed");
  EXPECT_EQ(client_->call_with(adapter_path, adapter_interface, "OpenCapture", "a{sv}", 0),
            not_supported + "this adapter has no port: record its messages at their broker, with "
                            "mosquitto_sub");
}

TEST_P(MethodsTest, TheHistoryGetsTheQuestionAndGivesRows) {
  start_all();
  client_->begin(meter_path, meter_interface, "History", "ttua{sv}", UINT64_C(1), UINT64_MAX, 0u, 3,
                 "period", "s", "day", "zone", "s", "Europe/Vienna", "colour", "s", "blue");
  wait_for_questions(1);
  server_->run([&](Sink&) {
    const HistoryQuestion& question = questions_.front().question;
    EXPECT_EQ(question.meter_id, "1KFM0200169986");
    EXPECT_EQ(question.from_us, 1);
    // 9999-12-31T23:59:59.999999Z by date(1).
    EXPECT_EQ(question.to_us, 253'402'300'799'999'999);
    EXPECT_EQ(question.step_s, 0u);
    EXPECT_EQ(question.period, "day");
    EXPECT_EQ(question.zone, "Europe/Vienna");
  });
  answer_oldest(
      {.rows = {{.start_us = 900'000'000, .values = {{"energy_import", 12.5}, {"telegrams", 180}}},
                {.start_us = 1'800'000'000, .values = {}}}});
  EXPECT_EQ(answer_of(*client_, 0),
            "[(900000000 {energy_import: 12.5 telegrams: 180}) (1800000000 {})]");
  begin_history(*client_);
  wait_for_questions(1);
  answer_oldest({});
  EXPECT_EQ(answer_of(*client_, 1), "[]");
}

TEST_P(MethodsTest, TheHistoryRefusesByName) {
  start_all();
  EXPECT_EQ(history(2, 2, 0), invalid +
                                  "\"from\" (2) is not before \"to\" (2): both are "
                                  "microseconds since the epoch");
  EXPECT_THAT(history(UINT64_MAX - 1, UINT64_MAX, 0), StartsWith(invalid + "\"from\" ("));
  EXPECT_EQ(history(0, 1, 901),
            invalid + "\"step\" is 901, expected 0 or a multiple of 900 seconds");
  EXPECT_THAT(history_with(900, "period", "s", "day"), StartsWith(invalid + "\"step\" and option"));
  EXPECT_EQ(history_with(0, "period", "s", "year"),
            invalid + "option \"period\" is \"year\", expected \"day\", \"week\", \"month\"");
  EXPECT_EQ(history_with(0, "period", "u", 1u),
            invalid + "option \"period\": its value is of type \"u\", expected \"s\"");
  EXPECT_EQ(history_with(0, "zone", "b", 1),
            invalid + "option \"zone\": its value is of type \"b\", expected \"s\"");
  EXPECT_TRUE(questions_.empty());

  using Error = HistoryAnswer::Error;
  const std::pair<Error, std::string> cases[] = {
      {Error::invalid_option, invalid},
      {Error::limit_reached, "error org.smartmeterd1.Error.LimitReached: "},
      {Error::not_supported, not_supported},
      {Error::failed, "error org.freedesktop.DBus.Error.IOError: "}};
  for (const auto& [error, expected] : cases) {
    const std::size_t number = client_->answers.size();
    begin_history(*client_);
    wait_for_questions(1);
    answer_oldest({.error = error, .message = "100 % so"});
    EXPECT_EQ(answer_of(*client_, number), expected + "100 % so");
  }
}

TEST_P(MethodsTest, WithoutAHistoryThereIsNone) {
  options_.history = nullptr;
  start_all();
  EXPECT_EQ(history(0, 1, 0), not_supported + "this service keeps no history");
}

TEST_P(MethodsTest, SoManyQuestionsAreAnsweredAtOnce) {
  start_all();
  Client other(bus_.address());
  for (unsigned i = 0; i < HistoryReplies::questions_max; ++i)
    begin_history(i % 2 ? *client_ : other);
  wait_for_questions(HistoryReplies::questions_max);
  EXPECT_EQ(history(0, 1, 0),
            "error org.smartmeterd1.Error.LimitReached: 4 questions to the "
            "history are being answered: ask again when one of them is");
  answer_oldest({});
  EXPECT_EQ(answer_of(other, 0), "[]");
  begin_history(*client_);
  wait_for_questions(HistoryReplies::questions_max);
}

HistoryAnswer many_rows(std::size_t count, std::size_t values) {
  HistoryRow row;
  const auto keys = std::make_shared<std::vector<std::string>>(values, "power_import_l1_mean");
  for (const std::string& key : *keys) row.values.emplace_back(key, 0.5);
  return {.rows = std::vector<HistoryRow>(count, row), .keys = keys};
}

TEST_P(MethodsTest, TenThousandRowsDoNotStopTheLoop) {
  start_all();
  sd_bus_slot* slot = nullptr;
  Message reply;
  sd_bus_call_method_async(
      client_->bus(), &slot, bus_name, meter_path.c_str(), meter_interface.c_str(), "History",
      [](sd_bus_message* answer, void* to, sd_bus_error*) {
        static_cast<Message*>(to)->reset(sd_bus_message_ref(answer));
        return 0;
      },
      &reply, "ttua{sv}", UINT64_C(0), UINT64_C(1), 0u, 0);
  const Slot owned(slot);
  sd_bus_flush(client_->bus());
  wait_for_questions(1);
  const std::uint64_t before = server_->iterations();
  answer_oldest(many_rows(10'000, 20));
  ASSERT_TRUE(client_->wait_until([&] { return reply != nullptr; }));
  EXPECT_GT(server_->iterations(), before + 50) << "others had their turn";
  ASSERT_EQ(sd_bus_message_get_error(reply.get()), nullptr);
  std::size_t rows = 0;
  ASSERT_GT(sd_bus_message_enter_container(reply.get(), 'a', "(ta{sd})"), 0);
  while (sd_bus_message_skip(reply.get(), "(ta{sd})") > 0) ++rows;
  EXPECT_EQ(rows, 10'000u);
}

/// A bus ends the connection of who sends more than it takes of one message.
TEST_P(MethodsTest, MoreThanAMessageHoldsIsRefused) {
  start_all();
  begin_history(*client_);
  wait_for_questions(1);
  answer_oldest(many_rows(10'000, 60));
  EXPECT_THAT(answer_of(*client_, 0), StartsWith("error org.smartmeterd1.Error.LimitReached: "));
  EXPECT_EQ(get(root, manager, "Version"), "<s 1.2.3>");
}

TEST_P(MethodsTest, EveryErrorHasANameOfItsOwnThatIsDocumented) {
  std::ifstream file(DBUS_DIRECTORY "/org.smartmeterd1.xml");
  const std::string xml{std::istreambuf_iterator<char>(file), {}};
  std::set<std::string> names;
  for (int i = 0; i <= static_cast<int>(last_error); ++i) {
    const std::string text = name(static_cast<bus::Error>(i));
    EXPECT_TRUE(names.insert(text).second) << text;
    EXPECT_EQ(sd_bus_interface_name_is_valid(text.c_str()), 1) << text;
    EXPECT_THAT(xml, HasSubstr(text.substr(text.rfind('.') + 1)));
  }
}

INSTANTIATE_TEST_SUITE_P(, MethodsTest, both_backends, backend_name);

}  // namespace
}  // namespace smartmeterd::bus::test
