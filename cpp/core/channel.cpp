#include "channel.hpp"

#if defined(__linux__)

#include <algorithm>
#include <bit>
#include <cstddef>
#include <new>
#include <stdexcept>
#include <system_error>

namespace fastflow {

namespace {

// What stands at the beginning of the memory.
struct Front {
  std::uint64_t magic;
  std::uint64_t version;
  std::uint64_t capacity;
  atomic<std::uint64_t> attached;
  RingWords to_worker;
  RingWords to_creator;
};

constexpr std::uint64_t kMagic = 0x666c6f776368616e;  // "flowchan"
constexpr std::uint64_t kVersion = 1;

std::size_t front_size() noexcept {
  return (sizeof(Front) + page_size() - 1) / page_size() * page_size();
}

std::size_t whole_size(std::size_t capacity) noexcept {
  return front_size() + 2 * capacity;
}

Front& front_of(const Mapping& mapping) noexcept {
  return *std::launder(reinterpret_cast<Front*>(mapping.data()));
}

// The number of the ring: 0 to the worker, 1 to the creator.
MessageMemory ring_of(const Mapping& mapping, std::size_t capacity, int ring) noexcept {
  std::byte* first = mapping.data() + front_size();
  return {first + (ring == 0 ? 0 : 2 * capacity), capacity};
}

// Checks what is at the beginning of `memory`.  The capacity.
std::size_t check_front(int memory) {
  const std::size_t size = memory_size(memory);
  if (size < front_size()) throw std::invalid_argument("this is no channel's memory");
  const Mapping mapping = map_memory(memory, front_size(), Access::kReadWrite);
  Front& front = front_of(mapping);
  if (front.magic != kMagic) throw std::invalid_argument("this is no channel's memory");
  const std::size_t capacity = front.capacity;
  if (front.version != kVersion || capacity > Channel::kMostCapacity ||
      !std::has_single_bit(capacity) || whole_size(capacity) != size) {
    throw std::invalid_argument(
        "this channel's memory is of another version of fastflow");
  }
  if (front.attached.exchange(1) != 0) {
    throw std::invalid_argument("somebody has attached to this channel already");
  }
  return capacity;
}

}  // namespace

Channel::Channel(int socket, Descriptor memory, Mapping mapping, std::size_t capacity,
                 bool creator) noexcept
    : sender(creator ? front_of(mapping).to_worker : front_of(mapping).to_creator,
             ring_of(mapping, capacity, creator ? 0 : 1)),
      receiver(creator ? front_of(mapping).to_creator : front_of(mapping).to_worker,
               ring_of(mapping, capacity, creator ? 1 : 0)),
      bell(socket),
      memory_(std::move(memory)),
      mapping_(std::move(mapping)),
      capacity_(capacity) {}

std::unique_ptr<Channel> Channel::create(int socket, std::size_t capacity) {
  if (capacity > kMostCapacity) {
    throw std::invalid_argument("a channel's capacity is 2 GiB at most");
  }
  capacity = std::bit_ceil(std::max(capacity, page_size()));
  Descriptor memory = create_memory("fastflow-channel", whole_size(capacity));
  Mapping mapping = map_rings(memory.get(), front_size(), capacity, 2);
  Front* front = new (mapping.data()) Front{};
  front->version = kVersion;
  front->capacity = capacity;
  begin_ring(front->to_worker, ring_of(mapping, capacity, 0));
  begin_ring(front->to_creator, ring_of(mapping, capacity, 1));
  front->magic = kMagic;
  return std::unique_ptr<Channel>(
      new Channel(socket, std::move(memory), std::move(mapping), capacity, true));
}

std::unique_ptr<Channel> Channel::attach(int socket, Descriptor memory) {
  const std::size_t capacity = check_front(memory.get());
  Mapping mapping = map_rings(memory.get(), front_size(), capacity, 2);
  return std::unique_ptr<Channel>(
      new Channel(socket, Descriptor(), std::move(mapping), capacity, false));
}

bool Channel::refused(std::size_t length) noexcept {
  wanted_ = length + 1;
  if (sleepers_.empty()) return false;
  // For those who sleep already.
  sender.announce(length);
  return sender.room(length) == Room::kYes;
}

void Channel::release() noexcept {
  if (!receiver.release()) return;
  try {
    bell.ring();
  } catch (const std::system_error&) {
    // What was received counts more; the next sleep meets it.
  }
}

bool Channel::ready(Wish wish) {
  Receiver::Message message;
  const bool found = wish.message && receiver.look(&message) != Found::kNothing;
  release();  // what was recalled is passed
  return found || bell.closed() || (wish.descriptor && bell.has_descriptor()) ||
         (wish.room && sender.room(refused_length()) != Room::kNo);
}

bool Channel::somebody_listens() const noexcept {
  return std::any_of(sleepers_.begin(), sleepers_.end(),
                     [](const Sleeper& sleeper) { return sleeper.listens; });
}

int Channel::enlist(Wish wish) {
  const bool listens = !somebody_listens();
  if (!listens && counter_.get() < 0) counter_ = create_counter();
  sleepers_.push_back({std::this_thread::get_id(), listens});
  if (wish.message) receiver.announce();
  if (wish.room) sender.announce(refused_length());
  if (ready(wish)) {
    strike_out(sleepers_.end() - 1);
    return kReady;
  }
  return listens ? bell.socket() : counter_.get();
}

void Channel::leave() {
  const auto mine =
      std::find_if(sleepers_.begin(), sleepers_.end(), [](const Sleeper& sleeper) {
        return sleeper.thread == std::this_thread::get_id();
      });
  if (mine == sleepers_.end()) {
    if (!somebody_listens()) bell.drain();
    return;
  }
  const bool listened = mine->listens;
  if (mine->owed) count_down(counter_.get());
  strike_out(mine);
  claimed_before_sleep_ = receiver.claimed();
  if (!listened) return;
  for (Sleeper& follower : sleepers_) {
    if (!follower.owed) count_up(counter_.get());
    follower.owed = true;
  }
  bell.drain();
}

void Channel::strike_out(Sleepers::iterator mine) {
  sleepers_.erase(mine);
  if (!sleepers_.empty()) return;
  receiver.withdraw();
  sender.withdraw();
}

}  // namespace fastflow

#endif
