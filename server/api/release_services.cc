#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "common/bytes.h"
#include "common/files.h"
#include "server/api/edge.h"
#include "shoal/release/v1/release_service.grpc.pb.h"

namespace shoal::server {
namespace {

using grpc::ServerContext;

constexpr size_t kMaxChunk = 1 << 20;

class ReleasesService final : public release::v1::Releases::Service {
 public:
  explicit ReleasesService(const Edge& edge) : edge_(edge) {}

  grpc::Status CreateRelease(
      ServerContext* context,
      grpc::ServerReader<release::v1::CreateReleaseRequest>* reader,
      release::v1::Release* response) override {
    return edge_.Call(
        context, "release.create", [&](const Caller& caller) -> absl::Status {
          release::v1::CreateReleaseRequest request;
          const bool any = reader->Read(&request);
          SHOAL_RETURN_IF_ERROR(CheckRequestLimits(request));
          if (!any || !request.has_header()) {
            return InvalidArgument("bad_request",
                                   "the first message must be the header");
          }
          SHOAL_ASSIGN_OR_RETURN(
              auto upload, edge_.parts().releases->Begin(request.header(),
                                                         caller.audit_name()));
          while (reader->Read(&request)) {
            SHOAL_RETURN_IF_ERROR(CheckRequestLimits(request));
            if (request.part_case() ==
                release::v1::CreateReleaseRequest::kFile) {
              SHOAL_RETURN_IF_ERROR(upload->BeginFile(request.file()));
              continue;
            }
            if (!request.has_chunk() || request.chunk().size() > kMaxChunk) {
              return InvalidArgument("bad_request",
                                     "chunks of at most 1 MiB must follow");
            }
            SHOAL_RETURN_IF_ERROR(upload->Append(request.chunk()));
          }
          if (context->IsCancelled()) {
            return MakeError(absl::StatusCode::kCancelled, "cancelled",
                             "the caller went away");
          }
          SHOAL_ASSIGN_OR_RETURN(*response, upload->Finish());
          return absl::OkStatus();
        });
  }

  grpc::Status GetRelease(ServerContext* context,
                          const release::v1::GetReleaseRequest* request,
                          release::v1::Release* response) override {
    return edge_.Call(
        context, *request, kAnyOperator, [&](const Caller&) -> absl::Status {
          SHOAL_ASSIGN_OR_RETURN(*response,
                                 edge_.parts().releases->Get(request->name()));
          return absl::OkStatus();
        });
  }

  grpc::Status ListReleases(
      ServerContext* context, const release::v1::ListReleasesRequest* request,
      release::v1::ListReleasesResponse* response) override {
    return edge_.Call(context, *request, kAnyOperator,
                      [&](const Caller&) -> absl::Status {
                        SHOAL_ASSIGN_OR_RETURN(
                            auto page, edge_.parts().releases->List(*request));
                        for (auto& release : page.releases) {
                          *response->add_releases() = std::move(release);
                        }
                        response->set_next_page_token(page.next_page_token);
                        return absl::OkStatus();
                      });
  }

  grpc::Status ExportRepository(
      ServerContext* context, const release::v1::ExportRepositoryRequest*,
      grpc::ServerWriter<release::v1::ExportRepositoryResponse>* writer)
      override {
    return edge_.Call(context, kAnyOperator, [&](const Caller&) {
      return Export(edge_.parts().blobs->public_dir(), "", *writer);
    });
  }

  grpc::Status DownloadAttachment(
      ServerContext* context,
      const release::v1::DownloadAttachmentRequest* request,
      grpc::ServerWriter<release::v1::DownloadAttachmentResponse>* writer)
      override {
    return edge_.Call(context, *request, kAnyOperator, [&](const Caller&) {
      return Download(request->name(), *writer);
    });
  }

  grpc::Status ListDeltas(ServerContext* context,
                          const release::v1::ListDeltasRequest* request,
                          release::v1::ListDeltasResponse* response) override {
    return edge_.Call(
        context, *request, kAnyOperator, [&](const Caller&) -> absl::Status {
          SHOAL_ASSIGN_OR_RETURN(*response,
                                 edge_.parts().deltas->List(request->parent()));
          return absl::OkStatus();
        });
  }

