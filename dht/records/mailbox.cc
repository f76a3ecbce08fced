#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "common/status.h"
#include "dht/records/core.h"

namespace shoal::dht {

absl::StatusOr<std::shared_ptr<Mailbox>> Mailbox::Create() {
  auto mailbox = std::make_shared<Mailbox>();
  mailbox->event_.Reset(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!mailbox->event_.valid()) return ErrnoError(errno, "eventfd");
  return mailbox;
}

void Mailbox::Post(std::function<void()> task) {
  std::lock_guard lock(mutex_);
  if (closed_) return;
  tasks_.push_back(std::move(task));
  const uint64_t one = 1;
  // Fails only when the counter is full: then the thread is awake anyway.
  (void)!write(event_.get(), &one, sizeof one);
}

std::vector<std::function<void()>> Mailbox::Take() {
  std::lock_guard lock(mutex_);
  uint64_t count;
  (void)!read(event_.get(), &count, sizeof count);
  return std::exchange(tasks_, {});
}

void Mailbox::Close() {
  std::vector<std::function<void()>> dropped;
  std::lock_guard lock(mutex_);
  closed_ = true;
  dropped.swap(tasks_);
}

}  // namespace shoal::dht
