// SPDX-License-Identifier: Apache-2.0
// watch on a whole terminal: draws the view, and follows keys, sizes and the bus.
#include "tools/smartmeterctl/watch_screen.hpp"

#define NCURSES_NOMACROS 1
#include <fmt/core.h>
#include <ncurses.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <stdexcept>
#include <utility>

#include "tools/smartmeterctl/signals.hpp"
#include "tools/smartmeterctl/style.hpp"
#include "tools/smartmeterctl/text.hpp"
#include "tools/smartmeterctl/verbs.hpp"
#include "tools/smartmeterctl/watch_view.hpp"

namespace smartmeterctl {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

/// Faster than this nobody reads; nor does drawing take more than one part in so many of the time.
constexpr auto draw_interval = 50ms;
constexpr int draw_share = 5;
/// The objects are asked for no more often, nor for more than one part in so many of the time.
constexpr auto question_interval = 1s;
constexpr int question_share = 20;
/// No less often, either.
constexpr auto question_interval_max = 20s;
constexpr std::ptrdiff_t page = 10;  // entries
constexpr int key_escape = 27, key_redraw = 'L' - '@';

std::string_view terminal_name() {
  const char* name = std::getenv("TERM");
  return name != nullptr ? name : "";
}

/// The terminal, drawn on as long as this lives.
class Screen {
 public:
  Screen() : screen_(newterm(nullptr, stdout, stdin)) {
    if (screen_ == nullptr) throw std::runtime_error("the terminal cannot be drawn on");
    cbreak();
    noecho();
    nonl();
    keypad(stdscr, TRUE);
    nodelay(stdscr, TRUE);
    constexpr int escape_delay_ms = 25;  // a key's sequence is there by then
    set_escdelay(escape_delay_ms);
    curs_set(0);
    if (!has_colours() || !has_colors()) return;
    start_color();
    use_default_colors();
    for (const auto& [tone, colour] : colours) init_pair(pair_of(tone), colour, -1);
    coloured_ = true;
  }
  ~Screen() {
    endwin();
    delscreen(screen_);
  }
  Screen(const Screen&) = delete;
  Screen& operator=(const Screen&) = delete;

  WatchSize size() const {
    return {static_cast<unsigned>(getmaxx(stdscr)), static_cast<unsigned>(getmaxy(stdscr))};
  }
  /// ERR: none was pressed.
  int key() { return getch(); }
  void draw(const std::vector<Line>& lines) {
    erase();
    for (int y = 0; y < static_cast<int>(lines.size()) && move(y, 0) == OK; ++y)
      for (const Cell& cell : lines[static_cast<std::size_t>(y)]) {
        attrset(attributes_of(cell.tone));
        addstr((is_ascii_ ? in_ascii(cell.text) : cell.text).c_str());
      }
    refresh();
  }
  void adopt_size() {
    winsize window{};
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &window) == 0 && window.ws_row > 0 && window.ws_col > 0)
      resizeterm(window.ws_row, window.ws_col);
  }
  void redraw() { clearok(curscr, TRUE); }
  /// Gives the terminal back until this process is continued.
  void stop() {
    endwin();
    yield_to(SIGTSTP);
    adopt_size();
    redraw();
    refresh();
  }

 private:
  static constexpr std::array<std::pair<Tone, short>, 4> colours = {{
      {Tone::good, COLOR_GREEN},
      {Tone::warn, COLOR_YELLOW},
      {Tone::bad, COLOR_RED},
      {Tone::accent, COLOR_CYAN},
  }};
  static short pair_of(Tone tone) { return static_cast<short>(std::to_underlying(tone) + 1); }
  int attributes_of(Tone tone) const {
    if (tone == Tone::strong) return static_cast<int>(A_BOLD);
    if (tone == Tone::dim) return static_cast<int>(A_DIM);
    const bool is_coloured =
        std::ranges::count(colours, tone, &decltype(colours)::value_type::first);
    return coloured_ && is_coloured ? static_cast<int>(COLOR_PAIR(pair_of(tone))) : 0;
  }

  SCREEN* screen_;
  const bool is_ascii_ = !is_utf8_locale();
  bool coloured_ = false;
};

/// The view while it is looked at.
class Live {
 public:
  Live(Bus& bus, const std::string& only) : bus_(bus) {
    state_.only = only;
    bus_.listen({.on_reading =
                     [this](const ReadingSignal& signal) {
                       state_.take(signal);
                       is_stale_ = is_dirty_ = true;  // counters are not signalled
                       return true;
                     },
                 .on_owner =
                     [this](bool is_there) {
                       state_.is_there = is_there;
                       is_asked_ = false;
                       is_stale_ = is_dirty_ = true;
                     },
                 .on_change = [this] { is_stale_ = true; },
                 .on_objects = [this](auto objects) { adopt(std::move(objects)); }});
    state_.objects = bus_.objects();  // what is signalled from now on waits for `run`
  }

