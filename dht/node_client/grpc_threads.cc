#include "dht/node_client/grpc_threads.h"

#include <grpc/grpc.h>

namespace shoal::dht {

GrpcThreads::GrpcThreads() { grpc_init(); }
GrpcThreads::~GrpcThreads() { grpc_shutdown_blocking(); }

}  // namespace shoal::dht
