#include "model/choices.hpp"

namespace model {

namespace {
constexpr char kDigits[] = "0123456789abcdefghijklmnopqrstuvwxyz";
}

void Choices::start_replay(const std::string& digits) {
  start(Mode::kReplay);
  for (const char c : digits) {
    const auto at = std::string(kDigits).find(c);
    const auto answer = static_cast<std::uint8_t>(at == std::string::npos ? 0 : at);
    made_.push_back({answer, 0});
  }
}

bool Choices::advance() {
  made_.resize(depth_);
  while (!made_.empty() && made_.back().answer + 1 >= made_.back().count) {
    made_.pop_back();
  }
  if (made_.empty()) return false;
  ++made_.back().answer;
  return true;
}

std::string Choices::to_string() const {
  std::string digits;
  for (std::size_t i = 0; i < depth_; ++i) digits += kDigits[made_[i].answer];
  const auto last = digits.find_last_not_of('0');
  return digits.substr(0, last == std::string::npos ? 0 : last + 1);
}

}  // namespace model