  int run() {
    while (!ended_) {
      bus_.process();
      ask();
      if (is_dirty_ && Clock::now() >= next_draw_) draw();
      wait();
      while (const auto number = signals_.take()) heed(*number);
      for (int key = screen_.key(); key != ERR && !ended_; key = screen_.key()) press(key);
    }
    return exit_good;
  }
  /// A signal that ends this process.
  int last_signal() const { return last_signal_; }

 private:
  void adopt(std::optional<std::vector<Object>> objects) {
    const auto now = Clock::now();
    is_asked_ = false;
    next_question_ = now + question_interval;
    is_dirty_ = is_dirty_ || state_.is_refused == objects.has_value();
    state_.is_refused = !objects.has_value();
    if (!objects) {  // refused, or no answer in time
      is_stale_ = true;
      return;
    }
    next_question_ = std::max(next_question_, now + question_share * (now - asked_));
    state_.objects = std::move(*objects);
    is_dirty_ = true;
  }
  void ask() {
    // A bus whose policy was closed is silent, too: that shows only where one asks.
    if (Clock::now() >= asked_ + question_interval_max) is_stale_ = true;
    if (!is_stale_ || is_asked_ || !state_.is_there || Clock::now() < next_question_) return;
    asked_ = Clock::now();
    is_stale_ = false;
    is_asked_ = true;
    bus_.ask_objects();
  }
  void draw() {
    const auto start = Clock::now();
    screen_.draw(watch_lines(state_, screen_.size(), time_now_us(),
                             terminal_name() == "linux"));
    is_dirty_ = false;
    const auto end = Clock::now();
    next_draw_ = end + std::max<Clock::duration>(draw_interval, draw_share * (end - start));
  }
  /// Until something happens, or the next second begins, in which ages are others.
  void wait() {
    constexpr std::uint64_t second_us = 1'000'000;
    std::chrono::microseconds limit(second_us - time_now_us() % second_us);
    const auto until = [&limit](Clock::time_point when) {
      limit =
          std::clamp(std::chrono::ceil<std::chrono::microseconds>(when - Clock::now()), 0us, limit);
    };
    if (is_dirty_) until(next_draw_);
    if (is_stale_ && !is_asked_ && state_.is_there) until(next_question_);
    std::array<pollfd, 3> waits = {
        bus_.waits_for(), {STDIN_FILENO, POLLIN, 0}, {signals_.fd(), POLLIN, 0}};
    const int count =
        ::poll(waits.data(), waits.size(),
               static_cast<int>(std::chrono::ceil<std::chrono::milliseconds>(limit).count()));
    if (count == 0) is_dirty_ = true;
    if ((waits[1].revents & (POLLHUP | POLLERR | POLLNVAL)) != 0) ended_ = true;
  }
  void heed(int number) {
    is_dirty_ = true;
    switch (number) {
      case SIGWINCH:
        screen_.adopt_size();
        break;
      case SIGTSTP:
        screen_.stop();
        break;
      default:
        if (number != SIGINT) last_signal_ = number;
        ended_ = true;
    }
  }
  void press(int key) {
    is_dirty_ = true;
    switch (key) {
      case 'q':
      case 'Q':
      case key_escape:
        ended_ = true;
        break;
      case '?':
        state_.shows_help = !state_.shows_help;
        break;
      case KEY_UP:
      case KEY_BTAB:
        state_.move(-1);
        break;
      case KEY_DOWN:
        state_.move(1);
        break;
      case '\t':
        state_.move_around();
        break;
      case KEY_PPAGE:
        state_.move(-page);
        break;
      case KEY_NPAGE:
        state_.move(page);
        break;
      case key_redraw:
        screen_.redraw();
        break;
      default:
        break;
    }
  }

  Bus& bus_;
  Signals signals_{SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGWINCH};
  Screen screen_;
  WatchState state_;
  bool is_dirty_ = true, is_stale_ = false, is_asked_ = false, ended_ = false;
  int last_signal_ = 0;
  Clock::time_point next_draw_{}, next_question_{}, asked_{};
};

}  // namespace

int watch_on_screen(Bus& bus, const std::string& only) {
  use_utf8();
  int status = exit_good, number = 0;
  {
    Live live(bus, only);
    status = live.run();
    number = live.last_signal();
  }
  if (number != 0) yield_to(number);
  return status;
}

}  // namespace smartmeterctl
