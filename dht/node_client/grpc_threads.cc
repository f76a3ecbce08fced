#include "dht/node_client/grpc_threads.h"

#include <grpc/grpc.h>

#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace shoal::dht {
namespace {

constexpr absl::Duration kLongestWait = absl::Seconds(5);
constexpr absl::Duration kLook = absl::Milliseconds(1);

}  // namespace

GrpcThreads::GrpcThreads() { grpc_init(); }

// Blocking is it only for whoever is the last. A call that was cancelled may
// hold gRPC a moment longer, on a thread of gRPC's, which then is the last;
// gRPC has no way to wait for that one but to look.
GrpcThreads::~GrpcThreads() {
  grpc_shutdown_blocking();
  const absl::Time end = absl::Now() + kLongestWait;
  while (grpc_is_initialized() != 0 && absl::Now() < end) absl::SleepFor(kLook);
}

}  // namespace shoal::dht
