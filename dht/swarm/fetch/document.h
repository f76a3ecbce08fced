// One small download into memory, from the first origin that gives it.
#ifndef SHOAL_DHT_SWARM_FETCH_DOCUMENT_H_
#define SHOAL_DHT_SWARM_FETCH_DOCUMENT_H_

#include <optional>
#include <string>

#include "dht/swarm/fetch/job.h"

namespace shoal::dht {

// One thread.
class DocumentJob final : public OriginSink {
 public:
  DocumentJob(FetchContext& context, DocumentCommand command);
  ~DocumentJob() override;
  void Tick();
  bool OnEnded(const OriginClient::Ended& ended);
  bool finished() const { return finished_; }
  const std::string& id() const { return command_.id; }

  absl::Status Begin(uint64_t offset, std::optional<uint64_t> total) override;
  absl::Status Data(std::string_view bytes) override;

 private:
  void NextSource();
  void EndSource(const absl::Status& status);
  absl::Status Verdict() const;
  void Deliver();
  void Fail(absl::Status status);

  FetchContext& context_;
  const DocumentCommand command_;
  const absl::Duration deadline_;
  size_t next_ = 0;
  std::optional<uint64_t> transfer_;
  std::string bytes_;
  uint64_t received_ = 0;
  Meter meter_;
  absl::Status worst_;         // of the sources so far
  bool none_there_ = false;    // one of them says that there is none
  bool other_answer_ = false;  // one answers something else
  bool finished_ = false;
};

}  // namespace shoal::dht

#endif  // SHOAL_DHT_SWARM_FETCH_DOCUMENT_H_
