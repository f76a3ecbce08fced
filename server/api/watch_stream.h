// A stream of the API that stays open and holds no thread: gRPC's callbacks
// and a WatchPump move it on. A caller that reads slowly is not sent what was
// overtaken meanwhile, since the next message is made when the one before has
// gone out. Includes gRPC: for server/api only.
#ifndef SHOAL_SERVER_API_WATCH_STREAM_H_
#define SHOAL_SERVER_API_WATCH_STREAM_H_

#include <grpcpp/grpcpp.h>

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string_view>
#include <utility>

#include "server/api/caller_quota.h"
#include "server/api/edge.h"
#include "server/api/watch_pump.h"

namespace shoal::server {

template <typename Message>
class WatchStream final : public grpc::ServerWriteReactor<Message>,
                          public WatchPump::Watch {
 public:
  struct Next {
    std::optional<Message> message;  // none: nothing is due
    bool more = false;               // ask again soon
    bool last = false;               // the stream ends with it
  };
  // Never called twice at once.
  using Source = std::function<absl::StatusOr<Next>()>;

  // For the method of a service: who calls and whether it may, then the stream
  // of what `begin(caller)` answers (a StatusOr<Source>), or a refusal.
  template <typename Begin>
  static grpc::ServerWriteReactor<Message>* Open(
      const Edge& edge, WatchPump& pump, grpc::CallbackServerContext* context,
      const google::protobuf::Message& request, std::string_view action,
      const Begin& begin) {
    std::shared_ptr<WatchStream> stream(
        new WatchStream(edge, *context, action));
    stream->self_ = stream;
    WatchStream* const reactor = stream.get();
    const grpc::Status opened = edge.Call(
        context, request, action, [&](const Caller& caller) -> absl::Status {
          SHOAL_ASSIGN_OR_RETURN(CallerQuota::Slot slot,
                                 edge.OpenWatch(caller));
          stream->slot_.emplace(std::move(slot));
          stream->admission_.caller = caller;
          SHOAL_ASSIGN_OR_RETURN(stream->source_, begin(caller));
          return absl::OkStatus();
        });
    if (!opened.ok()) {
      stream->FinishOnce(opened);
    } else {
      pump.Add(std::move(stream));
    }
    return reactor;
  }

  Look LookAgain() override {
    grpc::Status end;
    {
      std::lock_guard lock(mutex_);
      if (finished_) return Look::kOver;
      if (writing_) return Look::kIdle;
      // Whoever was revoked meanwhile sees nothing more.
      const absl::Status admitted = edge_.Readmit(context_, admission_);
      absl::StatusOr<Next> next =
          admitted.ok() ? source_() : absl::StatusOr<Next>(admitted);
      if (next.ok() && next->message) {
        message_ = *std::move(next->message);
        writing_ = true;
        last_ = next->last;
        this->StartWrite(&message_);
        return Look::kIdle;
      }
      if (next.ok() && !next->last)
        return next->more ? Look::kMore : Look::kIdle;
      if (!next.ok()) end = Edge::Answer(context_, "", "watch", next.status());
    }
    FinishOnce(end);
    return Look::kOver;
  }

  void End() override { FinishOnce(grpc::Status::OK); }

 private:
  WatchStream(const Edge& edge, grpc::CallbackServerContext& context,
              std::string_view action)
      : edge_(edge),
        context_(context),
        admission_{action, edge.PolicyVersion(), {}} {}

  void OnWriteDone(bool ok) override {
    bool over = !ok;
    {
      std::lock_guard lock(mutex_);
      writing_ = false;
      over |= last_;
    }
    if (over)
      FinishOnce(grpc::Status::OK);
    else
      LookAgain();  // what came while it was written
  }
  void OnCancel() override { FinishOnce(grpc::Status::CANCELLED); }
  void OnDone() override {
    const auto self = std::move(self_);  // the last that gRPC has to say
    slot_.reset();
  }
  void FinishOnce(const grpc::Status& status) {
    {
      std::lock_guard lock(mutex_);
      if (std::exchange(finished_, true)) return;
    }
    this->Finish(status);
  }

  const Edge& edge_;
  grpc::CallbackServerContext& context_;
  Edge::Admission admission_;
  std::shared_ptr<WatchStream> self_;  // until OnDone()
  std::optional<CallerQuota::Slot> slot_;
  std::mutex mutex_;
  Source source_;
  Message message_;
  bool writing_ = false, last_ = false, finished_ = false;
};

}  // namespace shoal::server

#endif  // SHOAL_SERVER_API_WATCH_STREAM_H_
