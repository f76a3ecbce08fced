#include "server/cli/rollout_yaml.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "common/bytes.h"
#include "common/status.h"
#include "server/cli/exit_code.h"
#include "server/cli/parse.h"
#include "server/cli/yaml_reader.h"

namespace shoal::cli {
namespace {

using rollout::v1::CreateRolloutRequest;

constexpr size_t kMaxBytes = 64 * 1024;

// Reads a duration into `set`, in the given unit.
auto Duration(const std::function<void(absl::Duration)>& set) {
  return [set](const std::string& text) -> absl::Status {
    SHOAL_ASSIGN_OR_RETURN(const absl::Duration value, ParseDuration(text));
    set(value);
    return absl::OkStatus();
  };
}

// "2026-12-25" or "12-25" (every year).
absl::StatusOr<uint32_t> ParseDate(const std::string& text) {
  uint32_t value = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool dash = text.size() == 10 ? i == 4 || i == 7 : i == 2;
    if (dash ? text[i] != '-' : (text[i] < '0' || text[i] > '9')) {
      value = 0;
      break;
    }
    if (!dash) value = value * 10 + static_cast<uint32_t>(text[i] - '0');
  }
  if (value == 0 || (text.size() != 10 && text.size() != 5)) {
    return UsageError(fmt::format(
        "'{}' is no date: write YYYY-MM-DD, or MM-DD for every year", text));
  }
  return value;
}

template <typename List>
auto Append(List* list) {
  return [list](const std::string& text) -> absl::Status {
    if (!IsIdentifier(text)) {
      return UsageError(fmt::format("'{}' is not an identifier", text));
    }
    list->Add(std::string(text));
    return absl::OkStatus();
  };
}

auto AppendWindow(
    google::protobuf::RepeatedPtrField<policy::v1::TimeWindow>* windows) {
  return [windows](const std::string& text) -> absl::Status {
    SHOAL_ASSIGN_OR_RETURN(*windows->Add(), ParseWindow(text));
    return absl::OkStatus();
  };
}

auto InsertLabel(google::protobuf::Map<std::string, std::string>* labels) {
  return [labels](const std::string& key,
                  const std::string& value) -> absl::Status {
    SHOAL_ASSIGN_OR_RETURN(const Labels one, ParseLabels({key + "=" + value}));
    labels->insert(one.begin(), one.end());
    return absl::OkStatus();
  };
}

void ReadGate(YamlMap& map, rollout::v1::Gate& gate) {
  map.Text("soak", Duration([&](absl::Duration value) {
             gate.set_soak_ms(absl::ToInt64Milliseconds(value));
           }));
  map.Text("settle", Duration([&](absl::Duration value) {
             gate.set_settle_ms(absl::ToInt64Milliseconds(value));
           }));
  map.Text("success", [&](const std::string& text) -> absl::Status {
    SHOAL_ASSIGN_OR_RETURN(const uint32_t permille, ParsePermille(text));
    gate.set_success_permille(permille);
    return absl::OkStatus();
  });
  map.Number("min", 0, 1'000'000, [&](uint64_t value) {
    gate.set_min_outcomes(static_cast<uint32_t>(value));
  });
  map.Flag("manual", [&](bool value) { gate.set_manual(value); });
  map.Number("approvals", 1, 16, [&](uint64_t value) {
    gate.set_approvals(static_cast<uint32_t>(value));
    gate.set_manual(true);
  });
  map.Texts("approvers", [&](const std::string& text) -> absl::Status {
    gate.set_manual(true);
    return Append(gate.mutable_approvers())(text);
  });
}

void ReadPhase(const YAML::Node& node, YamlProblems& problems,
               rollout::v1::PhaseSpec& phase) {
  YamlMap map(node, "a phase", problems);
  map.Text("name", [&](const std::string& text) -> absl::Status {
    if (!IsIdentifier(text))
      return UsageError(fmt::format("'{}' is not an identifier", text));
    phase.set_name(text);
    return absl::OkStatus();
  });
  if (phase.name().empty()) problems.Add(node, "a phase has a name");
  if (map.Has("count") && map.Has("percent"))
    problems.Add(node, "a phase has a count or a percentage, not both");
  map.Number("count", 0, 100'000'000, [&](uint64_t value) {
    phase.set_count(static_cast<uint32_t>(value));
  });
  map.Text("percent", [&](const std::string& text) -> absl::Status {
    SHOAL_ASSIGN_OR_RETURN(const uint32_t permille, ParsePermille(text));
    phase.set_percent(permille / 10.0);
    return absl::OkStatus();
  });
  map.Pairs("labels", InsertLabel(phase.mutable_labels()));
  map.Texts("groups", Append(phase.mutable_groups()));
  map.Map("gate",
          [&](YamlMap& gate) { ReadGate(gate, *phase.mutable_gate()); });
  map.Finish();
}

void ReadSelector(YamlMap& map, policy::v1::DeviceSelector& selector) {
  map.Pairs("labels", InsertLabel(selector.mutable_labels()));
  map.Texts("devices", [&](const std::string& text) -> absl::Status {
    SHOAL_ASSIGN_OR_RETURN(const std::string name, DeviceName(text));
    selector.add_device_ids(name.substr(name.find('/') + 1));
    return absl::OkStatus();
  });
  map.Texts("groups", Append(selector.mutable_groups()));
}

void ReadWhen(YamlMap& root, absl::Time now, CreateRolloutRequest& request) {
  root.Texts("windows", AppendWindow(request.mutable_windows()));
  root.Map("calendar", [&](YamlMap& map) {
    const auto add = [](google::protobuf::RepeatedField<uint32_t>* dates) {
      return [dates](const std::string& text) -> absl::Status {
        SHOAL_ASSIGN_OR_RETURN(const uint32_t date, ParseDate(text));
        dates->Add(date);
        return absl::OkStatus();
      };
    };
    map.Texts("exclude", add(request.mutable_calendar()->mutable_excluded()));
    map.Texts("include", add(request.mutable_calendar()->mutable_included()));
  });
  root.Map("activation", [&](YamlMap& map) {
    auto* activation = request.mutable_activation();
    map.Texts("windows", AppendWindow(activation->mutable_windows()));
    map.Flag("hold", [&](bool value) { activation->set_hold(value); });
    map.Text("not_before", [&](const std::string& text) -> absl::Status {
      absl::Time time;
      std::string error;
      if (!absl::ParseTime(absl::RFC3339_full, text, &time, &error)) {
        return UsageError(
            fmt::format("'{}' is no time: write 2026-12-01T00:00:00Z", text));
      }
      activation->set_not_before(absl::ToUnixMillis(time));
      return absl::OkStatus();
    });
    map.Text("after", Duration([&](absl::Duration value) {
               activation->set_not_before(absl::ToUnixMillis(now + value));
             }));
  });
  root.Text("deadline", Duration([&](absl::Duration value) {
              request.set_deadline_seconds(absl::ToInt64Seconds(value));
            }));
  root.Text("lifetime", Duration([&](absl::Duration value) {
              request.set_lifetime_seconds(absl::ToInt64Seconds(value));
            }));
}

void ReadPace(YamlMap& root, CreateRolloutRequest& request) {
  root.Map("retry", [&](YamlMap& map) {
    auto* retry = request.mutable_retry();
    map.Number("attempts", 1, 10, [&](uint64_t value) {
      retry->set_max_attempts(static_cast<uint32_t>(value));
    });
    map.Text("backoff", Duration([&](absl::Duration value) {
               retry->set_backoff_ms(absl::ToInt64Milliseconds(value));
             }));
    map.Text("max_backoff", Duration([&](absl::Duration value) {
               retry->set_max_backoff_ms(absl::ToInt64Milliseconds(value));
             }));
  });
  root.Map("bandwidth", [&](YamlMap& map) {
    auto* bandwidth = request.mutable_bandwidth();
    map.Flag("unmetered_only",
             [&](bool value) { bandwidth->set_unmetered_only(value); });
    map.Number(
        "max_bytes_per_second", 4096, uint64_t{1} << 40,
        [&](uint64_t value) { bandwidth->set_max_bytes_per_second(value); });
  });
  root.Text("delta_wait", [&](const std::string& text) -> absl::Status {
    if (text == "all") return absl::OkStatus();
    if (text == "none") {
      request.set_delta_wait_seconds(-1);
      return absl::OkStatus();
    }
    return Duration([&](absl::Duration value) {
      request.set_delta_wait_seconds(
          std::max<int64_t>(1, absl::ToInt64Seconds(value)));
    })(text);
  });
  root.Number("max_parallel", 1, 1'000'000, [&](uint64_t value) {
    request.set_max_parallel(static_cast<uint32_t>(value));
  });
  root.Text("device_time", Duration([&](absl::Duration value) {
              request.set_device_seconds(
                  static_cast<uint32_t>(absl::ToInt64Seconds(value)));
            }));
  root.Text("lost_after", Duration([&](absl::Duration value) {
              request.set_lost_after_seconds(
                  static_cast<uint32_t>(absl::ToInt64Seconds(value)));
            }));
}

absl::Status ReadPriority(const std::string& text,
                          CreateRolloutRequest& request) {
  if (text == "low") {
    request.set_priority(rollout::v1::ROLLOUT_PRIORITY_LOW);
  } else if (text == "normal") {
    request.set_priority(rollout::v1::ROLLOUT_PRIORITY_NORMAL);
  } else if (text == "urgent") {
    request.set_priority(rollout::v1::ROLLOUT_PRIORITY_URGENT);
  } else {
    return UsageError(
        fmt::format("'{}' is no priority: low, normal or urgent", text));
  }
  return absl::OkStatus();
}

void Read(const YAML::Node& document, YamlProblems& problems, absl::Time now,
          CreateRolloutRequest& request) {
  YamlMap root(document, "the rollout", problems);
  root.Text("release", [&](const std::string& text) -> absl::Status {
    SHOAL_ASSIGN_OR_RETURN(const ReleaseId release, ParseReleaseId(text));
    request.set_release(release.Name());
    request.set_device_type(release.device_type);
    return absl::OkStatus();
  });
  root.Text("id", [&](const std::string& text) -> absl::Status {
    SHOAL_ASSIGN_OR_RETURN(const std::string name, RolloutName(text));
    request.set_rollout_id(name.substr(name.find('/') + 1));
    return absl::OkStatus();
  });
  if (root.Has("select")) {
    root.Map("select", [&](YamlMap& map) {
      ReadSelector(map, *request.mutable_selector());
    });
  } else {
    request.mutable_selector()->set_all(true);
  }
  const YAML::Node phases = root.Take("phases");
  if (phases.IsDefined() && !phases.IsSequence()) {
    problems.Add(phases, "'phases' is a list");
  } else if (phases.IsDefined()) {
    for (const YAML::Node& phase : phases)
      ReadPhase(phase, problems, *request.add_phases());
  }
  request.set_error_threshold_permille(100);
  root.Text("error_threshold", [&](const std::string& text) -> absl::Status {
    SHOAL_ASSIGN_OR_RETURN(const uint32_t permille, ParsePermille(text));
    request.set_error_threshold_permille(permille);
    return absl::OkStatus();
  });
  root.Flag("unattended", [&](bool value) { request.set_unattended(value); });
  root.Flag("consent", [&](bool value) { request.set_consent(value); });
  root.Flag("optional", [&](bool value) { request.set_optional(value); });
  root.Text("priority", [&](const std::string& text) {
    return ReadPriority(text, request);
  });
  ReadWhen(root, now, request);
  ReadPace(root, request);
  root.Finish();
}

}  // namespace

bool IsYamlName(std::string_view file) {
  return file.ends_with(".yaml") || file.ends_with(".yml");
}

absl::StatusOr<CreateRolloutRequest> ParseRolloutYaml(std::string_view text,
                                                      const std::string& name,
                                                      absl::Time now) {
  if (text.size() > kMaxBytes) {
    return InvalidArgument("bad_config",
                           name + ": a rollout's document has at most 64 KiB");
  }
  YamlProblems problems(name);
  CreateRolloutRequest request;
  try {
    const std::vector<YAML::Node> documents = YAML::LoadAll(std::string(text));
    if (documents.size() != 1) {
      return InvalidArgument(
          "bad_config",
          fmt::format("{}: one document, not {}", name, documents.size()));
    }
    Read(documents[0], problems, now, request);
  } catch (const YAML::Exception& error) {
    return InvalidArgument(
        "bad_config",
        fmt::format("{}:{}: {}", name, error.mark.line + 1, error.msg));
  }
  SHOAL_RETURN_IF_ERROR(problems.Status());
  if (request.phases().empty()) {
    request.add_phases()->set_name("all");
    request.mutable_phases(0)->set_percent(100);
  }
  return request;
}

}  // namespace shoal::cli
