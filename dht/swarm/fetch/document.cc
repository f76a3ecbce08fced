#include "dht/swarm/fetch/document.h"

#include "common/crypto/hash.h"
#include "common/status.h"

namespace shoal::dht {

DocumentJob::DocumentJob(FetchContext& context, DocumentCommand command)
    : context_(context),
      command_(std::move(command)),
      deadline_(context.clock.MonotonicNow() +
                absl::Milliseconds(command_.timeout_ms)) {}

DocumentJob::~DocumentJob() {
  if (transfer_) context_.origins.Stop(*transfer_);
}

void DocumentJob::Tick() {
  if (finished_) return;
  const absl::Duration now = context_.clock.MonotonicNow();
  if (now >= deadline_) {
    return Fail(MakeError(absl::StatusCode::kDeadlineExceeded, "no_source",
                          "no origin gave the document in time"));
  }
  if (!transfer_) return NextSource();
  meter_.Update(now, bytes_.size());
  if (meter_.TooSlow(now, context_.stall, context_.min_rate)) {
    context_.origins.Stop(*transfer_);
    transfer_.reset();
    EndSource(MakeError(absl::StatusCode::kDeadlineExceeded, "origin_slow",
                        "the origin is too slow"));
  }
}

void DocumentJob::NextSource() {
  if (next_ >= command_.urls.size()) {
    return Fail(Verdict());
  }
  bytes_.clear();
  auto transfer = context_.origins.Start(command_.urls[next_++], std::nullopt,
                                         context_.download_rate, this);
  if (!transfer.ok()) return Fail(transfer.status());
  transfer_ = *transfer;
  meter_.Restart(context_.clock.MonotonicNow());
}

// The more telling error of all sources. That there is none is said only when
// all who answered say so: an origin out of reach knows nothing.
absl::Status DocumentJob::Verdict() const {
  if (ReasonOf(worst_) == "hash_mismatch" ||
      ReasonOf(worst_) == "document_too_large")
    return worst_;
  const std::string why(worst_.message());
  return none_there_ && !other_answer_
             ? NotFound("no_source", "no origin has the document: " + why)
             : Unavailable("no_source", "no origin gave the document: " + why);
}

absl::Status DocumentJob::Begin(uint64_t, std::optional<uint64_t> total) {
  if (total && *total > command_.max_bytes) {
    return ResourceExhausted("document_too_large",
                             "the origin announces more than is allowed");
  }
  return absl::OkStatus();
}

absl::Status DocumentJob::Data(std::string_view bytes) {
  received_ += bytes.size();
  if (bytes_.size() + bytes.size() > command_.max_bytes) {
    return ResourceExhausted("document_too_large",
                             "the origin sends more than is allowed");
  }
  bytes_ += bytes;
  return absl::OkStatus();
}

bool DocumentJob::OnEnded(const OriginClient::Ended& ended) {
  if (!transfer_ || *transfer_ != ended.transfer) return false;
  transfer_.reset();
  absl::Status status = ended.status;
  if (status.ok() && !command_.sha256.empty() &&
      crypto::Sha256Digest(bytes_) != command_.sha256) {
    status = DataLoss("hash_mismatch", "the document has another SHA-256");
  }
  if (status.ok()) {
    Deliver();
  } else {
    EndSource(status);
  }
  return true;
}

void DocumentJob::EndSource(const absl::Status& status) {
  if (worst_.ok() || ReasonOf(status) == "hash_mismatch") worst_ = status;
  const std::string reason = ReasonOf(status);
  if (absl::IsNotFound(status))
    none_there_ = true;
  else if (reason != "origin_network" && reason != "origin_slow")
    other_answer_ = true;
  NextSource();
}

void DocumentJob::Deliver() {
  for (size_t at = 0; at < bytes_.size(); at += kMaxChunk) {
    context_.emit(ChunkEvent{id(), bytes_.substr(at, kMaxChunk)});
  }
  finished_ = true;
  context_.emit(DoneEvent{id(), Counters{0, received_, 0}});
}

void DocumentJob::Fail(absl::Status status) {
  finished_ = true;
  context_.emit(
      FailedEvent{id(), std::move(status), Counters{0, received_, 0}});
}

}  // namespace shoal::dht
