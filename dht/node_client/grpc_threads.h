// gRPC's own threads, and what OpenSSL keeps for each of them, end before the
// program does.
#ifndef SHOAL_DHT_NODE_CLIENT_GRPC_THREADS_H_
#define SHOAL_DHT_NODE_CLIENT_GRPC_THREADS_H_

namespace shoal::dht {

// In main, before the first use of gRPC; its end must be after the last one's.
// Without it gRPC's last object may be given back on a thread of gRPC's, which
// then cleans up beside the exit of the program: OpenSSL's exit handler runs
// under threads that still use it.
class GrpcThreads {
 public:
  GrpcThreads();
  ~GrpcThreads();  // waits for them
  GrpcThreads(const GrpcThreads&) = delete;
  GrpcThreads& operator=(const GrpcThreads&) = delete;
};

}  // namespace shoal::dht

#endif  // SHOAL_DHT_NODE_CLIENT_GRPC_THREADS_H_