  grpc::Status CollectDeltas(
      ServerContext* context, const release::v1::CollectDeltasRequest* request,
      release::v1::CollectDeltasResponse* response) override {
    return edge_.Call(context, *request, "release.create",
                      [&](const Caller& caller) -> absl::Status {
                        DeltaCollector& collector = *edge_.parts().collector;
                        SHOAL_ASSIGN_OR_RETURN(
                            *response,
                            request->validate_only()
                                ? collector.Look()
                                : collector.Collect(caller.audit_name()));
                        return absl::OkStatus();
                      });
  }

  grpc::Status DeleteRelease(
      ServerContext* context, const release::v1::DeleteReleaseRequest* request,
      release::v1::DeleteReleaseResponse* response) override {
    return edge_.Call(context, *request, "release.create",
                      [&](const Caller& caller) -> absl::Status {
                        SHOAL_ASSIGN_OR_RETURN(
                            *response, edge_.parts().deleter->Delete(
                                           *request, caller.audit_name()));
                        return absl::OkStatus();
                      });
  }

 private:
  absl::Status Download(
      const std::string& name,
      grpc::ServerWriter<release::v1::DownloadAttachmentResponse>& writer)
      const {
    SHOAL_ASSIGN_OR_RETURN(const auto attachment,
                           edge_.parts().releases->AttachmentOf(name));
    SHOAL_ASSIGN_OR_RETURN(const std::string sha256,
                           HexDecode(attachment.sha256()));
    std::ifstream file(edge_.parts().blobs->PathOf(sha256), std::ios::binary);
    if (!file) return DataLoss("io_not_found", name + " has no bytes");
    release::v1::DownloadAttachmentResponse response;
    std::string buffer(256 << 10, '\0');
    do {
      file.read(buffer.data(), static_cast<std::streamsize>(buffer.size()));
      if (file.bad()) return DataLoss("io_error", "cannot read " + name);
      response.set_chunk(buffer.data(), static_cast<size_t>(file.gcount()));
      if (!writer.Write(response)) {
        return MakeError(absl::StatusCode::kCancelled, "cancelled",
                         "the caller went away");
      }
    } while (!file.eof());
    return absl::OkStatus();
  }

  // Directories in order of their names: blobs, metadata, targets.
  static absl::Status Export(
      const std::string& directory, const std::string& prefix,
      grpc::ServerWriter<release::v1::ExportRepositoryResponse>& writer) {
    SHOAL_ASSIGN_OR_RETURN(auto names, RealFileSystem().List(directory));
    for (const std::string& name : names) {
      const std::string path = JoinPath(directory, name);
      if (RealFileSystem().List(path).ok()) {
        SHOAL_RETURN_IF_ERROR(Export(path, prefix + name + "/", writer));
        continue;
      }
      // Written beside a file before it gets its name.
      if (name.front() == '.') continue;
      SHOAL_RETURN_IF_ERROR(ExportFile(path, prefix + name, writer));
    }
    return absl::OkStatus();
  }

  static absl::Status ExportFile(
      const std::string& path, const std::string& name,
      grpc::ServerWriter<release::v1::ExportRepositoryResponse>& writer) {
    std::ifstream file(path, std::ios::binary);
    if (!file) return NotFound("io_not_found", name + " is gone: try again");
    release::v1::ExportRepositoryResponse response;
    response.set_path(name);
    std::string buffer(256 << 10, '\0');
    do {
      file.read(buffer.data(), static_cast<std::streamsize>(buffer.size()));
      if (file.bad()) return DataLoss("io_error", "cannot read " + name);
      response.set_chunk(buffer.data(), static_cast<size_t>(file.gcount()));
      response.set_last(file.eof());
      if (!writer.Write(response)) {
        return MakeError(absl::StatusCode::kCancelled, "cancelled",
                         "the caller went away");
      }
      response.clear_path();
    } while (!file.eof());
    return absl::OkStatus();
  }

  const Edge& edge_;
};

}  // namespace

void AddReleaseServices(const Edge& edge, Services& services) {
  services.push_back(std::make_unique<ReleasesService>(edge));
}

}  // namespace shoal::server
