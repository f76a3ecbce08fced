// A real shoald refuses what lies beyond a field's limit at every method that
// it offers: tests/unit/server_api/request_limits_test.cc knows every field of
// every request, this one that no method forgets to look.
#include "server/api/request_limits.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/dynamic_message.h>
#include <grpcpp/generic/generic_stub.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>

#include "tests/integration/server/shoald_fixture.h"
#include "tests/support/source_path.h"

namespace shoal {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::DescriptorPool;
using google::protobuf::FieldDescriptor;
using google::protobuf::FileDescriptor;
using google::protobuf::Message;

class RequestLimitsTest : public ShoaldTest {
 protected:
  // All services of proto/ but the storage node's own.
  static std::vector<const google::protobuf::ServiceDescriptor*> Services() {
    std::vector<const google::protobuf::ServiceDescriptor*> services;
    const std::string root = testing::SourcePath("proto");
    for (const auto& entry :
         std::filesystem::recursive_directory_iterator(root)) {
      if (entry.path().extension() != ".proto") continue;
      const std::string name =
          std::filesystem::relative(entry.path(), root).string();
      const FileDescriptor* file =
          DescriptorPool::generated_pool()->FindFileByName(name);
      std::ifstream in(entry.path());
      const std::string text{std::istreambuf_iterator<char>(in), {}};
      const bool offers = text.find("\nservice ") != text.npos;
      EXPECT_TRUE(file != nullptr || !offers) << name << " is not linked";
      if (file == nullptr || file->package() == "shoal.node.v1") continue;
      for (int i = 0; i < file->service_count(); ++i)
        services.push_back(file->service(i));
    }
    return services;
  }

  // Puts one byte too many into the first text that `message` can hold, itself
  // or in a part. False: it can hold none.
  static bool Overfill(Message& message, std::set<const Descriptor*> above) {
    const Descriptor& type = *message.GetDescriptor();
    if (!above.insert(&type).second) return false;
    const auto& reflection = *message.GetReflection();
    for (int i = 0; i < type.field_count(); ++i) {
      const FieldDescriptor& field = *type.field(i);
      const size_t max = server::MaxFieldBytes(field);
      if (max == 0) continue;
      const std::string text(max + 1, 'a');
      if (field.is_repeated())
        reflection.AddString(&message, &field, text);
      else
        reflection.SetString(&message, &field, text);
      return true;
    }
    for (int i = 0; i < type.field_count(); ++i) {
      const FieldDescriptor& field = *type.field(i);
      if (field.cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE) continue;
      if (Overfill(field.is_repeated()
                       ? *reflection.AddMessage(&message, &field)
                       : *reflection.MutableMessage(&message, &field),
                   above))
        return true;
    }
    return false;
  }

  // One request, whatever streams: the reason that the plane ends the call
  // with.
  std::string ReasonOfCall(grpc::GenericStub& stub, const std::string& path,
                           const Message& request) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() +
                         std::chrono::seconds(20));
    grpc::CompletionQueue queue;
    const auto wait = [&queue] {
      void* tag = nullptr;
      bool ok = false;
      return queue.Next(&tag, &ok) && ok;
    };
    const auto call = stub.PrepareCall(&context, path, &queue);
    call->StartCall(nullptr);
    EXPECT_TRUE(wait()) << path;
    const std::string bytes = request.SerializeAsString();
    const grpc::Slice slice(bytes);
    call->WriteLast(grpc::ByteBuffer(&slice, 1), grpc::WriteOptions(), nullptr);
    wait();
    grpc::ByteBuffer answer;
    do {
      call->Read(&answer, nullptr);
    } while (wait());
    grpc::Status status;
    call->Finish(&status, nullptr);
    wait();
    EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT)
        << path << ": " << status.error_message();
    const auto& trailing = context.GetServerTrailingMetadata();
    const auto reason = trailing.find("shoal-reason");
    return reason == trailing.end()
               ? ""
               : std::string(reason->second.data(), reason->second.size());
  }
};

TEST_F(RequestLimitsTest, EveryMethodLooksAtItsRequest) {
  grpc::GenericStub stub(Channel("ann"));
  google::protobuf::DynamicMessageFactory factory;
  std::set<std::string> textless;
  int refused = 0;
  for (const auto* service : Services()) {
    for (int i = 0; i < service->method_count(); ++i) {
      const auto& method = *service->method(i);
      const std::unique_ptr<Message> request(
          factory.GetPrototype(method.input_type())->New());
      if (!Overfill(*request, {})) {
        textless.insert(std::string(method.name()));
        continue;
      }
      const std::string path = "/" + service->full_name() + "/" + method.name();
      EXPECT_EQ(ReasonOfCall(stub, path, *request), "field_too_large") << path;
      ++refused;
    }
  }
  EXPECT_GT(refused, 40);
  EXPECT_EQ(textless,
            (std::set<std::string>{
                "CollectDeltas", "ExportRepository", "GetNetwork", "GetPolicy",
                "GetTelemetryStatus", "GetTrust", "ListNodes"}));
}

}  // namespace
}  // namespace shoal
