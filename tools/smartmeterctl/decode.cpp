// SPDX-License-Identifier: Apache-2.0
// smartmeterctl decode: telegrams in a file as JSON, without the daemon.
#include <memory>

#include "tools/smartmeterctl/decoding.hpp"
#include "tools/smartmeterctl/verbs.hpp"

namespace smartmeterctl {
namespace {

constexpr const char* footer = R"(
Prints one JSON object for each telegram on standard output; reasons for refused frames and what
--explain says go to standard error. FILE holds received bytes, or hex text: white space, line
breaks, '_', '-', ':' and lines that start with '#' are passed over. Or it holds JSON messages of
Glow, gPlug and other gateways: one object, one on each line, or lines as mosquitto_sub -v prints
them, with the topic in front.

Every key is tried with every authentication key; @FILE holds one key a line. A key on the command
line can be seen by other users of this machine: use @FILE for a key that is in use.

Exit status: 0 a telegram was decoded, 1 none was, or an error, 2 wrong usage.

Examples:
  smartmeterctl decode capture.bin
  smartmeterctl decode --topic glow/112233445566/SENSOR/electricitymeter payload.json
  smartmeterctl decode --key @guek.txt --explain capture.hex
  smartmeterctl decode --key 36C66639E48A8CA4D6BC8B282A793BBB - < capture.bin)";

}  // namespace

void add_decode(CLI::App& app, Action& action) {
  auto options = std::make_shared<DecodeOptions>();
  CLI::App* command = app.add_subcommand("decode", "decode a recording, without the daemon");
  command->footer(footer);
  options->add_to(*command);
  command->add_option("--link", options->link, "link layer")
      ->check(CLI::IsMember(DecodeOptions::links()))
      ->capture_default_str();
  command->add_option("--topic", options->topic, "MQTT topic of JSON messages")->type_name("TOPIC");
  command->add_option("FILE", options->file, "received bytes or hex text, - for standard input")
      ->required();
  command->callback([options, &action] {
    action = [options] {
      Decoding decoding(*options);
      tools::CaptureFile file(options->file);
      return decode_recording(decoding, file, *options);
    };
  });
}

}  // namespace smartmeterctl
