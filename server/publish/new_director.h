// What a plane does once when it comes up with another director key than the
// one that signed its records: the old key is worth nothing any more.
#ifndef SHOAL_SERVER_PUBLISH_NEW_DIRECTOR_H_
#define SHOAL_SERVER_PUBLISH_NEW_DIRECTOR_H_

#include "absl/status/status.h"
#include "server/publish/record_writer.h"
#include "server/store/store.h"

namespace shoal::server {

// Signs every record that is kept alive anew and throws away what still waits
// under the old key; nothing happens when the key is the one of last time.
// Interrupted, it does all of it again.
absl::Status AdoptDirectorKey(Store& store, const PlaneKeys& keys,
                              const RecordWriter& writer);

}  // namespace shoal::server

#endif  // SHOAL_SERVER_PUBLISH_NEW_DIRECTOR_H_
